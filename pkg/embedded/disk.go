package embedded

import (
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"
	"golang.org/x/sync/errgroup"

	"github.com/telltale-iot/telltale/pkg/internal/dirsync"
)

// disk makes durable what kfake writes. kfake writes to its files and does not sync them; what it answers
// does not leave this process before everything that it wrote until then is synced, by sync.
//
// It fails once and for good: after a write or a sync that failed, nobody knows what the disk has.
type disk struct {
	dir string // "" when nothing is kept
	log *slog.Logger

	mu      sync.Mutex
	turn    sync.Cond // on mu: a round has ended, or it failed
	running bool      // a round
	started uint64    // rounds
	done    uint64    // the last round that ended
	waiting int       // for a round to end
	tails   map[partition]*tail
	damage  map[partition]error // found when reading
	err     error
	failed  chan struct{} // closed when err is set

	// Of one round at a time.
	journals []*journal
	listed   time.Time // when partitions were last added or removed, as of the last look
}

// newDisk returns a disk that goes on from where the log in dir ends.
func newDisk(dir string, tails map[partition]*tail, log *slog.Logger) *disk {
	d := &disk{dir: dir, log: log, tails: tails, damage: map[partition]error{}, failed: make(chan struct{})}
	d.turn.L = &d.mu
	for _, name := range []string{"groups.log", "pids.log", "topics.json", "meta.json"} {
		d.journals = append(d.journals, &journal{path: filepath.Join(dir, name)})
	}
	return d
}

// sync returns when everything that was written before the call is on the disk. Calls that come while one
// is being served are served together: by the first of them, in one round.
func (d *disk) sync() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	mine := d.started + 1 // the round that is running may have begun too early
	for d.err == nil && d.done < mine {
		if d.running {
			d.waiting++
			d.turn.Wait()
			d.waiting--
			continue
		}
		d.running = true
		d.started++
		d.mu.Unlock()
		err := d.round()
		d.mu.Lock()
		d.running, d.done = false, d.started
		if err != nil {
			d.failLocked(err)
		}
		d.turn.Broadcast()
	}
	return d.err
}

func (d *disk) round() error {
	if d.dir == "" {
		return nil
	}
	if err := d.list(); err != nil {
		return err
	}
	var syncs errgroup.Group
	for _, t := range d.tails {
		if err := t.advance(); err != nil {
			return errors.Join(err, syncs.Wait())
		}
		if t.dirty() {
			syncs.Go(t.sync)
		}
	}
	for _, j := range d.journals {
		syncs.Go(j.sync)
	}
	if err := syncs.Wait(); err != nil {
		return err
	}
	for _, t := range d.tails {
		t.publish()
	}
	return nil
}

// list follows each partition that has a directory.
func (d *disk) list() error {
	// The clock of a file system may stand still for longer than it takes to make a directory.
	const tick = 2 * time.Second
	dir := filepath.Join(d.dir, "partitions")
	info, err := os.Stat(dir)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	if changed := info.ModTime(); changed.Equal(d.listed) && time.Since(changed) > tick {
		return nil
	}
	d.listed = info.ModTime()
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	tails := make(map[partition]*tail, len(entries))
	for _, e := range entries {
		p, ok := parsePartition(e.Name())
		if !ok || !e.IsDir() {
			continue
		}
		if tails[p] = d.tails[p]; tails[p] == nil {
			tails[p] = newTail(p.dir(d.dir))
		}
	}
	for p, t := range d.tails {
		if tails[p] == nil {
			t.close()
		}
	}
	if maps.Equal(tails, d.tails) {
		return nil
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.tails = tails
	return errors.Join(dirsync.Sync(dir), dirsync.Sync(d.dir))
}

// holds reports whether the batch of that offset and checksum is on the disk.
func (d *disk) holds(p partition, base int64, crc uint32) (bool, error) {
	d.mu.Lock()
	t := d.tails[p]
	d.mu.Unlock()
	if t == nil {
		return d.dir == "", nil
	}
	return t.holds(base, crc)
}

// fail ends all acknowledgements.
func (d *disk) fail(err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.failLocked(err)
}

func (d *disk) failLocked(err error) {
	if d.err != nil {
		return
	}
	d.err = fmt.Errorf("the log cannot be written: %w", err)
	d.log.Error("nothing is acknowledged any more: the disk may have lost what was written", "err", err)
	close(d.failed)
	d.turn.Broadcast()
}

// damaged notes that what was read at offset is not what was written. Neither that nor what is behind it is served
// until a start has divided the segment.
func (d *disk) damaged(p partition, offset int64) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.damage[p] != nil {
		return
	}
	file := p.dir(d.dir)
	if bases, err := segments(file); err == nil {
		for _, base := range bases {
			if base <= offset {
				file = segmentPath(p.dir(d.dir), base)
			}
		}
	}
	d.damage[p] = fmt.Errorf("%s is damaged at offset %d; what is whole of it is served after a restart", file, offset)
	d.log.Error("the kafka log is damaged", "err", d.damage[p])
}

// check is nil while everything that was written is there, and can be written.
func (d *disk) check() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	err := d.err
	for _, damage := range d.damage {
		err = errors.Join(err, damage)
	}
	return err
}

// close closes the files, and marks their end as a good one, if nothing has failed. It is called when nothing is
// written any more.
func (d *disk) close() (err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, t := range d.tails {
		if d.err != nil {
			err = errors.Join(err, t.cut())
		}
		t.close()
	}
	if d.err != nil || d.dir == "" {
		return err
	}
	return os.WriteFile(filepath.Join(d.dir, closedMark), nil, 0o600)
}

// journal is a file beside the partitions' that kfake appends to, or replaces.
type journal struct {
	path   string
	synced os.FileInfo // as it was then; nil before
}

// sync syncs the file when it is not as it was.
func (j *journal) sync() error {
	now, err := os.Stat(j.path)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	replaced := j.synced == nil || !os.SameFile(now, j.synced)
	if !replaced && now.Size() == j.synced.Size() && now.ModTime().Equal(j.synced.ModTime()) {
		return nil
	}
	if err := syncFile(j.path); err != nil {
		return err
	}
	if replaced {
		if err := dirsync.Sync(filepath.Dir(j.path)); err != nil {
			return err
		}
	}
	j.synced = now
	return nil
}

// syncFile syncs a file of which others have handles.
func syncFile(path string) error {
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if errors.Is(err, os.ErrNotExist) {
		return nil // it was just replaced
	}
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}

// Logf is kfake's logger. kfake says here, and often only here, that it could not write something.
func (d *disk) Logf(level kfake.LogLevel, format string, args ...any) {
	if level > kfake.LogLevelWarn {
		return
	}
	line := fmt.Errorf(format, args...)
	switch err := cause(args); {
	case err == nil, !isWrite(format):
		d.log.Warn("warning of the embedded kafka", "err", line)
	case isFull(err) && format != persistState:
		// Nothing that was acknowledged is touched. The client gets an error, and what was written of its batch is
		// taken back, by kfake and here.
		d.log.Warn("the disk is full", "err", line)
		if err := cutJournals(d.dir, d.log); err != nil {
			d.fail(err)
		}
	default:
		d.fail(line)
	}
}

// persistState is how kfake logs that it could not write what topics there are, and then goes on as if it had.
const persistState = "persist %s: %v"

// isWrite reports whether kfake logs by that format that a write failed. When a file could not be opened
// nothing was written, and nothing can be lost.
func isWrite(format string) bool {
	for _, part := range []string{"open", "mkdir"} {
		if strings.Contains(format, part) {
			return false
		}
	}
	return strings.HasPrefix(format, "persist") || strings.HasPrefix(format, "compact") || strings.HasPrefix(format, "rebuildSegments")
}

func cause(args []any) error {
	for _, arg := range args {
		if err, ok := arg.(error); ok {
			return err
		}
	}
	return nil
}

func isFull(err error) bool { return errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) }
