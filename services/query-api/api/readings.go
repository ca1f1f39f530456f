package api

import (
	"context"

	"github.com/telltale-iot/telltale/pkg/iot"
	"github.com/telltale-iot/telltale/pkg/readingjson"
)

const defaultReadings = 100 // in a list, where the client sets no limit

func (a *API) listReadings(ctx context.Context, r *request) (*answer, error) {
	return a.findReadings(ctx, r, r.query.devices("device_id"))
}

// listDeviceReadings does not ask whether the device is registered: its readings outlive it.
func (a *API) listDeviceReadings(ctx context.Context, r *request) (*answer, error) {
	device, err := a.device(ctx, r)
	if err != nil {
		return nil, err
	}
	return a.findReadings(ctx, r, []iot.DeviceID{device.ID})
}

// findReadings answers with the readings that r selects, of devices or, with none, of all.
func (a *API) findReadings(ctx context.Context, r *request, devices []iot.DeviceID) (*answer, error) {
	q := iot.ReadingQuery{
		Devices: devices,
		Limit:   r.query.limit(defaultReadings),
		After:   r.query.cursor(),
	}
	q.From, q.To = r.query.between("since", "until")
	r.format(jsonFormat) // which is that of a list here
	if err := r.query.err(); err != nil {
		return nil, err
	}
	release, err := a.limits.pages.take(ctx, q.Limit)
	if err != nil {
		return nil, err
	}
	defer release()
	page, err := r.Readings.FindReadings(ctx, q)
	if err != nil {
		return nil, err
	}
	if !page.Next.IsZero() {
		r.linkNext(page.Next.String())
	}
	return encodeList(page.Readings, 0, readingjson.Append), nil
}
