package api

import (
	"context"

	"github.com/labstack/echo/v4"

	"github.com/telltale-iot/telltale/pkg/iot"
	"github.com/telltale-iot/telltale/pkg/readingjson"
)

const defaultReadings = 100 // in a list, where the client sets no limit

func (a *API) listReadings(c echo.Context) error {
	p := readParams(c)
	device := p.integer("device_id", int64(iot.MaxDeviceID), 0)
	return a.writeReadings(c, p, iot.DeviceID(device))
}

// listDeviceReadings does not ask whether the device is registered: its readings outlive it.
func (a *API) listDeviceReadings(c echo.Context) error {
	id, err := pathID(c)
	if err != nil {
		return err
	}
	return a.writeReadings(c, readParams(c), id)
}

// writeReadings answers with the readings that p selects, of one device or, with 0, of all.
func (a *API) writeReadings(c echo.Context, p *params, device iot.DeviceID) error {
	q := iot.ReadingQuery{
		Device: device,
		From:   p.time("since"),
		To:     p.time("until"),
		Limit:  p.limit(defaultReadings),
		After:  p.cursor(),
	}
	if err := p.err(); err != nil {
		return err
	}
	return a.writeFetched(c, a.pages, int64(max(q.Limit, minPage)), func(ctx context.Context) (shape, error) {
		page, err := a.Readings.FindReadings(ctx, q)
		if err != nil {
			return nil, err
		}
		if !page.Next.IsZero() {
			p.linkNext(c, page.Next.String())
		}
		return list(page.Readings, readingjson.Append), nil
	})
}

// stats is the answer of getStats.
type stats struct {
	Total    int64          `json:"total_readings"`
	Devices  []deviceCount  `json:"readings_by_device"`
	Active   []iot.DeviceID `json:"active_devices"`
	ActiveOf int            `json:"active_count"`
}

type deviceCount struct {
	Device iot.DeviceID `json:"_id"`
	Count  int64        `json:"count"`
}

// getStats counts all readings. That is the one thing here whose cost grows with what is stored, so it gets more
// time than others.
func (a *API) getStats(c echo.Context) error {
	ctx := context.WithoutCancel(c.Request().Context()) // the answer is others' too
	return a.writeShared(c, &a.stats, func() ([]byte, error) {
		ctx, cancel := context.WithTimeout(ctx, countTimeout)
		defer cancel()
		s, err := a.countReadings(ctx)
		if err != nil {
			return nil, err
		}
		return marshal(s)
	})
}

func (a *API) countReadings(ctx context.Context) (stats, error) {
	online, err := a.Latest.AllLatest(ctx)
	if err != nil {
		return stats{}, err
	}
	counts, err := a.Readings.CountReadings(ctx)
	if err != nil {
		return stats{}, err
	}
	s := stats{
		Devices:  make([]deviceCount, len(counts)),
		Active:   make([]iot.DeviceID, len(online)),
		ActiveOf: len(online),
	}
	for i, n := range counts {
		s.Devices[i] = deviceCount{n.Device, n.Count}
		s.Total += n.Count
	}
	for i, r := range online {
		s.Active[i] = r.Device
	}
	return s, nil
}
