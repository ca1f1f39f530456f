package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

var errTaken = errors.New("another process has it")

// lockDir makes dir where it is missing and takes it for this process, until the process ends, however it
// ends. It fails when another process has it, or when nothing can be written there.
func lockDir(dir string) (*os.File, error) {
	if err := makeDir(dir); err != nil {
		return nil, err
	}
	f, err := os.OpenFile(filepath.Join(dir, "lock"), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	if err := takeFile(f); err != nil {
		defer f.Close()
		if errors.Is(err, errTaken) {
			pid, _ := os.ReadFile(f.Name())
			return nil, fmt.Errorf("%s is in use by process %s", dir, strings.TrimSpace(string(pid)))
		}
		return nil, fmt.Errorf("lock %s: %w", f.Name(), err)
	}
	if err := f.Truncate(0); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	if _, err := fmt.Fprintln(f, os.Getpid()); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

// makeDir makes dir and its missing parents durable: a power cut does not remove them with all that is in them.
func makeDir(dir string) error {
	if _, err := os.Stat(dir); err == nil {
		return nil
	}
	parent := filepath.Dir(dir)
	if parent != dir {
		if err := makeDir(parent); err != nil {
			return err
		}
	}
	if err := os.Mkdir(dir, 0o700); err != nil && !errors.Is(err, os.ErrExist) {
		return err
	}
	return syncDir(parent)
}
