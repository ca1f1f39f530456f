package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"github.com/telltale-iot/telltale/pkg/iot"
	"github.com/telltale-iot/telltale/pkg/rollup"
	"github.com/telltale-iot/telltale/pkg/sqlite"
)

const selectDays = `SELECT day, data FROM days WHERE device_id = ? AND day >= ? AND day < ? ORDER BY day`

// ReadBuckets implements iot.HistoryReader: what is in blocks is rolled up already, and rows are added to that.
func (s *Store) ReadBuckets(ctx context.Context, q iot.BucketQuery, take func(iot.Buckets) error) error {
	if q.Width != iot.Quarter && q.Width != iot.Day {
		return fmt.Errorf("buckets of %v: %w", q.Width, iot.ErrInvalid)
	}
	j := &joined{width: q.Width.Milliseconds(), take: take, open: map[series]iot.Bucket{}}
	b := &bucketing{query: q}
	r := &reader{
		Store: s, ctx: ctx, query: q.SampleQuery, in: func() layout { return s.rollups },
		old: func(sn *snapshot, of iot.SampleQuery) error {
			return sn.bucketsOfOld(of, q.Width.Milliseconds(), func(b iot.Buckets) error { return j.add(sn, b) })
		},
		month: func(sn *snapshot, device iot.DeviceID) error {
			b.snapshot, b.device, b.hot = sn, device, rollup.Span{}
			b.take = func(b iot.Buckets) error { return j.add(sn, b) }
			return b.read()
		},
	}
	if err := r.read(); err != nil {
		return fmt.Errorf("read buckets: %w", err)
	}
	return j.flush()
}

type series struct {
	device iot.DeviceID
	metric string
}

// joined joins the buckets of which two parts have something.
type joined struct {
	width int64 // of a bucket
	take  func(iot.Buckets) error
	open  map[series]iot.Bucket // those that the next part may have more of
}

// add takes buckets that are of sn.
func (j *joined) add(sn *snapshot, b iot.Buckets) error {
	if err := sn.ctx.Err(); err != nil {
		return err
	}
	of := series{b.Device, b.Metric}
	if open, ok := j.open[of]; ok {
		delete(j.open, of)
		if open.Start == b.Buckets[0].Start {
			rollup.Merge(&open, b.Buckets[0])
			b.Buckets[0] = open
		} else if err := j.take(iot.Buckets{Device: b.Device, Metric: b.Metric, Buckets: []iot.Bucket{open}}); err != nil {
			return err
		}
	}
	last := b.Buckets[len(b.Buckets)-1]
	if last.Start < sn.until && sn.until < last.Start+j.width { // it is cut
		j.open[of] = last
		b.Buckets = b.Buckets[:len(b.Buckets)-1]
	}
	if len(b.Buckets) == 0 {
		return nil
	}
	return j.take(b)
}

// flush takes what is left.
func (j *joined) flush() error {
	for of, b := range j.open {
		if err := j.take(iot.Buckets{Device: of.device, Metric: of.metric, Buckets: []iot.Bucket{b}}); err != nil {
			return err
		}
	}
	return nil
}

// bucketing reads the buckets of one device after the other.
type bucketing struct {
	*snapshot
	device iot.DeviceID
	query  iot.BucketQuery
	take   func(iot.Buckets) error

	hot      rollup.Span // of the rows
	reader   rollup.Reader
	quarters [][]iot.Bucket // memory for those of a day, by metric
}

func (b *bucketing) read() error {
	rows := b.hotOf(order{}, b.device, b.from, b.until)
	for {
		r, err := rows.next()
		if err != nil {
			return err
		}
		if r == nil {
			break
		}
		b.hot.Add(r)
	}
	days := b.hotDays()
	found, err := b.snapshot.query(selectDays, int64(b.device), rollup.DayOf(b.from), b.until)
	err = sqlite.ForEach(found, err, func() (more bool, err error) {
		var day int64
		var data sql.RawBytes
		if err := found.Scan(&day, &data); err != nil {
			return false, err
		}
		for len(days) > 0 && days[0] < day {
			if err := b.addDay(rollup.Day{Start: days[0]}); err != nil {
				return false, err
			}
			days = days[1:]
		}
		hot := len(days) > 0 && days[0] == day
		if hot {
			days = days[1:]
		}
		return true, b.addStored(day, data, hot)
	})
	for ; err == nil && len(days) > 0; days = days[1:] {
		err = b.addDay(rollup.Day{Start: days[0]})
	}
	return err
}

// hotDays returns the days that have rows, ascending.
func (b *bucketing) hotDays() (days []int64) {
	for _, m := range b.hot.Metrics {
		if m.Name == rollup.Readings {
			for _, q := range m.Quarters {
				if day := rollup.DayOf(q.Start); len(days) == 0 || days[len(days)-1] != day {
					days = append(days, day)
				}
			}
		}
	}
	return days
}

// addStored adds a day that is stored, and rows of it where there are any.
func (b *bucketing) addStored(start int64, data []byte, hot bool) error {
	whole := start >= b.from && start+iot.Day.Milliseconds() <= b.until
	err := b.reader.Reset(data)
	if err == nil && b.query.Width == iot.Day && whole && !hot {
		for _, t := range b.reader.Totals {
			if err := b.emit(t.Name, []iot.Bucket{t.Bucket}); err != nil {
				return err
			}
		}
		return nil
	}
	day := rollup.Day{Start: start}
	for i := 0; err == nil && i < len(b.reader.Totals); i++ {
		if m := (rollup.Metric{Name: b.reader.Totals[i].Name}); b.wants(m.Name) {
			if i >= len(b.quarters) {
				b.quarters = append(b.quarters, make([][]iot.Bucket, i+1-len(b.quarters))...)
			}
			m.Quarters, err = b.reader.Append(b.quarters[i][:0], i)
			b.quarters[i] = m.Quarters
			day.Metrics = append(day.Metrics, m)
		}
	}
	if errors.Is(err, rollup.ErrDamaged) {
		day, err = b.dayOfBlocks(b.device, start, err)
	}
	if err != nil {
		return fmt.Errorf("rollup of device %d: %w", b.device, err)
	}
	return b.addDay(day)
}

// addDay adds a day, and the rows of it.
func (b *bucketing) addDay(day rollup.Day) error {
	day.Merge(b.hot.Metrics)
	for _, m := range day.Metrics {
		quarters := m.Quarters
		for len(quarters) > 0 && quarters[0].Start < b.from {
			quarters = quarters[1:]
		}
		for len(quarters) > 0 && quarters[len(quarters)-1].Start >= b.until {
			quarters = quarters[:len(quarters)-1]
		}
		if len(quarters) == 0 {
			continue
		}
		if b.query.Width == iot.Day {
			total := iot.Bucket{Start: day.Start}
			for _, q := range quarters {
				rollup.Merge(&total, q)
			}
			quarters = []iot.Bucket{total}
		}
		if err := b.emit(m.Name, quarters); err != nil {
			return err
		}
	}
	return nil
}

func (b *bucketing) emit(metric string, buckets []iot.Bucket) error {
	if !b.wants(metric) {
		return nil
	}
	return b.take(iot.Buckets{Device: b.device, Metric: metric, Buckets: buckets})
}

// wants reports whether metric is asked for.
func (b *bucketing) wants(metric string) bool {
	return metric != rollup.Readings && b.query.Wants(metric)
}
