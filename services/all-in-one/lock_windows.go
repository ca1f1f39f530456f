package main

import (
	"errors"
	"os"

	"golang.org/x/sys/windows"
)

// takeFile takes f until it is closed; errTaken when another process has it. What is taken is a byte far behind its end: others
// cannot read what is taken, and the beginning says which process it is.
func takeFile(f *os.File) error {
	behind := &windows.Overlapped{OffsetHigh: 1 << 30}
	err := windows.LockFileEx(windows.Handle(f.Fd()), windows.LOCKFILE_EXCLUSIVE_LOCK|windows.LOCKFILE_FAIL_IMMEDIATELY, 0, 1, 0, behind)
	if errors.Is(err, windows.ERROR_LOCK_VIOLATION) {
		return errTaken
	}
	return err
}

// closeNew does nothing here: who may read a file is the folder's affair.
func closeNew() {}

// syncDir does nothing here: a directory cannot be synced by itself.
func syncDir(string) error { return nil }
