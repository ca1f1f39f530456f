package main

import (
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// forget drops the files of a folder from the system's cache, so that they are read from the disk.
func forget(folder string) {
	_ = filepath.WalkDir(folder, func(path string, entry os.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		f, err := os.Open(path)
		if err == nil {
			_ = unix.Fadvise(int(f.Fd()), 0, 0, unix.FADV_DONTNEED)
			_ = f.Close()
		}
		return nil
	})
}
