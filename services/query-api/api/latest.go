package api

import (
	"context"
	"errors"
	"net/http"
	"strconv"

	"github.com/telltale-iot/telltale/pkg/iot"
	"github.com/telltale-iot/telltale/pkg/readingjson"
	"github.com/telltale-iot/telltale/pkg/timeouts"
)

var (
	errOffline   = &problem{status: http.StatusNotFound, detail: "No recent data (device offline)"}
	errNoReading = &problem{status: http.StatusNotFound, detail: "No data from this device."}
)

// getLatest answers with what a device that is online sent last. Only the cache knows who is online, so
// without it there is no answer.
func (a *API) getLatest(ctx context.Context, r *request) (*answer, error) {
	device, err := a.device(ctx, r)
	if err != nil {
		return nil, err
	}
	reading, err := r.Latest.Latest(ctx, device.ID)
	if errors.Is(err, iot.ErrNotFound) {
		return offline(ctx, r, device)
	}
	if err != nil {
		return nil, err
	}
	return encode(http.StatusOK, reading, readingjson.AppendOnline), nil
}

// offline answers that a device has no latest value, with what is known of the device. While the store of the devices is away
// that is nothing.
func offline(ctx context.Context, r *request, device iot.Identity) (*answer, error) {
	ctx, cancel := context.WithTimeout(ctx, keysTimeout)
	defer cancel()
	d, err := findDeviceOf(ctx, r, device)
	if err != nil && !errors.Is(err, iot.ErrNotFound) {
		return nil, errOffline
	}
	return encode(errOffline.status, d, func(dst []byte, d iot.Device) []byte {
		dst = readingjson.AppendString(append(dst, `{"detail":`...), errOffline.detail)
		dst = appendLastSeen(append(dst, `,"last_seen":`...), d)
		dst = strconv.AppendBool(append(dst, `,"registered":`...), err == nil)
		return append(dst, '}')
	}), nil
}

// listLatest answers with what all devices sent last that are online, a page at a time. Many may ask for the first page.
func (a *API) listLatest(ctx context.Context, r *request) (*answer, error) {
	return a.pageOfAll(ctx, r, &a.online, timeouts.StoreRequest, func(ctx context.Context, page devicePage) (*answer, error) {
		all, err := r.Latest.AllLatest(ctx)
		if err != nil {
			return nil, err
		}
		last := page.end(len(all), func(i int) iot.DeviceID { return all[i].Device })
		answer := encodeList(between(all, page.after, last, func(r *iot.Reading) iot.DeviceID { return r.Device }), 0, readingjson.AppendOnline)
		answer.last = last
		return answer, nil
	})
}

// getLastReading answers with what a device sent last, online or not: the cached reading, and when there
// is none or no cache, the newest stored one.
func (a *API) getLastReading(ctx context.Context, r *request) (*answer, error) {
	device, err := a.device(ctx, r)
	if err != nil {
		return nil, err
	}
	reading, err := cached(ctx, r, device.ID)
	if err == nil {
		return encode(http.StatusOK, reading, readingjson.Append), nil
	}
	page, err := r.Readings.FindReadings(ctx, iot.ReadingQuery{Devices: []iot.DeviceID{device.ID}, Limit: 1})
	if err != nil {
		return nil, err
	}
	if len(page.Readings) == 0 {
		return nil, errNoReading
	}
	return encode(http.StatusOK, page.Readings[0], readingjson.Append), nil
}

// cached asks the cache, and leaves time for asking the stored readings instead.
func cached(ctx context.Context, r *request, id iot.DeviceID) (iot.Reading, error) {
	ctx, cancel := context.WithTimeout(ctx, cacheTimeout)
	defer cancel()
	return r.Latest.Latest(ctx, id)
}
