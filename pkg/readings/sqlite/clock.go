package sqlite

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/telltale-iot/telltale/pkg/iot"
)

const (
	// maxJump is how far the clock may be ahead of what was believed last, and of the time that a process has run since, and for
	// how long it is not believed beyond that.
	maxJump = 24 * time.Hour
	// rightFor is for how long it must be right for the wait to begin anew. Some machines have the time of their image at each
	// start, for a moment.
	rightFor = time.Hour

	clockFile = "clock" // in the directory of the months
	// How often it is written: at a start the clock is expected to be where it was then. While it is not believed, a
	// process that is killed loses a minute of the wait.
	saveEvery, saveWaitEvery = time.Hour, time.Minute
)

// unset is before any time that a clock can say which is set.
var unset = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

// clock is by which readings become too old. That of a machine may be far ahead for a while, such as before it is set from
// the network, and what is removed then is gone: so a clock that jumps ahead is believed when a process has seen it so for a
// day, or several one after the other. It is in a file, so that what the clock says wrongly does not count after a restart.
type clock struct {
	Believed time.Time     `json:"believed"`        // last
	Ahead    time.Time     `json:"ahead,omitzero"`  // what it says instead, at least, since Waited began
	Waited   time.Duration `json:"waited,omitzero"` // for how long it has been ahead, of the time that processes ran; ns

	read   time.Duration // when it was looked at last, by a clock that never jumps
	jumped bool          // it was ahead then
	right  time.Duration // for how long it has not been
}

// now returns what to take for the time when the machine's clock says wall, at elapsed by a clock that never jumps.
func (c *clock) now(wall time.Time, elapsed time.Duration) time.Time {
	passed, jumped := elapsed-c.read, c.jumped
	c.read = elapsed
	c.Believed = c.Believed.Add(passed)
	if c.jumped = wall.Sub(c.Believed) > maxJump; !c.jumped {
		if c.Believed = wall; !jumped {
			c.right += passed
		}
		if c.right >= rightFor {
			c.Ahead, c.Waited = time.Time{}, 0
		}
		return wall
	}
	c.right = 0
	if c.Ahead = c.Ahead.Add(passed); c.Waited == 0 || wall.Before(c.Ahead) {
		c.Ahead = wall
	}
	if jumped {
		c.Waited += passed
	}
	if c.Waited >= maxJump {
		*c = clock{Believed: c.Ahead, read: elapsed}
	}
	return c.Believed
}

// retentionTime returns the time by which readings become too old.
func (s *Store) retentionTime() time.Time {
	wall := s.now().Round(0) // without what never jumps
	if !s.mayBeNow(wall) {
		s.clock.jumped = false // it is not set yet, and says nothing about when it is
		return wall
	}
	before := s.clock
	now := s.clock.now(wall, time.Since(s.opened))
	if s.retention == (iot.Retention{}) {
		return now
	}
	switch {
	case s.clock.jumped && !before.jumped:
		s.log.Warn("the clock is more than a day ahead of what it was: it does not count for the retention until it has been so for a day of running",
			"clock", wall.UTC(), "counts", now.UTC(), "waited", s.clock.Waited.Round(time.Minute))
	case before.jumped && !s.clock.jumped:
		s.log.Warn("the clock counts for the retention again", "clock", wall.UTC(), "counts", now.UTC())
	}
	return now
}

// mayBeNow reports whether a clock that is set can say at.
func (s *Store) mayBeNow(at time.Time) bool {
	horizon, _ := s.Horizon(context.Background())
	return !at.Before(unset) && !at.Before(horizon)
}

// readClock returns the clock as the file in dir says. Without one, as in the directories of earlier versions, it was right
// when a file in dir or one of files was written last.
func readClock(dir string, files ...string) (c clock, err error) {
	path := filepath.Join(dir, clockFile)
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		c.Believed, err = lastWrite(dir, files...)
		return c, err
	}
	if err == nil {
		err = json.Unmarshal(text, &c)
	}
	if err != nil {
		return c, fmt.Errorf("%s: what the time was is not to be read; without the file it is when others were written last: %w", path, err)
	}
	return c, nil
}

// saveClock writes the clock to its file, if it has changed much.
func (s *Store) saveClock() error {
	c, saved := s.clock, s.saved
	passed := c.read - saved.read
	drift := c.Believed.Sub(saved.Believed) - passed
	if passed < saveEvery && drift.Abs() < saveEvery && (c.Waited-saved.Waited).Abs() < saveWaitEvery {
		return nil
	}
	text, err := json.Marshal(c)
	if err == nil {
		err = s.replaceFile(clockFile, text)
	}
	if err != nil {
		return fmt.Errorf("write down what time it is: %w", err)
	}
	s.saved = c
	return nil
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
