// Package pagecache makes the system read a file from the disk again instead of from its page cache.
//
// After a sync that failed the kernel counts what it could not write as written: it shows it to every process, and no
// later sync writes it. A process that starts again while the machine goes on would take it for stored, until a power
// cut (docs/adr/0140).
package pagecache

import (
	"errors"
	"fmt"
	"os"
)

// Drop syncs the file at path, and drops it from the page cache: what is read from now on is what the disk has. Where the
// system cannot do that (anything but Linux), Drop only syncs. A file that does not exist is left alone.
func Drop(path string) error {
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer f.Close()
	if err := f.Sync(); err != nil {
		return err
	}
	if err := forget(f); err != nil {
		return fmt.Errorf("drop %s from the page cache: %w", path, err)
	}
	return nil
}
