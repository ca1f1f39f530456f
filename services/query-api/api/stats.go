package api

import (
	"context"
	"math"
	"net/http"
	"time"

	"github.com/telltale-iot/telltale/pkg/iot"
	"github.com/telltale-iot/telltale/pkg/readingjson"
	"github.com/telltale-iot/telltale/pkg/timeouts"
)

// stats is the answer of getStats. What the store does not know is null.
type stats struct {
	Total     int64          `json:"total_readings"`
	Devices   []deviceCount  `json:"readings_by_device"`
	Active    []iot.DeviceID `json:"active_devices"`
	ActiveOf  int            `json:"active_count"`
	Size      *int64         `json:"size_bytes"`
	Rollups   *int64         `json:"rollups_bytes"`
	Free      *int64         `json:"free_bytes"`
	Growth    *int64         `json:"growth_bytes_per_day"`
	UntilFull *int64         `json:"days_until_full"`
	Oldest    *string        `json:"oldest_reading"`
}

type deviceCount struct {
	Device iot.DeviceID `json:"_id"`
	Key    string       `json:"device_key,omitempty"`
	Count  int64        `json:"count"`
}

// getStats says what is stored. Many may ask at the same time, and it is of all devices.
func (a *API) getStats(ctx context.Context, r *request) (*answer, error) {
	return a.pageOfAll(ctx, r, &a.stats, timeouts.CountRequest, func(ctx context.Context, page devicePage) (*answer, error) {
		s, last, err := a.countReadings(ctx, r, page)
		if err != nil {
			return nil, err
		}
		answer, err := encodeAny(http.StatusOK, s)
		if err == nil {
			answer.last = last
		}
		return answer, err
	})
}

// countReadings returns the numbers of all, and the lists of the page's devices, of which the last is returned.
func (a *API) countReadings(ctx context.Context, r *request, page devicePage) (s stats, last iot.DeviceID, err error) {
	online, err := r.Latest.AllLatest(ctx)
	if err != nil {
		return stats{}, 0, err
	}
	counts, err := r.Readings.CountReadings(ctx)
	if err != nil {
		return stats{}, 0, err
	}
	usage, err := r.Readings.Usage(ctx)
	if err != nil {
		return stats{}, 0, err
	}
	total, active := int64(0), len(online)
	for _, n := range counts {
		total += n.Count
	}
	last = min(
		page.end(len(counts), func(i int) iot.DeviceID { return counts[i].Device }),
		page.end(len(online), func(i int) iot.DeviceID { return online[i].Device }),
	)
	counts = between(counts, page.after, last, func(n *iot.DeviceCount) iot.DeviceID { return n.Device })
	online = between(online, page.after, last, func(r *iot.Reading) iot.DeviceID { return r.Device })
	s = stats{
		Total:     total,
		Devices:   make([]deviceCount, len(counts)),
		Active:    make([]iot.DeviceID, len(online)),
		ActiveOf:  active,
		Size:      known(usage.Readings + usage.Rollups),
		Rollups:   known(usage.Rollups),
		Free:      known(usage.Free),
		Growth:    known(usage.PerDay),
		UntilFull: known(int64(math.Floor(usage.DaysUntilFull()))),
		Oldest:    timeOrNull(usage.Oldest),
	}
	ids := make([]iot.DeviceID, len(counts))
	for i, n := range counts {
		ids[i] = n.Device
	}
	keys := a.deviceKeys(ctx, r, ids)
	for i, n := range counts {
		s.Devices[i] = deviceCount{n.Device, keys[n.Device], n.Count}
	}
	for i := range online {
		s.Active[i] = online[i].Device
	}
	return s, last, nil
}

// known is nil for what the store does not know.
func known(n int64) *int64 {
	if n < 0 {
		return nil
	}
	return &n
}

func timeOrNull(t time.Time) *string {
	if t.IsZero() {
		return nil
	}
	s := string(readingjson.AppendTime(nil, t))
	return &s
}
