package sqlite

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"

	"github.com/telltale-iot/telltale/pkg/iot"
	"github.com/telltale-iot/telltale/pkg/sqlite"
)

// writing is what the call that has the turn writes: a transaction in each part that it touches.
type writing struct {
	ctx   context.Context
	store *Store
	parts []*transaction
	last  *transaction // that was asked for
}

// view is what a transaction in a part sees of it.
type view struct {
	span
	ctx      context.Context
	store    *Store
	tx       *sql.Tx
	prepared map[string]*sql.Stmt // by what they say
}

func (s *Store) view(ctx context.Context, of span) view {
	return view{span: of, ctx: ctx, store: s, prepared: map[string]*sql.Stmt{}}
}

// prepare returns a statement for what is run many times: to prepare it takes longer than to run it. Its rows are closed before
// it is run again.
func (v *view) prepare(statement string) (*sql.Stmt, error) {
	prepared, ok := v.prepared[statement]
	if ok {
		return prepared, nil
	}
	prepared, err := v.tx.PrepareContext(v.ctx, statement)
	if err == nil {
		v.prepared[statement] = prepared
	}
	return prepared, err
}

// failed returns why a statement failed: when the context ends, those of its transaction are closed.
func (v *view) failed(err error) error {
	if err == nil {
		return nil
	}
	return cmp.Or(v.ctx.Err(), err)
}

func (v *view) exec(statement string, args ...any) (sql.Result, error) {
	prepared, err := v.prepare(statement) //nolint:sqlclosecheck // the transaction closes it
	if err != nil {
		return nil, v.failed(err)
	}
	result, err := prepared.ExecContext(v.ctx, args...)
	return result, v.failed(err)
}

func (v *view) query(statement string, args ...any) (*sql.Rows, error) {
	prepared, err := v.prepare(statement) //nolint:sqlclosecheck // the transaction closes it
	if err != nil {
		return nil, v.failed(err)
	}
	rows, err := prepared.QueryContext(v.ctx, args...)
	return rows, v.failed(err)
}

// queryRow selects a row.
func (v *view) queryRow(statement string, args ...any) selected {
	prepared, err := v.prepare(statement) //nolint:sqlclosecheck // the transaction closes it
	if err != nil {
		return selected{view: v, err: err}
	}
	return selected{view: v, row: prepared.QueryRowContext(v.ctx, args...)}
}

// selected is a row, or why there is none.
type selected struct {
	view *view
	row  *sql.Row
	err  error
}

func (s selected) Scan(dest ...any) error {
	if s.err == nil {
		s.err = s.row.Scan(dest...)
	}
	return s.view.failed(s.err)
}

// transaction is one that writes in a part.
type transaction struct {
	view
	db      *sqlite.DB
	release func()
	places  []place                // of rows that it adds
	changes map[iot.DeviceID]int64 // of the counts

	sealedUntil int64     // from here on there are no blocks
	covered     *covering // that was asked for last
	blockBytes  int       // that were written anew, of blocks and what is in them; what was only decoded counts a tenth: it takes as much less time
}

func (s *Store) write(ctx context.Context) *writing { return &writing{ctx: ctx, store: s} }

// at returns the transaction in the part that owns the millisecond at. It creates the part where there is none.
func (w *writing) at(at int64) (*transaction, error) {
	if t := w.last; t != nil && t.from <= at && at < t.until {
		return t, nil
	}
	owner, ok := w.store.layout.owner(at)
	if !ok {
		var err error
		if owner, err = w.store.addMonth(w.ctx, at); err != nil {
			return nil, err
		}
	}
	for _, t := range w.parts {
		if t.part == owner.part {
			t.span = owner // of the two that a month may have
			w.last = t
			return t, nil
		}
	}
	t, err := w.store.begin(w.ctx, owner)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", owner.path, err)
	}
	w.parts = append(w.parts, t)
	w.last = t
	return t, nil
}

func (s *Store) begin(ctx context.Context, owner span) (*transaction, error) {
	db, release, err := s.files.use(owner.part)
	if err != nil {
		return nil, err
	}
	t := &transaction{view: s.view(ctx, owner), db: db, release: release, changes: map[iot.DeviceID]int64{}}
	if t.tx, err = db.Write.BeginTx(ctx, nil); err != nil {
		release()
		return nil, err
	}
	if err := t.findBlocks(); err != nil {
		t.end()
		return nil, err
	}
	return t, nil
}

// findBlocks finds out up to where there are blocks.
func (t *transaction) findBlocks() error {
	if t.old {
		return nil
	}
	var newest sql.NullInt64
	if err := t.queryRow(newestBlock).Scan(&newest); err != nil {
		return err
	}
	if newest.Valid {
		t.sealedUntil = hourOf(newest.Int64) + blockHour
	}
	return nil
}

// What bounds the transactions of a turn, beside the number of readings that come: others wait for their end.
const (
	maxTurnBytes = 16 << 20 // of blocks and what is in them: some 0.1 s
	maxTurnParts = 12       // a file each
)

// isFull reports whether others are to have their turn before there is more to write.
func (w *writing) isFull() bool {
	bytes := 0
	for _, t := range w.parts {
		bytes += t.blockBytes
	}
	return bytes >= w.store.turnBytes || len(w.parts) >= maxTurnParts
}

// commit commits the later parts first: a reading that moves is stored before it is removed.
func (w *writing) commit() error {
	slices.SortFunc(w.parts, func(a, b *transaction) int { return cmp.Compare(b.from, a.from) })
	for _, t := range w.parts {
		if err := t.commit(); err != nil {
			return fmt.Errorf("%s: %w", t.path, err)
		}
	}
	return nil
}

// end ends what was not committed, and bounds the WAL of what was.
func (w *writing) end() {
	for _, t := range w.parts {
		t.end()
		t.db.BoundWAL()
	}
}

func (t *transaction) commit() error { return t.commitAnd(func(*Store) {}) }

// commitAnd has then change what state guards at the moment at which what was written counts.
func (t *transaction) commitAnd(then func(*Store)) error {
	if err := t.rewrite(); err != nil {
		return err
	}
	s := t.store
	if !t.old {
		s.state.Lock()
		s.rows += len(t.places)
		s.hot.add(t.places)
		full := s.rows > maxHotRows
		s.state.Unlock()
		if full {
			select {
			case s.full <- struct{}{}:
			default: // it is known
			}
		}
	}
	if err := t.tx.Commit(); err != nil {
		return err
	}
	if !t.old {
		s.state.Lock()
		for device, n := range t.changes {
			s.counts[device] += n
		}
		then(s)
		s.state.Unlock()
	}
	return nil
}

func (t *transaction) end() {
	_ = t.tx.Rollback() // where it was committed it is none any more
	t.release()
}

// insertAt inserts r, as v, at the millisecond at. It reports false where that is occupied.
func (t *transaction) insertAt(v *row, r *iot.Reading, at int64) (ok bool, err error) {
	if c, _, err := t.sealed(r.Device, at); err != nil || c != nil {
		return false, err
	}
	if err := v.fill(r, at); err != nil {
		return false, err
	}
	return t.add(v)
}

// add adds v, a reading that no block has, unless its place is occupied.
func (t *transaction) add(v *row) (ok bool, err error) {
	if ok, err := t.addRow(v); err != nil || !ok {
		return false, err
	}
	t.changes[v.place().device]++
	return true, nil
}

// addRow adds v, a reading that is new or was in a block, unless its place is occupied.
func (t *transaction) addRow(v *row) (ok bool, err error) {
	statement, values := t.insertPlain, v.plain()
	if values == nil {
		statement, values = t.insertRow, v[:]
	}
	result, err := t.exec(statement, values...)
	if err != nil {
		return false, err
	}
	n, err := result.RowsAffected()
	if err != nil || n == 0 {
		return false, err
	}
	p := v.place()
	t.touchRow(p.device, p.at)
	t.places = append(t.places, p)
	return true, nil
}

// replace stores r, as v, instead of the reading at its millisecond.
func (t *transaction) replace(v *row, r *iot.Reading) error {
	if err := t.unseal(r.Device, r.At.UnixMilli()); err != nil {
		return err
	}
	if err := v.fill(r, r.At.UnixMilli()); err != nil {
		return err
	}
	t.touchRow(r.Device, r.At.UnixMilli())
	_, err := t.exec(t.replaceRow, v[:]...)
	return err
}

// remove removes the row of device at the millisecond at.
func (t *transaction) remove(device iot.DeviceID, at int64) error {
	t.touchRow(device, at)
	_, err := t.exec(t.deleteRow, at, int64(device))
	t.changes[device]--
	return err
}

// isOccupied reports whether device has a reading at the millisecond at.
func (t *transaction) isOccupied(device iot.DeviceID, at int64) (occupied bool, err error) {
	if c, _, err := t.sealed(device, at); err != nil || c != nil {
		return c != nil, err
	}
	err = t.queryRow(t.countRow, at, int64(device)).Scan(&occupied)
	return occupied, err
}

// hasMoved reports whether the reading of device that was stamped with the millisecond from has been moved. It lies before
// free.
func (t *transaction) hasMoved(device iot.DeviceID, origin uint64, from, free int64) (moved bool, err error) {
	// What the old file has of others' times is not its own any more.
	if err := t.queryRow(t.countMoved, int64(device), int64(origin), from, t.from, t.until).Scan(&moved); err != nil || moved {
		return moved, err
	}
	return t.hasMovedInBlock(device, origin, from, free)
}

// errOccupied is a fault of the store's.
var errOccupied = errors.New("a place that was free is not")
