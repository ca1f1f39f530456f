package sqlite

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"

	"github.com/telltale-iot/telltale/pkg/iot"
)

const (
	values         = `(` + columns + `) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`
	insertRow      = `INSERT INTO readings ` + values + ` ON CONFLICT DO NOTHING`
	replaceRow     = `REPLACE INTO readings ` + values
	selectRow      = `SELECT ` + columns + ` FROM readings WHERE timestamp = ? AND device_id = ?`
	selectMoved    = `SELECT count(*) FROM readings WHERE device_id = ? AND origin = ? AND moved_from = ?`
	selectOccupied = `SELECT timestamp FROM readings WHERE device_id = ? AND timestamp >= ? ORDER BY timestamp LIMIT ?`
	updateMoved    = `UPDATE readings SET timestamp = ?, moved_from = ?, checksum = ? WHERE timestamp = ? AND device_id = ?`
	deleteRow      = `DELETE FROM readings WHERE timestamp = ? AND device_id = ?`
)

// insertion is a call of InsertReadings.
type insertion struct {
	batch  []iot.Reading
	done   chan struct{} // closed when the rest is set
	result iot.Inserted
	err    error
}

// InsertReadings implements iot.ReadingWriter. After an error nothing of batch is stored.
//
// Calls that wait at the same time share a transaction, and with it the time that the disk takes: one of them
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

// insertWaiting carries out all calls that are waiting, in one transaction.
func (s *Store) insertWaiting(ctx context.Context) {
	s.mu.Lock()
	calls := s.waiting
	s.waiting = nil
	s.mu.Unlock()
	if len(calls) == 0 { // another had the turn before, and took them
		return
	}
	err := s.insert(context.WithoutCancel(ctx), calls)
	for _, call := range calls {
		if err != nil {
			call.result, call.err = iot.Inserted{}, fmt.Errorf("insert readings into %s: %w", s.db.Path, err)
		}
		close(call.done)
	}
	s.db.BoundWAL()
}

func (s *Store) insert(ctx context.Context, calls []*insertion) error {
	err := s.db.Transact(ctx, func(tx *sql.Tx) error {
		insert, err := tx.PrepareContext(ctx, insertRow)
		if err != nil {
			return err
		}
		for _, call := range calls {
			if call.result, err = s.insertBatch(tx, insert, call.batch); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		s.occupied.Forget() // what it has seen may not be there any more
	}
	return err
}

// insertBatch inserts a row at a time: many rows in a statement would save a tenth of the time, and not show
// which of them conflicted.
func (s *Store) insertBatch(tx *sql.Tx, insert *sql.Stmt, batch []iot.Reading) (inserted iot.Inserted, err error) {
	var v row
	for _, together := range moments(batch) {
		if err := s.insertMoment(tx, insert, &v, batch, together, &inserted); err != nil {
			return inserted, err
		}
	}
	slices.Sort(inserted.Conflicts)
	return inserted, nil
}

// moments returns the indexes of batch, in lists of those that are stored together: one with an origin by itself,
// and those without by device and time.
func moments(batch []iot.Reading) [][]int {
	type moment struct {
		device iot.DeviceID
		at     int64 // ms
	}
	all := make([][]int, 0, len(batch))
	indexes := make([]int, len(batch))
	places := make(map[moment]int, len(batch)) // in all
	for i := range batch {
		if batch[i].Origin == 0 {
			m := moment{batch[i].Device, batch[i].At.UnixMilli()}
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

// insertMoment stores those of batch that together names, and counts in inserted what becomes of them. It overwrites v.
func (s *Store) insertMoment(tx *sql.Tx, insert *sql.Stmt, v *row, batch []iot.Reading, together []int, inserted *iot.Inserted) error {
	outcomes := iot.Inserted{New: 1}
	r := merge(batch[together[0]], batch, together[1:], &outcomes)
	ok, err := insertAt(insert, v, &r, r.At.UnixMilli())
	if err != nil {
		return err
	}
	if !ok {
		place, there, err := s.resolve(tx, &r)
		switch {
		case errors.Is(err, errDuplicate):
			inserted.Duplicates++
			return nil
		case errors.Is(err, errMerge):
			n := inserted.Merged
			if merged := merge(there, batch, together, inserted); inserted.Merged > n {
				return replace(tx, v, &merged)
			}
			return nil
		case err != nil:
			return err
		}
		if ok, err = insertAt(insert, v, &r, place); err != nil || !ok {
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

var (
	errDuplicate = errors.New("stored before")
	errMerge     = errors.New("to be merged into what is stored")
	errOccupied  = errors.New("a place that was free is not")
)

// insertAt inserts r, as v, at the millisecond at. It reports false where that is occupied.
func insertAt(insert *sql.Stmt, v *row, r *iot.Reading, at int64) (ok bool, err error) {
	if err := v.fill(r, at); err != nil {
		return false, err
	}
	result, err := insert.Exec(v[:]...)
	if err != nil {
		return false, err
	}
	n, err := result.RowsAffected()
	return n == 1, err
}

// replace stores r, as v, instead of what is at its millisecond.
func replace(tx *sql.Tx, v *row, r *iot.Reading) error {
	if err := v.fill(r, r.At.UnixMilli()); err != nil {
		return err
	}
	_, err := tx.Exec(replaceRow, v[:]...)
	return err
}

// resolve is for r whose millisecond is occupied. It returns the one at which r can be stored all the same: another
// one, or its own, from which it has moved a reading that a server stamped, or removed a damaged row. Else it is
// errDuplicate, or errMerge with the reading that is there.
func (s *Store) resolve(tx *sql.Tx, r *iot.Reading) (place int64, there iot.Reading, err error) {
	at := r.At.UnixMilli()
	v, err := scan(tx.QueryRow(selectRow, at, int64(r.Device)))
	if err != nil {
		return 0, there, err
	}
	there, err = v.reading()
	if err != nil {
		s.report(&v, err)
		_, err := tx.Exec(deleteRow, at, int64(r.Device))
		return at, there, err
	}
	if r.Origin == 0 {
		if there.Origin == 0 {
			return 0, there, errMerge
		}
		free, err := s.nextFree(tx, r)
		if err == nil {
			v.move(free)
			_, err = tx.Exec(updateMoved, free, v[movedFromColumn], v[checksumColumn], at, int64(r.Device))
		}
		return at, there, err
	}
	// Readings of earlier versions have no origin.
	if there.Origin == r.Origin && v[movedFromColumn] == nil || there.Origin == 0 && there.Stamped != iot.StampDevice && there.SameContent(*r) {
		return 0, there, errDuplicate
	}
	var moved int
	if err := tx.QueryRow(selectMoved, int64(r.Device), int64(r.Origin), at).Scan(&moved); err != nil {
		return 0, there, err
	}
	if moved > 0 {
		return 0, there, errDuplicate
	}
	place, err = s.nextFree(tx, r)
	return place, there, err
}

// nextFree returns the first millisecond behind that of r at which its device has no reading.
func (s *Store) nextFree(tx *sql.Tx, r *iot.Reading) (int64, error) {
	return s.occupied.NextFree(r.Device, r.At.UnixMilli(), func(from int64, limit int) ([]int64, error) {
		return listOccupied(tx, r.Device, from, limit)
	})
}

// listOccupied is what occupied.Ranges asks for.
func listOccupied(tx *sql.Tx, device iot.DeviceID, from int64, limit int) (times []int64, err error) {
	rows, err := tx.Query(selectOccupied, int64(device), from, limit)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		var at int64
		if err := rows.Scan(&at); err != nil {
			return nil, err
		}
		times = append(times, at)
	}
	return times, rows.Err()
}
