//go:build unix

// Package dirsync makes what was created, renamed and removed in a directory durable.
package dirsync

import (
	"errors"
	"os"
)

// Sync makes the names in dir durable. Where a directory cannot be synced by itself, which is so on systems that are no
// Unix, it does nothing.
func Sync(dir string) error {
	f, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}
