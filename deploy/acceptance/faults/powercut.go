package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"syscall"
	"time"
)

// shortLog has the segments of all-in-one's log as short as they get, 64 KiB: one is begun every few seconds.
var shortLog = []string{"LOG_MAX_BYTES=2621440"}

// moment waits for the moment at which power is to fail.
type moment func(ctx context.Context, t *trial) error

// powerCut has the machine that all-in-one runs on lose its power at a moment, and starts it anew on what its disk
// has kept.
func powerCut(when moment) injection {
	return func(ctx context.Context, t *trial) error {
		if err := t.needDisk(); err != nil {
			return err
		}
		if err := errors.Join(when(ctx, t), t.services[allInOne].process.Check()); err != nil {
			return err
		}
		return t.cutPower()
	}
}

// cutPower cuts the power and gives it back. The process ends before the disk fails: it sees no error, and what it
// acknowledges after the cut it can only have taken for synced before.
func (t *trial) cutPower() error {
	p := t.services[allInOne]
	p.notePeak()
	lift := t.fault()
	t.disk.cut(t.dice)
	_ = p.process.Signal(syscall.SIGKILL)
	t.disk.fail()
	<-p.process.Ended()
	p.process = nil
	if err := t.disk.unmount(); err != nil {
		return err
	}
	t.disk.restore()
	if err := t.disk.mount(); err != nil {
		return err
	}
	lift()
	return p.start()
}

// anyTime is any moment within two seconds.
func anyTime(ctx context.Context, t *trial) error { return t.pause(ctx, 2*time.Second) }

// atStart is soon after a start that follows another cut, while files are being opened, read and repaired.
func atStart(ctx context.Context, t *trial) error {
	return errors.Join(anyTime(ctx, t), t.cutPower(), t.pause(ctx, time.Second))
}

// atRoll is when a file of the log was begun.
func atRoll(ctx context.Context, t *trial) error {
	old, err := filesUnder(t.data, "kafka/")
	if err != nil {
		return err
	}
	return t.shortlyAfter(ctx, "no file of the log is begun", func() (bool, error) {
		files, err := filesUnder(t.data, "kafka/")
		return slices.ContainsFunc(files, func(file string) bool { return !slices.Contains(old, file) }), err
	})
}

// atCheckpoint is while SQLite writes what is in the WAL to the file of the readings.
func atCheckpoint(ctx context.Context, t *trial) error {
	file, err := t.newestMonth()
	if err != nil {
		return err
	}
	old, err := os.Stat(file)
	if err != nil {
		return err
	}
	return t.shortlyAfter(ctx, "the month's file is not written", func() (bool, error) {
		info, err := os.Stat(file)
		return err == nil && info.ModTime().After(old.ModTime()), err
	})
}

// shortlyAfter waits until something happened, and then for up to 20 ms.
func (t *trial) shortlyAfter(ctx context.Context, otherwise string, happened func() (bool, error)) error {
	const limit = 30 * time.Second
	for deadline := time.Now().Add(limit); ; {
		switch yes, err := happened(); {
		case err != nil:
			return err
		case yes:
			return t.pause(ctx, 20*time.Millisecond)
		case time.Now().After(deadline):
			return fmt.Errorf("%s within %v", otherwise, limit)
		}
		if err := sleep(ctx, time.Millisecond); err != nil {
			return err
		}
	}
}
