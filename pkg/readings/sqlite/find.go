package sqlite

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/telltale-iot/telltale/pkg/internal/page"
	"github.com/telltale-iot/telltale/pkg/iot"
	"github.com/telltale-iot/telltale/pkg/readings/internal/timerange"
)

// FindReadings implements iot.ReadingReader. Damaged readings are left out, and reported.
func (s *Store) FindReadings(ctx context.Context, q iot.ReadingQuery) (iot.Page, error) {
	p, err := page.New[iot.Reading](q.Limit, iot.MaxPageBytes)
	if err != nil {
		return iot.Page{}, fmt.Errorf("find readings: %w", err)
	}
	scan := iot.ScanQuery{Devices: q.Devices, From: q.From, To: q.To, After: q.After, Newest: true}
	err = s.ScanReadings(ctx, scan, func(r *iot.Reading) (more bool, err error) {
		found := *r
		found.Metrics, found.Attributes = slices.Clone(r.Metrics), slices.Clone(r.Attributes)
		return p.Add(found), nil
	})
	if err != nil {
		return iot.Page{}, err
	}
	return iot.Page{Readings: p.Items, Next: p.Next}, nil
}

// ScanReadings implements iot.HistoryReader. Damaged readings are left out, and reported.
func (s *Store) ScanReadings(ctx context.Context, q iot.ScanQuery, take func(*iot.Reading) (more bool, err error)) error {
	sc := &scanning{order: order{q.Newest}, devices: timerange.Devices(q.Devices), rest: timerange.Of(q), may: q.May, take: take}
	for more := q.Devices == nil || len(q.Devices) > 0; more; {
		sn, err := s.snapshot(ctx, sc.devices, sc.rest.From, sc.until(), q.Newest)
		if err == nil && sn == nil {
			return nil
		}
		if err == nil {
			more, err = sc.scan(sn)
			err = errors.Join(err, sn.end())
		}
		if err != nil {
			return fmt.Errorf("find readings: %w", err)
		}
	}
	return nil
}

// maxSnapshot is how long a scan reads one snapshot, from which on the WAL grows.
const maxSnapshot = time.Second

// scanning is a call of ScanReadings.
type scanning struct {
	order
	devices []iot.DeviceID // ascending; nil: all
	rest    timerange.Range
	may     func(iot.Summary) bool // or nil
	take    func(*iot.Reading) (more bool, err error)
	whole   bool // scan reads a snapshot to its end, however long that takes
}

// until returns the end of the milliseconds of which anything is left.
func (sc *scanning) until() int64 {
	if sc.rest.EndDevice != 0 {
		return sc.rest.End + 1
	}
	return sc.rest.End
}

// scan takes what sn has, and reports whether more is wanted.
func (sc *scanning) scan(sn *snapshot) (more bool, err error) {
	c, err := sc.open(sn)
	if err != nil {
		return false, fmt.Errorf("%s: %w", sn.path, err)
	}
	began := time.Now()
	for {
		r, err := c.next()
		if err != nil {
			return false, fmt.Errorf("%s: %w", sn.path, errors.Join(err, c.close()))
		}
		if r == nil {
			break
		}
		if sc.newest {
			sc.rest.End, sc.rest.EndDevice = r.At.UnixMilli(), r.Device
		} else {
			sc.rest.From, sc.rest.FromDevice = r.At.UnixMilli(), r.Device
		}
		if err := sn.ctx.Err(); err != nil {
			return false, errors.Join(err, c.close())
		}
		more, err := sc.take(r)
		if err != nil || !more || !sc.whole && time.Since(began) > maxSnapshot {
			return more && err == nil, errors.Join(err, c.close())
		}
	}
	if sc.newest {
		sc.rest.End, sc.rest.EndDevice = sn.from, 0
	} else {
		sc.rest.From, sc.rest.FromDevice = sn.until, 0
	}
	return true, c.close()
}

// open returns a cursor over what is left of sn.
func (sc *scanning) open(sn *snapshot) (cursor, error) {
	times := sc.rest
	if times.From < sn.from {
		times.From, times.FromDevice = sn.from, 0
	}
	if times.End >= sn.until {
		times.End, times.EndDevice = sn.until, 0
	}
	m := &merged{order: sc.order}
	if sc.devices == nil {
		rows, err := sn.all(sc.order, times)
		if err != nil || sn.old {
			return rows, err
		}
		m.add(rows)
		m.add(sn.blocks(sc.order, times, sc.may))
		return m, nil
	}
	for _, device := range sc.devices {
		from, until := times.FromFor(device), times.EndFor(device)
		if sn.old {
			rows, err := sn.indexed(sc.order, device, from, until)
			if err != nil {
				return nil, errors.Join(err, m.close())
			}
			m.add(rows)
			continue
		}
		m.add(sn.hotOf(sc.order, device, from, until))
		blocks, err := sn.cursorOf(sc.order, device, from, until, sc.may)
		if err != nil {
			return nil, errors.Join(err, m.close())
		}
		m.add(blocks)
	}
	return m, nil
}
