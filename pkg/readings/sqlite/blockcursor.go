package sqlite

import (
	"cmp"
	"database/sql"
	"slices"

	"github.com/telltale-iot/telltale/pkg/column"
	"github.com/telltale-iot/telltale/pkg/iot"
	"github.com/telltale-iot/telltale/pkg/readings/internal/timerange"
)

const (
	hourBehind = `SELECT min(start) FROM blocks WHERE start >= ? AND start < ?`
	hourBefore = `SELECT max(start) FROM blocks WHERE start >= ? AND start < ?`
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
	from, until int64
	may         func(iot.Summary) bool
	waiting     []blockID // in the order
	current     blockRows
}

// cursorOf returns a cursor over what blocks have of device in from <= at < until, but for what may refuses.
func (sn *snapshot) cursorOf(o order, device iot.DeviceID, from, until int64, may func(iot.Summary) bool) (*deviceBlocks, error) {
	blocks, err := sn.blocksOf(device, from, until)
	if o.newest {
		slices.Reverse(blocks)
	}
	return &deviceBlocks{order: o, snapshot: sn, from: from, until: until, may: may, waiting: blocks}, err
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
func (c *deviceBlocks) nextBlock() (block *column.Block, err error) {
	for block == nil && err == nil && len(c.waiting) > 0 {
		block, err = c.snapshot.blockOf(c.waiting[0], c.may)
		c.waiting = c.waiting[1:]
	}
	return block, err
}

func (c *deviceBlocks) close() error { return nil }

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
	err := c.snapshot.blocksOfHour(hour, func(b blockID) {
		if b.until >= c.times.FromFor(b.device) && b.start < c.times.EndFor(b.device) {
			c.waiting = append(c.waiting, b)
		}
	})
	slices.SortFunc(c.waiting, func(a, b blockID) int {
		x, y := c.begin(a), c.begin(b)
		n := cmp.Or(cmp.Compare(x.timestamp, y.timestamp), cmp.Compare(x.device, y.device))
		if c.newest {
			return -n
		}
		return n
	})
	return err
}

// decode adds the first of the blocks that wait.
func (c *allBlocks) decode() error {
	b := c.waiting[0]
	c.waiting = c.waiting[1:]
	block, err := c.snapshot.blockOf(b, c.may)
	if err != nil || block == nil {
		return err
	}
	rows := rowsOfBlock(c.order, block, c.times.FromFor(b.device), c.times.EndFor(b.device))
	c.add(&rows)
	return nil
}
