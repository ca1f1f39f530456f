package historycheck

import (
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"
)

// chart is a series as clients see it.
type chart struct {
	T, Count []int64
	Max      []float64
}

// chart is that of a metric of a device.
func (s *system) chart(t *testing.T, device int, from, to time.Time, more string) (c chart) {
	t.Helper()
	const form = "2006-01-02T15:04:05.000Z"
	s.get(t, fmt.Sprintf("/api/devices/%d/series/?metric=temperature&from=%s&to=%s&agg=count,max&%s", device, from.UTC().Format(form), to.UTC().Format(form), more), &c)
	return c
}

// TestSpike: one reading that stands out, between those of a month, is in max whatever the interval.
func TestSpike(t *testing.T) {
	t.Parallel()
	every := time.Duration(choose(60, 1)) * time.Second
	month := load{first: 1, devices: 1, every: every, ticks: int(30 * 24 * time.Hour / every), from: time.Now().Add(-31 * 24 * time.Hour).Truncate(time.Hour)}
	s := start(t, sealing)
	spike := month.from.Add(time.Duration(month.ticks) / 3 * every).Add(every / 2)
	s.publishNow(t, fmt.Sprintf(`{"device_id":1,"timestamp":%d,"temperature":1000}`, spike.UnixMilli()))
	s.publish(t, month.len()+1, month)
	s.awaitSealed(t)
	for _, asked := range []string{"points=100", "points=1000", "interval=1d", "interval=1d&tz=Asia/Kathmandu", "interval=1h", "interval=1mo"} {
		c := s.chart(t, 1, month.from, month.to(), asked)
		i := slices.Index(c.Max, 1000)
		if n := sum(c.Count); i < 0 || n != int64(month.len()+1) {
			t.Errorf("%s: the spike is in point %d of %d, which are of %d readings, want %d", asked, i, len(c.Max), n, month.len()+1)
			continue
		}
		if c.T[i] > spike.UnixMilli() || i+1 < len(c.T) && c.T[i+1] <= spike.UnixMilli() {
			t.Errorf("%s: the spike of %v is in the point of %v", asked, spike, time.UnixMilli(c.T[i]))
		}
	}
}

func sum(counts []int64) (n int64) {
	for _, c := range counts {
		n += c
	}
	return n
}

// TestZones: local days have the readings of their 23, 24, 24.5 or 25 hours.
func TestZones(t *testing.T) {
	t.Parallel()
	every := time.Duration(choose(15, 1)) * time.Minute
	hours := func(d time.Duration) int { return int(d / every) }
	year := time.Now().UTC().Year() - 1 // all of it is over
	s := start(t, sealing)
	var loads []load
	total := 0
	for i, from := range []time.Time{time.Date(year, 3, 24, 0, 0, 0, 0, time.UTC), time.Date(year, 9, 28, 0, 0, 0, 0, time.UTC)} { // the clocks change in both
		l := load{first: 1 + i, devices: 1, every: every, from: from, ticks: hours(30 * 24 * time.Hour)}
		loads = append(loads, l)
		total += l.len()
	}
	s.publish(t, total, loads...)
	s.awaitSealed(t)
	for zone, lengths := range map[string][]time.Duration{
		"UTC":                 {24 * time.Hour},
		"Europe/Berlin":       {23 * time.Hour, 25 * time.Hour},
		"Australia/Lord_Howe": {23*time.Hour + 30*time.Minute, 24*time.Hour + 30*time.Minute},
		"Australia/Adelaide":  {23 * time.Hour, 25 * time.Hour},
		"Asia/Kathmandu":      {24 * time.Hour},
	} {
		location, err := time.LoadLocation(zone)
		if err != nil {
			t.Fatal(err)
		}
		found := map[int64]bool{}
		for _, l := range loads {
			c := s.chart(t, l.first, l.from, l.to(), "interval=1d&tz="+url.QueryEscape(zone))
			for i, at := range c.T[1 : len(c.T)-1] {
				y, m, d := time.UnixMilli(at).In(location).Date()
				start, end := time.Date(y, m, d, 0, 0, 0, 0, location), time.Date(y, m, d+1, 0, 0, 0, 0, location)
				if want := int64(hours(end.Sub(start))); start.UnixMilli() != at || c.Count[i+1] != want {
					t.Errorf("%s: the day of %v has %d readings, want %d", zone, time.UnixMilli(at).In(location), c.Count[i+1], want)
				}
				found[c.Count[i+1]] = true
			}
			if n := sum(c.Count); n != int64(l.len()) {
				t.Errorf("%s: the days have %d readings, want %d", zone, n, l.len())
			}
		}
		for _, length := range lengths {
			if !found[int64(hours(length))] {
				t.Errorf("%s: no day has %v", zone, length)
			}
		}
	}
}

// TestRefused: what cannot be answered is a 400 that names the parameter.
func TestRefused(t *testing.T) {
	t.Parallel()
	s := start(t)
	for path, parameter := range map[string]string{
		"/api/readings/search/?q=temperature%3A%3E":            "q",
		"/api/readings/search/?q=a&range=3h":                   "range",
		"/api/devices/1/series/?metric=m&tz=Mars/Base":         "tz",
		"/api/series/?device_id=1&interval=fortnight":          "interval",
		"/api/series/?device_id=1&agg=median":                  "agg",
		"/api/readings/export/?format=xlsx":                    "format",
		"/api/readings/export/?cursor=here":                    "cursor",
		"/api/readings/aggregations/?range=soon":               "range",
		"/api/series/?device_id=1&from=2026-03-01T12:00:00Zno": "from",
	} {
		response, err := http.Get(s.api + path)
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(response.Body)
		response.Body.Close()
		if err != nil || response.StatusCode != http.StatusBadRequest || !strings.HasPrefix(string(body), fmt.Sprintf(`{%q:[`, parameter)) {
			t.Errorf("%s: %s %s, %v, want 400 that names %s", path, response.Status, body, err, parameter)
		}
	}
}

// TestTooOld: what is older than readings are kept is refused, and is nowhere.
func TestTooOld(t *testing.T) {
	t.Parallel()
	s := start(t, sealing, "RETENTION_READINGS=30d")
	s.publishNow(t, fmt.Sprintf(`{"device_id":1,"timestamp":%d,"temperature":1}`, time.Now().Add(-40*24*time.Hour).UnixMilli()), `{"device_id":1,"temperature":2}`)
	s.awaitDeadLetter(t, "too_old")
	s.awaitStored(t, 1)
	if n := s.became(t, "too_old"); n != 1 {
		t.Errorf("%d readings are too old, want 1", n)
	}
}
