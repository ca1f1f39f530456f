package api

import (
	"context"
	"net/http"

	"github.com/telltale-iot/telltale/pkg/iot"
	"github.com/telltale-iot/telltale/pkg/readingjson"
	"github.com/telltale-iot/telltale/pkg/timeouts"
)

const defaultReadings = 100 // in a list, where the client sets no limit

func (a *API) listReadings(ctx context.Context, r *request) (*answer, error) {
	return a.findReadings(ctx, r, r.query.devices("device_id"))
}

// listDeviceReadings does not ask whether the device is registered: its readings outlive it.
func (a *API) listDeviceReadings(ctx context.Context, r *request) (*answer, error) {
	device, err := r.device()
	if err != nil {
		return nil, err
	}
	return a.findReadings(ctx, r, []iot.DeviceID{device.ID})
}

// findReadings answers with the readings that r selects, of devices or, with none, of all.
func (a *API) findReadings(ctx context.Context, r *request, devices []iot.DeviceID) (*answer, error) {
	q := iot.ReadingQuery{
		Devices: devices,
		From:    r.query.time("since"),
		To:      r.query.time("until"),
		Limit:   r.query.limit(defaultReadings),
		After:   r.query.cursor(),
	}
	r.format() // which is that of a list here
	if err := r.query.err(); err != nil {
		return nil, err
	}
	release, err := a.limits.pages.take(ctx, q.Limit)
	if err != nil {
		return nil, err
	}
	defer release()
	page, err := a.Readings.FindReadings(ctx, q)
	if err != nil {
		return nil, err
	}
	if !page.Next.IsZero() {
		r.linkNext(page.Next.String())
	}
	return encodeList(page.Readings, 0, readingjson.Append), nil
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
func (a *API) getStats(_ context.Context, _ *request) (*answer, error) {
	return a.share(&a.stats, timeouts.CountRequest, func(ctx context.Context) (*answer, error) {
		s, err := a.countReadings(ctx)
		if err != nil {
			return nil, err
		}
		return encodeAny(http.StatusOK, s)
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
