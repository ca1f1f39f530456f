package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"

	"github.com/telltale-iot/telltale/pkg/iot"
)

const (
	insertRow = `INSERT INTO readings (` + columns + `) VALUES (?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING`
	selectRow = `SELECT ` + columns + ` FROM readings WHERE timestamp = ? AND device_id = ?`
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
// carries out all. When ctx ends a call leaves the queue; once it is being carried out it is finished.
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
			call.result, call.err = iot.Inserted{}, fmt.Errorf("insert readings: %w", err)
		}
		close(call.done)
	}
	s.db.BoundWAL()
}

func (s *Store) insert(ctx context.Context, calls []*insertion) (err error) {
	tx, err := s.db.Write.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer func() {
		if rollbackErr := tx.Rollback(); !errors.Is(rollbackErr, sql.ErrTxDone) {
			err = errors.Join(err, rollbackErr)
		}
	}()
	insert, err := tx.PrepareContext(ctx, insertRow)
	if err != nil {
		return err
	}
	for _, call := range calls {
		if call.result, err = insertBatch(tx, insert, call.batch); err != nil {
			return err
		}
	}
	return tx.Commit()
}

// insertBatch inserts a row at a time: many rows in a statement would save a tenth of the time, and not tell
// which of them clashed.
func insertBatch(tx *sql.Tx, insert *sql.Stmt, batch []iot.Reading) (inserted iot.Inserted, err error) {
	var row []any
	for i, r := range batch {
		if row, err = appendRow(row[:0], r); err != nil {
			return inserted, err
		}
		result, err := insert.Exec(row...)
		if err != nil {
			return inserted, err
		}
		if n, err := result.RowsAffected(); err != nil {
			return inserted, err
		} else if n == 1 {
			inserted.New++
			continue
		}
		stored, err := scan(tx.QueryRow(selectRow, r.At.UnixMilli(), int64(r.Device)))
		if err != nil {
			return inserted, err
		}
		if stored.SameContent(r) {
			inserted.Duplicates++
		} else {
			inserted.Conflicts = append(inserted.Conflicts, i)
		}
	}
	return inserted, nil
}
