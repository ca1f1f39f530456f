package sqlite

import (
	"context"
	"fmt"
	"math"
)

// sealBefore seals the rows before the millisecond until, a slice at a time: inserts come between.
func (s *Store) sealBefore(ctx context.Context, until int64) error {
	s.state.RLock()
	l := s.layout
	s.state.RUnlock()
	for _, owner := range l {
		if owner.old {
			continue
		}
		if err := s.sealSpan(ctx, owner, min(until, owner.until)); err != nil {
			return err
		}
	}
	return nil
}

// sealSpan seals the rows of owner before the millisecond until.
func (s *Store) sealSpan(ctx context.Context, owner span, until int64) error {
	for from := owner.from; from < until; {
		next, err := s.sealSlice(ctx, owner, from, until)
		if err != nil {
			return fmt.Errorf("seal readings in %s: %w", owner.path, err)
		}
		from = next
	}
	return nil
}

// sealSlice seals the first rows of owner in from <= at < until, and returns where it ended.
func (s *Store) sealSlice(ctx context.Context, owner span, from, until int64) (next int64, err error) {
	if err := s.takeTurn(ctx); err != nil {
		return 0, err
	}
	defer s.endTurn()
	t, err := s.begin(ctx, owner)
	if err != nil {
		return 0, err
	}
	defer t.end()
	sealed, err := t.seal(ctx, from, until)
	if err != nil || sealed == nil {
		return math.MaxInt64, err
	}
	if err := t.tx.Commit(); err != nil {
		return 0, err
	}
	s.state.Lock()
	for device := range s.hot {
		s.hot.remove(device, sealed.from, sealed.until)
	}
	s.hot.add(sealed.kept)
	s.state.Unlock()
	t.db.BoundWAL()
	return sealed.until, nil
}
