package sqlite

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/telltale-iot/telltale/pkg/iot"
)

// maxJump is how far the clock may be ahead of the last write of a file at the start, and of the time that has gone by from then
// on, and for how long it is not believed beyond that.
const maxJump = 24 * time.Hour

// clock is by which readings become too old. That of a machine may be far ahead for a while, such as before it is set from
// the network, and what is removed then is gone: so a clock that jumps ahead is believed when it has stayed so for a day.
type clock struct {
	at     time.Time     // that was believed last
	read   time.Duration // when that was, by a clock that never jumps
	jumped bool
	jumpAt time.Duration // likewise
}

// now returns what to take for the time when the machine's clock says wall, at elapsed by a clock that never jumps.
func (c *clock) now(wall time.Time, elapsed time.Duration) time.Time {
	expected := c.at.Add(elapsed - c.read)
	ahead := wall.Sub(expected) > maxJump
	if ahead && !c.jumped {
		c.jumpAt = elapsed
	}
	if c.jumped = ahead && elapsed-c.jumpAt < maxJump; c.jumped {
		wall = expected
	}
	c.at, c.read = wall, elapsed
	return wall
}

// retentionTime returns the time by which readings become too old.
func (s *Store) retentionTime() time.Time {
	wall := s.now()
	if s.retention == (iot.Retention{}) {
		return wall
	}
	before := s.clock.jumped
	now := s.clock.now(wall, time.Since(s.opened))
	if s.clock.jumped && !before {
		s.log.Warn("the clock is more than a day ahead of the last write: it does not count for the retention until it has been so for a day",
			"clock", wall.UTC(), "counts", now.UTC())
	}
	return now
}

// lastWrite returns when a file in dir or one of files was written last, and now where there is none.
func lastWrite(dir string, files ...string) (last time.Time, err error) {
	entries, err := os.ReadDir(dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return last, err
	}
	for _, entry := range entries {
		files = append(files, filepath.Join(dir, entry.Name()))
	}
	for _, file := range files {
		info, err := os.Stat(file)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return last, err
		}
		if at := info.ModTime(); at.After(last) {
			last = at
		}
	}
	if last.IsZero() {
		last = time.Now()
	}
	return last, nil
}
