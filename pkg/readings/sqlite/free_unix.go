//go:build unix

package sqlite

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// freeBytes returns how much the disk of dir has left for its users.
func freeBytes(dir string) (int64, error) {
	var disk unix.Statfs_t
	if err := unix.Statfs(dir, &disk); err != nil {
		return 0, fmt.Errorf("statfs %s: %w", dir, err)
	}
	return int64(disk.Bavail) * int64(disk.Bsize), nil
}
