//go:build unix

package doctor

import "golang.org/x/sys/unix"

// access is nil when this process may write path.
func access(path string) error { return unix.Access(path, unix.W_OK) }

// freeBytes returns how much the disk of dir has left for its users.
func freeBytes(dir string) (int64, error) {
	var disk unix.Statfs_t
	err := unix.Statfs(dir, &disk)
	return int64(disk.Bavail) * int64(disk.Bsize), err
}
