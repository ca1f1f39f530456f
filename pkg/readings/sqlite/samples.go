package sqlite

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/telltale-iot/telltale/pkg/column"
	"github.com/telltale-iot/telltale/pkg/iot"
	"github.com/telltale-iot/telltale/pkg/readings/internal/samples"
	"github.com/telltale-iot/telltale/pkg/readings/internal/timerange"
)

// ReadSamples implements iot.HistoryReader.
func (s *Store) ReadSamples(ctx context.Context, q iot.SampleQuery, take func(iot.Samples) error) error {
	r := &reader{
		Store: s, ctx: ctx, query: q, in: func() layout { return s.layout },
		old: func(sn *snapshot, q iot.SampleQuery) error { return sn.samplesOfOld(q, take) },
		month: func(sn *snapshot, device iot.DeviceID) error {
			r := &sampling{sn, device, q, samples.NewBuffer(take)}
			return r.read()
		},
	}
	if err := r.read(); err != nil {
		return fmt.Errorf("read samples: %w", err)
	}
	return nil
}

// reader reads what a query selects, part by part: old the old file, month what a month has of a device.
type reader struct {
	*Store
	ctx   context.Context
	query iot.SampleQuery
	in    func() layout                          // which state guards
	old   func(*snapshot, iot.SampleQuery) error // the query of what the snapshot has
	month func(*snapshot, iot.DeviceID) error
}

func (r *reader) read() error {
	times := timerange.Of(iot.ScanQuery{From: r.query.From, To: r.query.To})
	devices := timerange.Devices(r.query.Devices)
	if devices == nil {
		devices = r.devices()
	}
	return r.readDevices(devices, times.From, times.End)
}

// readDevices reads what there is of devices in from <= at < until. A snapshot is for as many as can be read within maxSnapshot.
func (r *reader) readDevices(devices []iot.DeviceID, from, until int64) error {
	for from < until {
		sn, err := r.snapshotIn(r.ctx, r.in, devices, from, until, false)
		if sn == nil || err != nil {
			return err
		}
		rest, err := r.readSnapshot(sn, devices)
		if err != nil {
			err = fmt.Errorf("%s: %w", sn.path, err)
		}
		if err := errors.Join(err, sn.end()); err != nil {
			return err
		}
		if len(rest) > 0 {
			if err := r.readDevices(rest, sn.from, sn.until); err != nil {
				return err
			}
		}
		from = sn.until
	}
	return nil
}

// readSnapshot returns the devices for which there was no time.
func (r *reader) readSnapshot(sn *snapshot, devices []iot.DeviceID) (rest []iot.DeviceID, err error) {
	if sn.old {
		q := r.query
		q.From, q.To = time.UnixMilli(sn.from).UTC(), time.UnixMilli(sn.until).UTC()
		return nil, r.old(sn, q)
	}
	for began := time.Now(); len(devices) > 0 && time.Since(began) < maxSnapshot; devices = devices[1:] {
		if err := r.ctx.Err(); err != nil {
			return nil, err
		}
		if err := r.month(sn, devices[0]); err != nil {
			return nil, err
		}
	}
	return devices, nil
}

// devices returns those that have readings in months, ascending.
func (s *Store) devices() []iot.DeviceID {
	s.state.RLock()
	defer s.state.RUnlock()
	return slices.Sorted(maps.Keys(s.counts))
}

// sampling reads the samples of a device.
type sampling struct {
	*snapshot
	device iot.DeviceID
	query  iot.SampleQuery
	buffer *samples.Buffer
}

func (r *sampling) read() error {
	rows := &peeked{cursor: r.hotOf(order{}, r.device, r.from, r.until)}
	blocks, err := r.cursorOf(order{}, r.device, r.from, r.until, nil)
	if err != nil {
		return err
	}
	for {
		block, err := blocks.nextBlock()
		if err != nil {
			return err
		}
		if block == nil {
			break
		}
		if err := r.addBlock(block, rows); err != nil {
			return err
		}
	}
	if err := r.addRows(rows, r.until); err != nil {
		return err
	}
	return r.buffer.Flush(r.ctx)
}

// addBlock adds what block has, and the rows before its end.
func (r *sampling) addBlock(block *column.Block, rows *peeked) error {
	times := block.Times()
	if err := r.addRows(rows, times[0]); err != nil {
		return err
	}
	// As a rule no rows are among the readings of a block: then its columns are taken as they are.
	switch late, err := rows.peek(); {
	case err != nil:
		return err
	case late == nil || late.At.UnixMilli() > times[len(times)-1]:
		return r.addColumns(block)
	}
	all := &merged{}
	among := rowsOfBlock(order{}, block, r.from, r.until)
	all.add(&among)
	all.add(&before{rows, times[len(times)-1]})
	for {
		reading, err := all.next()
		if reading == nil || err != nil {
			return err
		}
		if err := r.add(reading); err != nil {
			return err
		}
	}
}

// addColumns adds all that block has.
func (r *sampling) addColumns(block *column.Block) error {
	for _, name := range block.Metrics() {
		if !r.query.Wants(name) {
			continue
		}
		times, values, err := block.Metric(name)
		if err != nil {
			return err
		}
		first, _ := slices.BinarySearch(times, r.from)
		last, _ := slices.BinarySearch(times, r.until)
		if first < last {
			r.buffer.AddAll(r.device, name, times[first:last], values[first:last])
		}
	}
	return r.buffer.FlushFull(r.ctx)
}

// addRows adds the rows before the millisecond until.
func (r *sampling) addRows(rows *peeked, until int64) error {
	b := &before{rows, until - 1}
	for {
		reading, err := b.next()
		if reading == nil || err != nil {
			return err
		}
		if err := r.add(reading); err != nil {
			return err
		}
	}
}

func (r *sampling) add(reading *iot.Reading) error {
	addSamples(r.buffer, &r.query, reading)
	return r.buffer.FlushFull(r.ctx)
}

// addSamples adds what q selects of a reading.
func addSamples(buffer *samples.Buffer, q *iot.SampleQuery, r *iot.Reading) {
	at := r.At.UnixMilli()
	for _, m := range r.Metrics {
		if q.Wants(m.Name) {
			samples.Add(buffer, r.Device, m.Name, at, m.Value)
		}
	}
}

// peeked is a cursor whose next reading can be looked at.
type peeked struct {
	cursor
	reading *iot.Reading // where it was looked at
}

func (p *peeked) peek() (r *iot.Reading, err error) {
	if p.reading == nil {
		p.reading, err = p.cursor.next()
	}
	return p.reading, err
}

func (p *peeked) next() (*iot.Reading, error) {
	r, err := p.peek()
	p.reading = nil
	return r, err
}

// before goes through the readings of a cursor up to the millisecond last.
type before struct {
	*peeked
	last int64
}

func (b *before) next() (*iot.Reading, error) {
	if r, err := b.peek(); err != nil || r == nil || r.At.UnixMilli() > b.last {
		return nil, err
	}
	return b.peeked.next()
}

func (b *before) close() error { return nil }
