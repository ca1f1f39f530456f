package api

import (
	"context"
	"math"
	"net/http"
	"time"

	"github.com/telltale-iot/telltale/pkg/iot"
	"github.com/telltale-iot/telltale/pkg/readingjson"
	"github.com/telltale-iot/telltale/pkg/settings"
	"github.com/telltale-iot/telltale/pkg/timeouts"
)

// stats is the answer of getStats. What the store does not know is null.
type stats struct {
	Total     int64          `json:"total_readings"`
	Devices   []deviceCount  `json:"readings_by_device"`
	Active    []iot.DeviceID `json:"active_devices"`
	ActiveOf  int            `json:"active_count"`
	Size      int64          `json:"size_bytes"`
	Rollups   int64          `json:"rollups_bytes"`
	Free      *int64         `json:"free_bytes"`
	Growth    *int64         `json:"growth_bytes_per_day"`
	UntilFull *int64         `json:"days_until_full"`
	Oldest    *string        `json:"oldest_reading"`
}

type deviceCount struct {
	Device iot.DeviceID `json:"_id"`
	Count  int64        `json:"count"`
}

// getStats says what is stored. Many may ask at the same time, and it is of all devices.
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
	usage, err := a.Readings.Usage(ctx)
	if err != nil {
		return stats{}, err
	}
	s := stats{
		Devices:   make([]deviceCount, len(counts)),
		Active:    make([]iot.DeviceID, len(online)),
		ActiveOf:  len(online),
		Size:      usage.Readings + usage.Rollups,
		Rollups:   usage.Rollups,
		Free:      known(usage.Free),
		Growth:    known(usage.PerDay),
		UntilFull: known(int64(math.Floor(usage.DaysUntilFull()))),
		Oldest:    timeOrNull(usage.Oldest),
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

// getRetention says what retentions would remove now, and removes nothing.
func (a *API) getRetention(ctx context.Context, r *request) (*answer, error) {
	now := time.Now()
	readings, rollups := r.query.horizon("readings", now), r.query.horizon("rollups", now)
	if readings.IsZero() && rollups.IsZero() && r.query.errs == nil {
		r.query.fail("readings", msgRequired)
	}
	if !readings.IsZero() && rollups.After(readings) {
		r.query.fail("rollups", "Must not be shorter than `readings`.")
	}
	if err := r.query.err(); err != nil {
		return nil, err
	}
	usage, err := a.Readings.Usage(ctx)
	if err != nil {
		return nil, err
	}
	older, err := a.seriesReader().Older(ctx, readings, rollups)
	if err != nil {
		return nil, historyProblem(ctx, err)
	}
	counts, err := a.Readings.CountReadings(ctx)
	if err != nil {
		return nil, err
	}
	var total int64
	for _, n := range counts {
		total += n.Count
	}
	return encodeAny(http.StatusOK, removals{
		Readings: removedReadings{timeOrNull(readings), older.Readings, share(usage.Readings, older.Readings, total), timeOrNull(older.From), timeOrNull(older.To)},
		Rollups:  removedRollups{timeOrNull(rollups), share(usage.Rollups, older.Rollups, older.AllRollups)},
	})
}

// removals is the answer of getRetention: what is before a moment, null where nothing would be removed.
type removals struct {
	Readings removedReadings `json:"readings"`
	Rollups  removedRollups  `json:"rollups"`
}

type removedReadings struct {
	Before *string `json:"before"`
	Count  int64   `json:"count"`
	Bytes  int64   `json:"bytes"`
	From   *string `json:"from"`
	To     *string `json:"to"`
}

type removedRollups struct {
	Before *string `json:"before"`
	Bytes  int64   `json:"bytes"`
}

// share is what a part of all takes of bytes.
func share(bytes, part, all int64) int64 {
	if all == 0 {
		return 0
	}
	return int64(float64(bytes) * min(float64(part)/float64(all), 1))
}

// horizon reads how long something is to be kept, and returns since when that is; zero where it is not given, or for ever.
func (p *params) horizon(name string, now time.Time) time.Time {
	s := p.get(name)
	if s == "" {
		return time.Time{}
	}
	d, err := settings.ParseDuration(s)
	if err != nil || d <= 0 {
		p.fail(name, msgDuration)
		return time.Time{}
	}
	return now.Add(-d).UTC().Truncate(time.Millisecond)
}

const msgDuration = "Must be a duration such as 90d or 168h."
