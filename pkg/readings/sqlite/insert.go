package sqlite

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"slices"

	"github.com/telltale-iot/telltale/pkg/iot"
)

// insertion is a call of InsertReadings.
type insertion struct {
	batch  []iot.Reading
	rest   [][]int       // of batch, what is not stored yet, as moments returns it
	done   chan struct{} // closed when what follows is set
	result iot.Inserted
	err    error
}

func insertionOf(batch []iot.Reading) *insertion {
	return &insertion{batch: batch, rest: moments(batch), done: make(chan struct{})}
}

// InsertReadings implements iot.ReadingWriter.
//
// Calls that wait at the same time share their transactions, and with them the time that the disk takes: one of them
// carries out all of them. One that takes long, since much of it is of hours that are sealed, is carried out in several
// turns, between which others have theirs. When ctx ends a call leaves the queue, of which a part may be stored then.
func (s *Store) InsertReadings(ctx context.Context, batch []iot.Reading) (iot.Inserted, error) {
	if err := ctx.Err(); err != nil {
		return iot.Inserted{}, fmt.Errorf("insert readings: %w", err)
	}
	call := insertionOf(batch)
	s.mu.Lock()
	s.waiting = append(s.waiting, call)
	s.mu.Unlock()
	for {
		select {
		case s.turn <- struct{}{}:
			s.insertWaiting(ctx)
			<-s.turn
		case <-call.done:
			return call.result, call.err
		case <-ctx.Done():
			if s.withdraw(call) {
				return iot.Inserted{}, fmt.Errorf("insert readings: %w", ctx.Err())
			}
			select { // another call is at it: batch is its until then
			case s.turn <- struct{}{}:
				<-s.turn
			case <-call.done:
			}
		}
	}
}

// withdraw reports whether call was still waiting. It is not any more.
func (s *Store) withdraw(call *insertion) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	waiting := len(s.waiting)
	s.waiting = slices.DeleteFunc(s.waiting, func(c *insertion) bool { return c == call })
	return len(s.waiting) < waiting
}

// insertWaiting carries out the calls that are waiting, or as much of them as there is time for in a turn.
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
	var unfinished []*insertion
	for _, call := range calls {
		if err == nil && len(call.rest) > 0 {
			unfinished = append(unfinished, call)
			continue
		}
		if err != nil {
			call.result, call.err = iot.Inserted{}, fmt.Errorf("insert readings: %w", err)
		}
		close(call.done)
	}
	if len(unfinished) > 0 { // the first has had this turn; it comes behind the others
		s.mu.Lock()
		s.waiting = slices.Concat(unfinished[1:], s.waiting, unfinished[:1])
		s.mu.Unlock()
	}
	w.end()
}

// insert stores what calls have left, or as much of it as there is time for.
func (w *writing) insert(calls []*insertion) (err error) {
	if !w.store.prepared {
		return errUnprepared
	}
	for _, call := range calls {
		if err = w.insertBatch(call); err != nil {
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
func (w *writing) insertBatch(call *insertion) error {
	var v row
	sorted := int64(math.MinInt64) // the hour
	for len(call.rest) > 0 && !w.isFull() {
		together := call.rest[0]
		at := call.batch[together[0]].At.UnixMilli()
		if at < max(w.store.horizon, w.store.refused, w.store.expiry) {
			call.rest = call.rest[1:]
			call.result.TooOld = append(call.result.TooOld, together...)
			continue
		}
		t, err := w.at(at)
		if err != nil {
			return err
		}
		if hour := hourOf(at); hour > sorted && hour < t.sealedUntil { // then those of a block come one after the other
			sorted = hour
			call.sortHour()
			continue
		}
		call.rest = call.rest[1:]
		if err := w.insertMoment(t, &v, call.batch, together, &call.result); err != nil {
			return fmt.Errorf("%s: %w", t.path, err)
		}
	}
	if len(call.rest) == 0 {
		slices.Sort(call.result.Conflicts)
		slices.Sort(call.result.TooOld)
	}
	return nil
}

// sortHour sorts the rest of the first hour by device.
func (call *insertion) sortHour() {
	first := func(together []int) *iot.Reading { return &call.batch[together[0]] }
	hour := hourOf(first(call.rest[0]).At.UnixMilli())
	n := 1
	for n < len(call.rest) && hourOf(first(call.rest[n]).At.UnixMilli()) == hour {
		n++
	}
	slices.SortStableFunc(call.rest[:n], func(a, b []int) int { return cmp.Compare(first(a).Device, first(b).Device) })
}

// moments returns the indexes of batch, in lists of those that are stored together: one with an origin by itself,
// and those without by device and time. They ascend by their hours, and in an hour they stay as they
// came: those with an origin go behind one another in that order.
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
	slices.SortStableFunc(all, func(a, b []int) int {
		return cmp.Compare(hourOf(batch[a[0]].At.UnixMilli()), hourOf(batch[b[0]].At.UnixMilli()))
	})
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
