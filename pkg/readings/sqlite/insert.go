package sqlite

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/telltale-iot/telltale/pkg/iot"
)

// insertion is a call of InsertReadings.
type insertion struct {
	batch  []iot.Reading
	done   chan struct{} // closed when the rest is set
	result iot.Inserted
	err    error
}

// InsertReadings implements iot.ReadingWriter.
//
// Calls that wait at the same time share their transactions, and with them the time that the disk takes: one of them
// carries out all of them. When ctx ends a call leaves the queue; once it is being carried out it is finished.
func (s *Store) InsertReadings(ctx context.Context, batch []iot.Reading) (iot.Inserted, error) {
	if err := ctx.Err(); err != nil {
		return iot.Inserted{}, fmt.Errorf("insert readings: %w", err)
	}
	call := &insertion{batch: batch, done: make(chan struct{})}
	s.mu.Lock()
	s.waiting = append(s.waiting, call)
	s.mu.Unlock()
	select {
	case s.turn <- struct{}{}:
		s.insertWaiting(ctx)
		<-s.turn
	case <-call.done:
	case <-ctx.Done():
		if s.withdraw(call) {
			return iot.Inserted{}, fmt.Errorf("insert readings: %w", ctx.Err())
		}
	}
	<-call.done // another call may be at it: batch is its until then
	return call.result, call.err
}

// withdraw reports whether call was still waiting. It is not any more.
func (s *Store) withdraw(call *insertion) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	waiting := len(s.waiting)
	s.waiting = slices.DeleteFunc(s.waiting, func(c *insertion) bool { return c == call })
	return len(s.waiting) < waiting
}

// insertWaiting carries out all calls that are waiting.
func (s *Store) insertWaiting(ctx context.Context) {
	s.mu.Lock()
	calls := s.waiting
	s.waiting = nil
	s.mu.Unlock()
	if len(calls) == 0 { // another had the turn before, and took them
		return
	}
	w := s.write(context.WithoutCancel(ctx))
	err := w.insert(calls)
	for _, call := range calls {
		if err != nil {
			call.result, call.err = iot.Inserted{}, fmt.Errorf("insert readings: %w", err)
		}
		close(call.done)
	}
	w.end()
}

func (w *writing) insert(calls []*insertion) (err error) {
	if !w.store.prepared {
		return errUnprepared
	}
	for _, call := range calls {
		if call.result, err = w.insertBatch(call.batch); err != nil {
			break
		}
	}
	if err == nil {
		err = w.commit()
	}
	if err != nil {
		w.store.occupied.Forget() // what it has seen may not be there any more
	}
	return err
}

// insertBatch inserts a row at a time: many rows in a statement would save a tenth of the time, and not show
// which of them conflicted.
func (w *writing) insertBatch(batch []iot.Reading) (inserted iot.Inserted, err error) {
	var v row
	for _, together := range moments(batch) {
		at := batch[together[0]].At.UnixMilli()
		if at < max(w.store.horizon, w.store.refused) {
			inserted.TooOld = append(inserted.TooOld, together...)
			continue
		}
		t, err := w.at(at)
		if err != nil {
			return inserted, err
		}
		if err := w.insertMoment(t, &v, batch, together, &inserted); err != nil {
			return inserted, fmt.Errorf("%s: %w", t.path, err)
		}
	}
	slices.Sort(inserted.Conflicts)
	slices.Sort(inserted.TooOld)
	return inserted, nil
}

// moments returns the indexes of batch, in lists of those that are stored together: one with an origin by itself,
// and those without by device and time.
func moments(batch []iot.Reading) [][]int {
	all := make([][]int, 0, len(batch))
	indexes := make([]int, len(batch))
	places := make(map[place]int, len(batch)) // in all
	for i := range batch {
		if batch[i].Origin == 0 {
			m := place{batch[i].Device, batch[i].At.UnixMilli()}
			if place, ok := places[m]; ok {
				all[place] = append(all[place], i)
				continue
			}
			places[m] = len(all)
		}
		indexes[i] = i
		all = append(all, indexes[i:i+1:i+1])
	}
	return all
}

// insertMoment stores those of batch that together names in t, which owns their time, and counts in inserted what becomes
// of them. It overwrites v.
func (w *writing) insertMoment(t *transaction, v *row, batch []iot.Reading, together []int, inserted *iot.Inserted) error {
	outcomes := iot.Inserted{New: 1}
	r := merge(batch[together[0]], batch, together[1:], &outcomes)
	ok, err := t.insertAt(v, &r, r.At.UnixMilli())
	if err != nil {
		return err
	}
	if !ok {
		place, there, err := w.resolve(t, &r)
		switch {
		case errors.Is(err, errDuplicate):
			inserted.Duplicates++
			return nil
		case errors.Is(err, errMerge):
			n := inserted.Merged
			if merged := merge(there, batch, together, inserted); inserted.Merged > n {
				return t.replace(v, &merged)
			}
			return nil
		case err != nil:
			return err
		}
		if t, err = w.at(place); err != nil {
			return err
		}
		if ok, err = t.insertAt(v, &r, place); err != nil || !ok {
			return cmp.Or(err, errOccupied)
		}
	}
	inserted.Add(outcomes)
	return nil
}

// merge returns r with what those of batch at indexes have beside it, and counts what becomes of them.
func merge(r iot.Reading, batch []iot.Reading, indexes []int, inserted *iot.Inserted) iot.Reading {
	for _, i := range indexes {
		var outcome iot.Outcome
		r, outcome = r.Merge(batch[i])
		inserted.Count(outcome, i)
	}
	return r
}
