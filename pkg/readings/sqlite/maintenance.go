package sqlite

import (
	"context"
	"errors"
	"time"
)

// maintainEvery is how often the store looks whether there is something to do beside inserts.
const maintainEvery = 15 * time.Second

// Maintain implements readings.Store. What fails, such as on a full disk, is logged and tried again.
func (s *Store) Maintain(ctx context.Context) error {
	failing := false
	for ctx.Err() == nil {
		more, err := s.maintain(ctx)
		if err != nil && ctx.Err() == nil && !failing {
			s.log.Error("readings cannot be maintained; it is tried again", "err", err)
		}
		failing = err != nil
		if more {
			continue
		}
		select {
		case <-time.After(s.every(maintainEvery)):
		case <-s.full:
		case <-ctx.Done():
		}
	}
	return nil
}

// every is how often to do what is usually done so often: more often where hours are to be sealed sooner than that.
func (s *Store) every(usual time.Duration) time.Duration {
	return min(usual, max(s.sealAfter, time.Second))
}

// maintain does a step of what there is to do, and reports whether there is more. What is too old is removed first, which makes
// room for the rest; what fails does not keep the rest from being done. Readings of earlier versions count for the retention
// when they are in months.
func (s *Store) maintain(ctx context.Context) (more bool, err error) {
	_, removing := s.removeExpired(ctx)
	sealing := s.sealDue(ctx)
	more, err = s.migrate(ctx)
	if !more {
		err = errors.Join(err, s.retain(ctx))
	}
	return more, errors.Join(removing, sealing, err, s.files.cutWALs(ctx), s.saveClock())
}

// takeTurn waits for the turn to write.
func (s *Store) takeTurn(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	select {
	case s.turn <- struct{}{}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (s *Store) endTurn() { <-s.turn }
