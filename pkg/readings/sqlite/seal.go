package sqlite

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"

	"github.com/telltale-iot/telltale/pkg/column"
	"github.com/telltale-iot/telltale/pkg/iot"
	"github.com/telltale-iot/telltale/pkg/rollup"
	"github.com/telltale-iot/telltale/pkg/sqlite"
)

const (
	scanSlice   = `SELECT ` + columns + ` FROM rows WHERE timestamp >= ? AND timestamp < ? AND device_id BETWEEN ? AND ? ORDER BY timestamp, device_id`
	deleteSlice = `DELETE FROM rows WHERE (timestamp, device_id) > (?, ?) AND (timestamp, device_id) < (?, ?)`
	firstRow    = `SELECT min(timestamp) FROM rows WHERE timestamp >= ? AND timestamp < ?`
)

// What bounds the memory of a seal, and the time for which inserts wait for it.
const (
	maxSliceRows  = 100_000
	maxSliceBytes = 16 << 20 // of content
	// An hour with more rows is read several times, each time the rows of some devices: with many devices, an hour that is
	// cut would be written, with its blocks and days, once for each piece.
	maxSealedRows = 10 * maxSliceRows
)

// What bounds a block: more is slow to read where little of it is wanted.
const (
	maxBlockRows  = 1 << 14
	maxBlockBytes = 4 << 20 // of content
	// Blocks with fewer readings are put together with what comes to their hour later.
	smallBlock = 1 << 10
)

// errUnsealable means that an hour has rows that are out of order, or that no block can have: it stays as it is.
var errUnsealable = errors.New("they are not as they should be")

// sealing makes blocks of rows of an hour, from <= at < until, in a transaction. Each reading is in the one or the other,
// whatever happens.
type sealing struct {
	*transaction
	ctx         context.Context
	from, until int64
	rows        map[iot.DeviceID][]column.Row // ascending in time
	scanned     int
	kept        []place // that stay rows: they are damaged, or too large for a block
	insert      *sql.Stmt
	buffer      []byte
}

// seal seals the first rows of t in from <= at < until, all of one hour. nil: there are none.
//
// whole: all devices are read at once.
func (t *transaction) seal(ctx context.Context, from, until int64, whole bool) (*sealing, error) {
	var first sql.NullInt64
	if err := t.tx.QueryRowContext(ctx, firstRow, from, until).Scan(&first); err != nil || !first.Valid {
		return nil, err
	}
	hour := hourOf(first.Int64)
	s := &sealing{transaction: t, ctx: ctx, from: first.Int64, until: min(until, hour+blockHour), rows: map[iot.DeviceID][]column.Row{}}
	blocks, err := s.blocksOf(hour)
	if err != nil {
		return nil, err
	}
	if s.insert, err = t.tx.PrepareContext(ctx, insertBlock); err != nil {
		return nil, err
	}
	all := []devices{{1, iot.MaxDeviceID}}
	if !whole {
		for all = t.store.divide(s.from, s.until); len(all) > maxSealedRows/maxSliceRows && s.until-s.from > 1; all = t.store.divide(s.from, s.until) {
			s.until = s.from + (s.until-s.from)/2
		}
	}
	for _, some := range all {
		clear(s.rows)
		if err := s.read(some, len(all) > 1); err != nil {
			return s, err
		}
		for _, device := range slices.Sorted(maps.Keys(s.rows)) {
			if err := s.sealDevice(device, blocks[device]); err != nil {
				return s, fmt.Errorf("device %d: %w", device, err)
			}
		}
	}
	return s, s.deleteRows()
}

// devices are those from the first to the last.
type devices struct{ first, last iot.DeviceID }

// divide divides all devices into some that have about maxSliceRows rows together in from <= at < until.
func (s *Store) divide(from, until int64) (all []devices) {
	first, rows := iot.DeviceID(1), 0
	for _, device := range slices.Sorted(maps.Keys(s.hot)) {
		n := len(s.hot.between(device, from, until))
		if rows > 0 && rows+n > maxSliceRows {
			all = append(all, devices{first, device - 1})
			first, rows = device, 0
		}
		rows += n
	}
	return append(all, devices{first, iot.MaxDeviceID})
}

// errTooMuch means that the rows of some devices take too much memory: the slice is cut in time instead.
var errTooMuch = errors.New("too much content")

// read reads the rows of some devices. Where they are all it brings the end forward if the rows are too many.
func (s *sealing) read(some devices, divided bool) error {
	bytes := 0
	last := position{math.MinInt64, 0}
	n := 0
	rows, err := s.tx.QueryContext(s.ctx, scanSlice, s.from, s.until, int64(some.first), int64(some.last))
	return sqlite.ForEach(rows, err, func() (more bool, err error) {
		v, err := scan(rows)
		if err != nil {
			return false, err
		}
		at := v.place()
		p := position{at.at, int64(at.device)}
		if at.at < s.from || at.at >= s.until || !last.precedes(p) {
			s.store.report(s.part, &v, errMisplaced)
			return false, errUnsealable
		}
		if full := n >= maxSliceRows || bytes >= maxSliceBytes; full && divided && bytes >= maxSliceBytes {
			return false, errTooMuch
		} else if full && !divided && at.at > last.timestamp {
			s.until = at.at
			return false, nil
		}
		last = p
		n++
		s.scanned++
		r, err := v.reading()
		if err != nil {
			s.store.report(s.part, &v, err)
			s.kept = append(s.kept, at)
			return true, nil
		}
		moved, _ := v[movedFromColumn].(int64)
		s.rows[at.device] = append(s.rows[at.device], column.Row{Reading: r, MovedFrom: moved})
		bytes += r.ContentBytes()
		return true, nil
	})
}

// blocksOf lists the blocks of an hour, by device, ascending.
func (s *sealing) blocksOf(hour int64) (map[iot.DeviceID][]blockID, error) {
	blocks := map[iot.DeviceID][]blockID{}
	rows, err := s.tx.QueryContext(s.ctx, listBlocks, hour, hour+blockHour)
	return blocks, sqlite.ForEach(rows, err, func() (more bool, err error) {
		var b blockID
		err = rows.Scan(&b.start, &b.device, &b.until, &b.n)
		blocks[b.device] = append(blocks[b.device], b)
		return true, err
	})
}

// sealDevice makes blocks of the rows of a device, and of those of its blocks of the hour that they lie in, or that are small
// and beside these.
func (s *sealing) sealDevice(device iot.DeviceID, blocks []blockID) error {
	rows := s.rows[device]
	first, last := rows[0].At.UnixMilli(), rows[len(rows)-1].At.UnixMilli()
	from := slices.IndexFunc(blocks, func(b blockID) bool { return b.until >= first })
	if from < 0 {
		from = len(blocks)
	}
	until := from
	for ; until < len(blocks) && blocks[until].start <= last; until++ {
		more, ok, err := s.rowsOf(blocks[until])
		if err != nil {
			return err
		}
		if !ok { // nothing can take the place of a damaged block: the rows stay
			for _, r := range s.rows[device] {
				s.kept = append(s.kept, place{device, r.At.UnixMilli()})
			}
			return nil
		}
		rows = append(rows, more...)
	}
	// Small ones beside them, but none behind another block: what is made of them would lie over that.
	take := func(i int) (ok bool, err error) {
		if i < 0 || i == len(blocks) || blocks[i].n >= smallBlock {
			return false, nil
		}
		more, ok, err := s.rowsOf(blocks[i])
		rows = append(rows, more...)
		return ok, err
	}
	for ok, err := take(from - 1); ok || err != nil; ok, err = take(from - 1) {
		if err != nil {
			return err
		}
		from--
	}
	for ok, err := take(until); ok || err != nil; ok, err = take(until) {
		if err != nil {
			return err
		}
		until++
	}
	replaced := blocks[from:until]
	if len(replaced) > 0 {
		slices.SortFunc(rows, func(a, b column.Row) int { return a.At.Compare(b.At) })
	}
	n := 0
	for _, b := range replaced {
		if _, err := s.tx.Exec(deleteBlock, int64(device), b.start); err != nil {
			return err
		}
		n -= b.n
	}
	start, end := quartersOf(rows[0].At.UnixMilli(), rows[len(rows)-1].At.UnixMilli())
	var span rollup.Span
	if len(blocks) > len(replaced) { // others may be of the same quarters
		if err := s.addBlocks(&span, device, start, end); err != nil {
			return err
		}
	}
	for len(rows) > 0 {
		added, err := s.addBlock(rows[:prefix(rows)])
		if err != nil {
			return err
		}
		for i := range added {
			span.Add(&rows[i].Reading)
		}
		rows = rows[max(added, 1):]
		n += added
	}
	if _, err := s.tx.Exec(changeSealed, int64(device), n); err != nil {
		return err
	}
	return s.replaceQuarters(device, start, end, span.Metrics)
}

// rowsOf returns what is in b. ok is false where that is damaged.
func (s *sealing) rowsOf(b blockID) (rows []column.Row, ok bool, err error) {
	var summary, data []byte
	if err := s.tx.QueryRow(selectBlock, int64(b.device), b.start).Scan(&summary, &data); err != nil {
		return nil, false, err
	}
	block, err := s.store.decode(s.part, b.device, b.start, data)
	if err != nil || block == nil {
		return nil, false, err
	}
	rows = make([]column.Row, block.Len())
	for i := range rows {
		if err := block.Row(i, &rows[i]); err != nil {
			return nil, false, err
		}
	}
	return rows, true, nil
}

// prefix returns how many of rows are enough for a block.
func prefix(rows []column.Row) int {
	bytes := 0
	for i := range rows {
		if bytes += rows[i].ContentBytes(); i > 0 && (i == maxBlockRows || bytes > maxBlockBytes) {
			return i
		}
	}
	return len(rows)
}

// addBlock adds a block of rows, or of the first of them, and returns of how many. 0: the first one is too large, and stays
// a row.
func (s *sealing) addBlock(rows []column.Row) (n int, err error) {
	data, err := column.Encode(s.buffer[:0], rows)
	if errors.Is(err, column.ErrTooLarge) {
		if len(rows) > 1 {
			return s.addBlock(rows[:len(rows)/2])
		}
		s.kept = append(s.kept, place{rows[0].Device, rows[0].At.UnixMilli()})
		return 0, nil
	}
	if err == nil {
		err = verify(data, rows)
	}
	if err != nil {
		return 0, fmt.Errorf("%w: %w", errUnsealable, err)
	}
	s.buffer = data
	first, last := &rows[0], &rows[len(rows)-1]
	_, err = s.insert.Exec(int64(first.Device), first.At.UnixMilli(), last.At.UnixMilli(), len(rows), column.AppendSummary(nil, rows), data)
	return len(rows), err
}

// errUnequal is a fault of package column's.
var errUnequal = errors.New("a block has not what was put into it")

// verify decodes data and compares it with rows.
func verify(data []byte, rows []column.Row) error {
	block, err := column.Decode(data)
	if err != nil {
		return err
	}
	if block.Len() != len(rows) {
		return errUnequal
	}
	var r column.Row
	for i := range rows {
		if err := block.Row(i, &r); err != nil {
			return err
		}
		if !same(&r, &rows[i]) {
			return fmt.Errorf("%w: %+v, not %+v", errUnequal, r, rows[i])
		}
	}
	return nil
}

// same reports whether a and b are the same to the last bit.
func same(a, b *column.Row) bool {
	return a.Device == b.Device && a.Key == b.Key && a.At.Equal(b.At) && a.Received.Equal(b.Received) && a.Stamped == b.Stamped && a.Said == b.Said &&
		a.Origin == b.Origin && a.MovedFrom == b.MovedFrom && slices.Equal(a.Attributes, b.Attributes) &&
		slices.EqualFunc(a.Metrics, b.Metrics, func(a, b iot.Metric) bool {
			return a.Name == b.Name && math.Float64bits(a.Value) == math.Float64bits(b.Value)
		})
}

// deleteRows deletes the rows, but for those that are kept.
func (s *sealing) deleteRows() error {
	slices.SortFunc(s.kept, func(a, b place) int { return cmp.Or(cmp.Compare(a.at, b.at), cmp.Compare(a.device, b.device)) })
	after, deleted := position{s.from, 0}, 0
	for i := range len(s.kept) + 1 {
		before := position{s.until, 0}
		if i < len(s.kept) {
			before = position{s.kept[i].at, int64(s.kept[i].device)}
		}
		result, err := s.tx.ExecContext(s.ctx, deleteSlice, after.timestamp, after.device, before.timestamp, before.device)
		if err != nil {
			return err
		}
		n, err := result.RowsAffected()
		if err != nil {
			return err
		}
		deleted += int(n)
		after = before
	}
	if want := s.scanned - len(s.kept); deleted != want {
		return fmt.Errorf("%w: %d of %d were deleted", errUnsealable, deleted, want)
	}
	return nil
}
