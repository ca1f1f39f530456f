package sqlite

import (
	"cmp"
	"database/sql"
	"errors"
	"fmt"
	"slices"

	"github.com/telltale-iot/telltale/pkg/column"
	"github.com/telltale-iot/telltale/pkg/iot"
	"github.com/telltale-iot/telltale/pkg/readings/internal/timerange"
)

const (
	blocksOldest = `SELECT start, summary, data FROM blocks WHERE device_id = ? AND start >= ? AND start < ? AND until >= ? ORDER BY start`
	blocksNewest = blocksOldest + ` DESC`
	hourBehind   = `SELECT min(start) FROM blocks WHERE start >= ? AND start < ?`
	hourBefore   = `SELECT max(start) FROM blocks WHERE start >= ? AND start < ?`
)

// blockRows goes through rows of a block.
type blockRows struct {
	newest      bool
	block       *column.Block
	first, last int // of the rows that are left; last is behind them
	row         column.Row
}

// rowsOfBlock returns those in from <= at < until.
func rowsOfBlock(o order, b *column.Block, from, until int64) blockRows {
	first, _ := b.Find(from)
	last, _ := b.Find(until)
	return blockRows{newest: o.newest, block: b, first: first, last: last}
}

func (b *blockRows) next() (*iot.Reading, error) {
	if b.first >= b.last {
		return nil, nil
	}
	i := b.first
	if b.newest {
		b.last--
		i = b.last
	} else {
		b.first++
	}
	if err := b.block.Row(i, &b.row); err != nil {
		return nil, err
	}
	return &b.row.Reading, nil
}

func (b *blockRows) close() error { return nil }

// deviceBlocks goes through the blocks of a device, one after the other.
type deviceBlocks struct {
	order
	snapshot    *snapshot
	device      iot.DeviceID
	from, until int64
	may         func(iot.Summary) bool
	rows        *sql.Rows
	current     blockRows
}

// blocksOf returns a cursor over what blocks have of device in from <= at < until, but for what may refuses.
func (sn *snapshot) blocksOf(o order, device iot.DeviceID, from, until int64, may func(iot.Summary) bool) (*deviceBlocks, error) {
	query := blocksOldest
	if o.newest {
		query = blocksNewest
	}
	rows, err := sn.tx.QueryContext(sn.ctx, query, int64(device), hourOf(from), until, from)
	if err != nil {
		return nil, err
	}
	return &deviceBlocks{order: o, snapshot: sn, device: device, from: from, until: until, may: may, rows: rows}, nil
}

func (c *deviceBlocks) next() (*iot.Reading, error) {
	for {
		if r, err := c.current.next(); r != nil || err != nil {
			return r, err
		}
		block, err := c.nextBlock()
		if block == nil || err != nil {
			return nil, err
		}
		c.current = rowsOfBlock(c.order, block, c.from, c.until)
	}
}

// nextBlock returns the next block. nil: there is none.
func (c *deviceBlocks) nextBlock() (*column.Block, error) {
	for c.rows.Next() {
		var start int64
		var summary, data sql.RawBytes
		if err := c.rows.Scan(&start, &summary, &data); err != nil {
			return nil, err
		}
		block, err := c.snapshot.block(c.device, start, summary, data, c.may)
		if block != nil || err != nil {
			return block, err
		}
	}
	return nil, c.rows.Err()
}

func (c *deviceBlocks) close() error { return errors.Join(c.rows.Err(), c.rows.Close()) }

// block decodes a block. nil: it is damaged, or may refuses it.
func (sn *snapshot) block(device iot.DeviceID, start int64, summary, data []byte, may func(iot.Summary) bool) (*column.Block, error) {
	if may != nil {
		switch sum, err := column.ParseSummary(summary); {
		case err != nil && !errors.Is(err, column.ErrDamaged):
			return nil, fmt.Errorf("summary of device %d from %d: %w", device, start, err)
		case err == nil && !may(sum): // a damaged summary refuses nothing
			return nil, nil
		}
	}
	return sn.store.decode(sn.part, device, start, slices.Clone(data))
}

// allBlocks goes through the blocks of all devices, an hour at a time: no block goes beyond one. Of an hour it decodes each
// block when its first reading is due.
type allBlocks struct {
	merged
	snapshot *snapshot
	times    timerange.Range
	may      func(iot.Summary) bool
	from     int64     // of the hours that are left, from <= at < until
	until    int64     //
	waiting  []blockID // of this hour
}

// blocks returns a cursor over what blocks have in times, but for what may refuses.
func (sn *snapshot) blocks(o order, times timerange.Range, may func(iot.Summary) bool) cursor {
	until := times.End
	if times.EndDevice != 0 {
		until++
	}
	return &allBlocks{merged: merged{order: o}, snapshot: sn, times: times, may: may, from: hourOf(times.From), until: until}
}

func (c *allBlocks) next() (*iot.Reading, error) {
	for {
		r, err := c.merged.next()
		if err != nil {
			return nil, err
		}
		// A block that begins before r, or where there is none.
		if len(c.waiting) > 0 && (r == nil || !c.precedes(positionOf(r), c.begin(c.waiting[0]))) {
			if err := c.decode(); err != nil {
				return nil, err
			}
			c.returned = false // r comes again
			continue
		}
		if r != nil {
			return r, nil
		}
		if more, err := c.nextHour(); err != nil || !more {
			return nil, err
		}
	}
}

// begin returns where b begins, in the order of c.
func (c *allBlocks) begin(b blockID) position {
	if c.newest {
		return position{b.until, int64(b.device)}
	}
	return position{b.start, int64(b.device)}
}

// nextHour lists the blocks of the next hour that has any in the times. It reports false where there is none.
func (c *allBlocks) nextHour() (more bool, err error) {
	for len(c.waiting) == 0 {
		query := hourBehind
		if c.newest {
			query = hourBefore
		}
		var start sql.NullInt64
		if err := c.snapshot.tx.QueryRowContext(c.snapshot.ctx, query, c.from, c.until).Scan(&start); err != nil || !start.Valid {
			return false, err
		}
		hour := hourOf(start.Int64)
		if err := c.list(hour); err != nil {
			return false, err
		}
		if c.newest {
			c.until = hour
		} else {
			c.from = hour + blockHour
		}
	}
	return true, nil
}

func (c *allBlocks) list(hour int64) error {
	rows, err := c.snapshot.tx.QueryContext(c.snapshot.ctx, listBlocks, hour, hour+blockHour)
	if err != nil {
		return err
	}
	defer func() { _ = rows.Close() }()
	for rows.Next() {
		var b blockID
		if err := rows.Scan(&b.start, &b.device, &b.until, &b.n); err != nil {
			return err
		}
		if b.until >= c.times.FromFor(b.device) && b.start < c.times.EndFor(b.device) {
			c.waiting = append(c.waiting, b)
		}
	}
	slices.SortFunc(c.waiting, func(a, b blockID) int {
		x, y := c.begin(a), c.begin(b)
		n := cmp.Or(cmp.Compare(x.timestamp, y.timestamp), cmp.Compare(x.device, y.device))
		if c.newest {
			return -n
		}
		return n
	})
	return rows.Err()
}

// decode adds the first of the blocks that wait.
func (c *allBlocks) decode() error {
	b := c.waiting[0]
	c.waiting = c.waiting[1:]
	var summary, data []byte
	if err := c.snapshot.tx.QueryRowContext(c.snapshot.ctx, selectBlock, int64(b.device), b.start).Scan(&summary, &data); err != nil {
		return err
	}
	block, err := c.snapshot.block(b.device, b.start, summary, data, c.may)
	if err != nil || block == nil {
		return err
	}
	rows := rowsOfBlock(c.order, block, c.times.FromFor(b.device), c.times.EndFor(b.device))
	c.add(&rows)
	return nil
}
