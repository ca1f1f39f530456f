//go:build unix

package main

import (
	"errors"
	"os"
	"syscall"
)

// takeFile takes f until it is closed; errTaken when another process has it.
func takeFile(f *os.File) error {
	err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	if errors.Is(err, syscall.EWOULDBLOCK) {
		return errTaken
	}
	return err
}

// closeNew has no other user read the files that this process makes, whatever mode a library asks for.
func closeNew() { syscall.Umask(int(othersMay)) }

// syncDir makes the names in dir durable.
func syncDir(dir string) error {
	f, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}
