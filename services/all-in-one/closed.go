package main

import (
	"errors"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
)

// ours are the names of what there is in DATA_DIR. What else is there is not ours to change.
var ours = []string{"lock", "kafka", "readings", "tls", "readings.db*", "metadata.db*"}

// othersMay are the modes of a file by which other users than its own may do something.
const othersMay fs.FileMode = 0o077

// closeData has no other user read what is in dir, of a version that let them, or of a copy (closeNew is for what is made from now
// on). dir itself stays as it is: it may have been there, and somebody may have a reason.
func closeData(dir string, log *slog.Logger) error {
	for _, name := range ours {
		roots, err := filepath.Glob(filepath.Join(dir, name))
		if err != nil {
			return err
		}
		for _, root := range roots {
			if err := closeTree(root, log); err != nil {
				return err
			}
		}
	}
	return nil
}

func closeTree(root string, log *slog.Logger) error {
	root, err := filepath.EvalSymlinks(root) // it may be on another disk
	if err != nil {
		return err
	}
	return filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		var info fs.FileInfo
		if err == nil {
			info, err = d.Info()
		}
		if err == nil && info.Mode().Perm()&othersMay != 0 && (info.IsDir() || info.Mode().IsRegular()) {
			err = os.Chmod(path, info.Mode().Perm()&^othersMay)
		}
		switch {
		case errors.Is(err, fs.ErrNotExist): // another process works there, too (token create)
			return nil
		case errors.Is(err, fs.ErrPermission): // it is another user's
			log.Warn("others may read a file of the data, and it cannot be closed", "path", path, "err", err)
			return nil
		}
		return err
	})
}
