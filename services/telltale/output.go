package main

import (
	"errors"
	"os"
	"path/filepath"
)

// partial is behind the name of a file that is not whole: until then the one of that name stays as it is.
const partial = ".partial"

// create opens the file to write to, where it is not one that is gone on with.
func (e *export) create() (err error) {
	switch {
	case e.file != nil:
		return nil
	case e.output == "":
		e.file = os.Stdout
		return nil
	}
	name, mode := e.output, os.FileMode(0o644)
	if to, err := filepath.EvalSymlinks(name); err == nil {
		name = to
	}
	if info, err := os.Stat(name); err == nil {
		if mode = info.Mode(); !mode.IsRegular() { // a device or a pipe; a directory is an error
			e.file, err = os.OpenFile(name, os.O_WRONLY, 0)
			return err
		}
	}
	e.replaces = name
	e.file, err = os.OpenFile(name+partial, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, mode.Perm())
	return err
}

// finish makes the file durable, and gives it its name.
func (e *export) finish() error {
	if e.replaces == "" {
		return nil
	}
	if err := errors.Join(e.file.Sync(), e.file.Close()); err != nil {
		return err
	}
	return os.Rename(e.replaces+partial, e.replaces)
}
