package sqlite

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"time"
)

// sealEvery is how often a block is written anew at most, for readings that come late.
const sealEvery = time.Minute

// maxHotRows is how many readings may be rows, of which each has 8 bytes in memory and some 60 on the disk. Beyond that
// they are sealed before their time.
const maxHotRows = 2_000_000

// sealDue seals the rows of hours that ended long enough ago, and where there are too many rows, those of others.
func (s *Store) sealDue(ctx context.Context) error {
	s.state.RLock()
	due := s.rows > maxHotRows || s.now().Sub(s.sealedAt) >= s.every(sealEvery)
	s.state.RUnlock()
	if !due {
		return nil
	}
	now := s.now().UnixMilli()
	var all error
	for i, until := range []int64{
		hourOf(now - s.sealAfter.Milliseconds()), hourOf(now), now - time.Minute.Milliseconds(), math.MaxInt64,
	} {
		s.state.RLock()
		rows := s.rows
		s.state.RUnlock()
		if i > 0 && rows <= maxHotRows {
			break
		}
		all = errors.Join(all, s.sealBefore(ctx, until))
	}
	s.sealedAt = s.now()
	return all
}

// sealBefore seals the rows before the millisecond until, a slice at a time: inserts come between. Where one month fails the
// others are sealed.
func (s *Store) sealBefore(ctx context.Context, until int64) (all error) {
	for _, owner := range s.spansWithRows(until) {
		err := s.sealSpan(ctx, owner, min(until, owner.until))
		if err == nil {
			err = s.shrink(ctx, owner.part)
		}
		all = errors.Join(all, err)
	}
	return all
}

// minShrunk is how many free pages are worth giving back: 4 MB.
const minShrunk = 1000

// shrink gives the free pages of m's file back to the disk where most are free, such as after an import. Those of an hour
// that was sealed are used again by the rows that come.
func (s *Store) shrink(ctx context.Context, m *part) error {
	db, release, err := s.files.use(m)
	if err != nil {
		return err
	}
	defer release()
	var free, pages int
	err = db.Read.QueryRowContext(ctx, `SELECT freelist_count, page_count FROM pragma_freelist_count, pragma_page_count`).Scan(&free, &pages)
	if err != nil {
		return fmt.Errorf("count free pages of %s: %w", m.path, err)
	}
	if free < minShrunk || free <= pages/2 {
		return nil
	}
	_, err = db.GiveBack(ctx)
	return err
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

// spansWithRows returns the spans of months that have rows before the millisecond until, ascending.
func (s *Store) spansWithRows(until int64) (spans []span) {
	s.state.RLock()
	defer s.state.RUnlock()
	found := map[span]bool{}
	for _, times := range s.hot {
		for len(times) > 0 && times[0] < until {
			owner, ok := s.layout.owner(times[0])
			if !ok || owner.old {
				break
			}
			found[owner] = true
			n, _ := slices.BinarySearch(times, owner.until)
			times = times[n:]
		}
	}
	for _, owner := range s.layout {
		if found[owner] {
			spans = append(spans, owner)
		}
	}
	return spans
}
