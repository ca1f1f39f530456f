package embedded

import (
	"errors"
	"fmt"
	"io"
	"os"
	"sync"

	"github.com/telltale-iot/telltale/pkg/internal/dirsync"
)

// keptBatches is how many of the newest batches a tail remembers; older ones are looked up in their file.
const keptBatches = 1024

// tail follows the end of a partition's log. It reads what kfake wrote there, so that nothing counts as
// written but what is in the file: whole, and where it belongs.
type tail struct {
	dir string

	// Of one round at a time.
	file   *os.File // the newest segment; nil while there is none
	pos    int64    // what is before it in file is whole
	next   int64    // offset of the record that is to come there
	onDisk int64    // what is before it in file is synced
	reader segmentReader
	unseen []batch // whole, and not yet synced

	mu     sync.Mutex
	synced int64            // offset behind the last record that is on the disk
	newest map[int64]uint32 // checksums of the newest of these batches, by their first offset
}

func newTail(dir string) *tail { return &tail{dir: dir, newest: map[int64]uint32{}} }

// advance reads what was written since the last time.
func (t *tail) advance() error {
	there, err := t.there()
	if err != nil {
		return err
	}
	if !there {
		if found, err := t.restart(); err != nil || !found {
			return err
		}
	}
	for {
		if err := t.readOn(); err != nil {
			return fmt.Errorf("%s at byte %d: %w", t.file.Name(), t.pos, err)
		}
		if moved, err := t.roll(); err != nil || !moved {
			return err
		}
	}
}

// there reports whether the file is still the one that has its name. It is not when the topic was deleted,
// or all of its records.
func (t *tail) there() (bool, error) {
	if t.file == nil {
		return false, nil
	}
	opened, err := t.file.Stat()
	if err != nil {
		return false, err
	}
	named, err := os.Stat(t.file.Name())
	if errors.Is(err, os.ErrNotExist) {
		return false, nil
	}
	return err == nil && os.SameFile(opened, named), err
}

// restart begins with the first segment that there is, and reports whether there is any.
func (t *tail) restart() (bool, error) {
	bases, err := segments(t.dir)
	if err != nil || len(bases) == 0 {
		return false, err
	}
	t.mu.Lock()
	t.synced = bases[0]
	clear(t.newest)
	t.mu.Unlock()
	t.unseen = nil
	return t.begin(bases[0])
}

// begin goes to the start of the segment of base, and reports whether there is one.
func (t *tail) begin(base int64) (bool, error) {
	file, err := os.OpenFile(segmentPath(t.dir, base), os.O_RDWR, 0)
	if errors.Is(err, os.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	t.close()
	t.file, t.pos, t.next, t.onDisk = file, 0, base, 0
	return true, dirsync.Sync(t.dir)
}

// roll goes on to the segment behind the one that was read, if there is one, and then syncs the old one.
func (t *tail) roll() (bool, error) {
	path := segmentPath(t.dir, t.next)
	if path == t.file.Name() {
		return false, nil // nothing of it is whole yet
	}
	if _, err := os.Stat(path); err != nil {
		if errors.Is(err, os.ErrNotExist) {
			err = nil
		}
		return false, err
	}
	if info, err := t.file.Stat(); err != nil || info.Size() != t.pos {
		return false, errors.Join(err, fmt.Errorf("%s at byte %d: %w", t.file.Name(), t.pos, errDamaged))
	}
	if err := t.sync(); err != nil {
		return false, err
	}
	return t.begin(t.next)
}

// readOn reads to the end of the file. It may end in the middle of a batch that is being written.
func (t *tail) readOn() error {
	t.reader.file = t.file
	for retried := false; ; {
		info, err := t.file.Stat()
		if err != nil {
			return err
		}
		t.reader.size = info.Size()
		b, err := t.reader.batchAt(t.pos, t.next)
		switch {
		case err == nil:
			t.pos, t.next = t.pos+b.bytes, b.next
			t.unseen = append(t.unseen, b)
			retried = false
		case errors.Is(err, io.EOF), errors.Is(err, errTorn):
			return nil
		case errors.Is(err, errDamaged) && !retried:
			retried = true // kfake was just replacing what it could not write to its end
		default:
			return err
		}
	}
}

// dirty reports whether there is something to sync.
func (t *tail) dirty() bool { return t.file != nil && t.onDisk < t.pos }

func (t *tail) sync() error {
	if err := t.file.Sync(); err != nil {
		return err
	}
	t.onDisk = t.pos
	return nil
}

// publish makes known what was synced.
func (t *tail) publish() {
	if len(t.unseen) == 0 {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.newest)+len(t.unseen) > keptBatches {
		clear(t.newest)
	}
	for _, b := range t.unseen {
		t.newest[b.base] = b.crc
	}
	t.synced, t.unseen = t.next, t.unseen[:0]
}

// holds reports whether the batch of that offset and checksum is on the disk.
func (t *tail) holds(base int64, crc uint32) (bool, error) {
	t.mu.Lock()
	got, known := t.newest[base]
	synced := t.synced
	t.mu.Unlock()
	if known || base >= synced {
		return known && got == crc, nil
	}
	bases, err := segments(t.dir)
	if err != nil {
		return false, err
	}
	at := int64(-1)
	for _, b := range bases {
		if b <= base {
			at = b
		}
	}
	if at < 0 {
		return false, nil
	}
	file, err := os.Open(segmentPath(t.dir, at))
	if err != nil {
		return false, err
	}
	defer func() { _ = file.Close() }()
	info, err := file.Stat()
	if err != nil {
		return false, err
	}
	reader := segmentReader{file: file, size: info.Size()}
	for pos := int64(0); at <= base; {
		b, err := reader.batchAt(pos, at)
		if err != nil {
			return false, nil // it ends before, or is gone by now
		}
		if b.base == base {
			return b.crc == crc, nil
		}
		pos, at = pos+b.bytes, b.next
	}
	return false, nil
}

// cut takes off the file what was not synced, and so was not acknowledged: after a failed sync the system
// may show it to us for as long as it runs, though the disk does not have it.
func (t *tail) cut() error {
	if t.file == nil {
		return nil
	}
	return t.file.Truncate(t.onDisk)
}

func (t *tail) close() {
	if t.file != nil {
		_ = t.file.Close() // was synced, or is given up
		t.file = nil
	}
}
