package sqlite

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"

	"github.com/telltale-iot/telltale/pkg/column"
	"github.com/telltale-iot/telltale/pkg/iot"
	"github.com/telltale-iot/telltale/pkg/rollup"
)

// What bounds a block: more is slow to read where little of it is wanted.
const (
	maxBlockRows  = 1 << 14
	maxBlockBytes = 4 << 20 // of content
	// Blocks with fewer readings are put together with what comes to their hour later.
	smallBlock = 1 << 10
)

// sealing is what takes the place of the rows of a device in a slice.
type sealing struct {
	device   iot.DeviceID
	scanned  int     // rows
	kept     []place // that stay rows: they are damaged, or too large for a block
	replaced []blockID
	same     []blockID // that stay
	lost     int64     // readings of damaged blocks that rows take the place of
	blocks   []newBlock
	day      int64
	dayData  []byte
	err      error // why nothing does: it is errUnsealable
}

// newBlock is a block that is to be written.
type newBlock struct {
	blockID
	summary, data []byte
}

// prepareSealed makes blocks for the first n of devices.
func (s *Store) prepareSealed(ctx context.Context, sl *slice, devices []iot.DeviceID, rows map[iot.DeviceID][]byte) (some []*sealing, n int, err error) {
	sn, err := s.snapshotOf(ctx, func() (span, bool) { return sl.span, true })
	if err != nil {
		return nil, 0, err
	}
	defer func() { err = errors.Join(err, sn.end()) }()
	hour := hourOf(sl.from)
	blocks := map[iot.DeviceID][]blockID{} // ascending
	err = sn.blocksOfHour(hour, func(b blockID) {
		if b.device >= devices[0] && b.device <= devices[len(devices)-1] {
			blocks[b.device] = append(blocks[b.device], b)
		}
	})
	if err != nil {
		return nil, 0, err
	}
	p := preparing{view: sn.view}
	written, bytes := 0, 0
	for ; n < len(devices) && written < maxWrittenRows && bytes < maxWrittenBytes; n++ {
		device := devices[n]
		p.sealing = &sealing{device: device, day: rollup.DayOf(hour)}
		err := p.prepare(rows[device], blocks[device])
		if err != nil && !errors.Is(err, errUnsealable) {
			return nil, 0, fmt.Errorf("device %d: %w", device, err)
		}
		p.err = err
		some = append(some, p.sealing)
		written += p.scanned
		for _, b := range p.blocks {
			bytes += len(b.data) + len(b.summary)
		}
		bytes += len(p.dayData)
		delete(rows, device)
	}
	return some, n, nil
}

// preparing makes the blocks of one device after the other.
type preparing struct {
	view
	*sealing
	rows    []column.Row // but for those that are damaged
	run     []column.Row // what the next blocks are made of
	from    []blockID    // of which blocks
	hasRows bool         // and of rows
}

// prepare makes blocks of rows, and of those blocks of the hour that they lie in, or that are small and beside these.
func (p *preparing) prepare(data []byte, blocks []blockID) error {
	rows, err := p.rowsOf(data)
	if err != nil {
		return err
	}
	p.rows, p.run, p.from, p.hasRows = rows, p.run[:0], nil, false
	for len(rows) > 0 || len(blocks) > 0 {
		n := len(rows)
		if len(p.run) >= maxBlockRows {
			if err := p.endRun(); err != nil {
				return err
			}
		}
		if len(blocks) == 0 || n > 0 && rows[0].At.UnixMilli() < blocks[0].start {
			if len(blocks) > 0 {
				n = countBefore(rows, blocks[0].start)
			}
		} else {
			b := blocks[0]
			blocks = blocks[1:]
			n = countBefore(rows, b.until+1)
			ok := n > 0 || b.n < smallBlock
			if ok {
				if p.run, ok, err = p.appendBlock(p.run, b); err != nil {
					return err
				}
				if !ok && n >= b.n { // it is damaged, and all that it had has come again
					p.lost += int64(b.n)
					ok = true
				}
			}
			if !ok { // it is large, or damaged: nothing can take its place, and rows in it stay
				for _, r := range rows[:n] {
					p.kept = append(p.kept, place{p.device, r.At.UnixMilli()})
				}
				rows = rows[n:]
				if err := p.endRun(); err != nil {
					return err
				}
				p.same = append(p.same, b)
				continue
			}
			p.from = append(p.from, b)
		}
		p.run = append(p.run, rows[:n]...)
		p.hasRows = p.hasRows || n > 0
		rows = rows[n:]
	}
	if err := p.endRun(); err != nil || len(p.blocks) == 0 {
		return err
	}
	return p.makeDay()
}

// countBefore returns how many of rows are before at.
func countBefore(rows []column.Row, at int64) int {
	n, _ := slices.BinarySearchFunc(rows, at, func(r column.Row, at int64) int { return int(max(-1, min(1, r.At.UnixMilli()-at))) })
	return n
}

// rowsOf decodes rows, but for those that are damaged.
func (p *preparing) rowsOf(data []byte) (rows []column.Row, err error) {
	for len(data) > 0 {
		var v row
		data = v.take(data)
		p.scanned++
		r, err := v.reading()
		if err != nil {
			p.store.report(p.part, &v, err)
			p.kept = append(p.kept, v.place())
			continue
		}
		moved, _ := v[movedFromColumn].(int64)
		rows = append(rows, column.Row{Reading: r, MovedFrom: moved})
	}
	return rows, nil
}

// appendBlock appends what is in b. ok is false where that is damaged.
func (p *preparing) appendBlock(rows []column.Row, b blockID) (all []column.Row, ok bool, err error) {
	block, err := p.blockOf(b, nil)
	if err != nil || block == nil {
		return rows, false, err
	}
	for i := range block.Len() {
		var r column.Row
		if err := block.Row(i, &r); err != nil {
			return rows, false, err
		}
		rows = append(rows, r)
	}
	return rows, true, nil
}

// endRun makes blocks of the run, if it has rows.
func (p *preparing) endRun() error {
	defer func() { p.run, p.from, p.hasRows = p.run[:0], nil, false }()
	if !p.hasRows {
		p.same = append(p.same, p.from...)
		return nil
	}
	slices.SortFunc(p.run, func(a, b column.Row) int { return a.At.Compare(b.At) })
	p.replaced = append(p.replaced, p.from...)
	for rows := p.run; len(rows) > 0; {
		n, err := p.addBlock(rows[:prefix(rows)])
		if err != nil {
			return err
		}
		rows = rows[max(n, 1):]
	}
	return nil
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

// addBlock makes a block of rows, or of the first of them, and returns of how many. 0: the first one is too large, and stays
// a row.
func (p *preparing) addBlock(rows []column.Row) (n int, err error) {
	b, err := encode(rows)
	if errors.Is(err, column.ErrTooLarge) {
		if len(rows) > 1 {
			return p.addBlock(rows[:len(rows)/2])
		}
		p.kept = append(p.kept, place{rows[0].Device, rows[0].At.UnixMilli()})
		return 0, nil
	}
	if err != nil {
		return 0, fmt.Errorf("%w: %w", errUnsealable, err)
	}
	p.blocks = append(p.blocks, b)
	return len(rows), nil
}

// encode makes a block of rows, which has what they are to the last bit.
func encode(rows []column.Row) (newBlock, error) {
	data, err := column.Encode(nil, rows)
	if err == nil {
		err = verify(data, rows)
	}
	if err != nil {
		return newBlock{}, err
	}
	first, last := &rows[0], &rows[len(rows)-1]
	id := blockID{start: first.At.UnixMilli(), device: first.Device, until: last.At.UnixMilli(), n: len(rows)}
	return newBlock{id, column.AppendSummary(nil, rows), data}, nil
}

// makeDay makes the day of the device anew, with the quarters of the blocks. Where one of these is damaged the rollup is all
// there is of it: what rows come to is added to that.
func (p *preparing) makeDay() (err error) {
	all := slices.Clone(p.same)
	fresh := map[int64][]byte{}
	for _, b := range p.blocks {
		all = append(all, b.blockID)
		fresh[b.start] = b.data
	}
	slices.SortFunc(all, func(a, b blockID) int { return int(a.start - b.start) }) // of one hour
	from, until := quartersOf(p.blocks[0].start, p.blocks[len(p.blocks)-1].until)
	var span rollup.Span
	damaged := false
	for _, b := range all {
		if b.until < from || b.start >= until {
			continue
		}
		var block *column.Block
		if data, ok := fresh[b.start]; ok {
			block, err = column.Decode(data)
		} else {
			block, err = p.blockOf(b, nil)
		}
		if err == nil && block != nil {
			err = addRows(&span, block, from, until)
		}
		if err != nil {
			return err
		}
		damaged = damaged || block == nil
	}
	day, err := p.storedDay(p.device, p.day)
	if err != nil {
		return err
	}
	if damaged {
		day.Merge(p.sealedRows())
	} else {
		day.Replace(from, until, span.Metrics)
	}
	p.dayData = day.AppendBinary(nil)
	return nil
}

// sealedRows returns what the rows come to that are in blocks now.
func (p *preparing) sealedRows() []rollup.Metric {
	kept := map[place]bool{}
	for _, at := range p.kept {
		kept[at] = true
	}
	var span rollup.Span
	for i := range p.rows {
		if r := &p.rows[i].Reading; !kept[place{r.Device, r.At.UnixMilli()}] {
			span.Add(r)
		}
	}
	return span.Metrics
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
