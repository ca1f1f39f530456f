package main

import (
	"encoding/json"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"
)

// chart is a series as an HTTP client sees it.
type chart struct {
	Device   int64 `json:"device_id"`
	Metric   string
	Interval string
	T        []int64
	Count    []int64
	Sum      []float64
	Avg      []float64
	Min      []float64
	Max      []float64
	First    []float64
	Last     []float64
}

// TestCharts: charts are what a walk through all readings comes to, of readings that came shuffled, twice, in conflict, in parts
// and weeks late; 2 s after one more, and after a restart.
func TestCharts(t *testing.T) {
	seed := rand.Uint64()
	dice := rand.New(rand.NewPCG(seed, 1))
	s, dir := freeAddrs(t), t.TempDir()
	p := start(t, dir, s)
	now := time.Now().UTC().Truncate(time.Second)
	var messages []string
	for device := range 3 {
		at := now.Add(-26 * time.Hour)
		for range 800 {
			at = at.Add(time.Duration(1+dice.IntN(240_000)) * time.Millisecond)
			stamp := at
			if dice.IntN(30) == 0 {
				stamp = at.Add(-time.Duration(dice.IntN(40*24)) * time.Hour)
			}
			message := func(member string, value float64) string {
				return fmt.Sprintf(`{"device_id": %d, "timestamp": %q, %q: %v}`, device+1, stamp.Format(time.RFC3339Nano), member, value)
			}
			value := float64(dice.IntN(4000)-1000) / 100
			messages = append(messages, message("temperature", value))
			switch dice.IntN(20) {
			case 0: // again
				messages = append(messages, message("temperature", value))
			case 1: // in conflict
				messages = append(messages, message("temperature", value+1))
			case 2, 3: // the rest of it
				messages = append(messages, message("humidity", float64(dice.IntN(100))))
			}
		}
	}
	dice.Shuffle(len(messages), func(i, j int) { messages[i], messages[j] = messages[j], messages[i] })
	client := connect(t, s["MQTT_LISTEN_ADDR"], t.Name())
	send := func(messages []string) {
		token := client.Publish("sensors/data", 1, false, "["+strings.Join(messages, ",")+"]")
		if !token.WaitTimeout(10*time.Second) || token.Error() != nil {
			t.Fatalf("no PUBACK: %v", token.Error())
		}
	}
	for batch := range slices.Chunk(messages, 300) {
		send(batch)
	}
	last := fmt.Sprintf(`{"device_id": 9, "timestamp": %q, "x": 1}`, now.Format(time.RFC3339))
	send([]string{last})
	eventually(t, 20*time.Second, "all are stored", func() bool {
		var stored []reading
		_, err := p.get("/api/devices/9/readings/", &stored)
		return err == nil && len(stored) == 1
	})
	p.expectCharts(t, seed, now)

	// The store has counted its buckets: one more reading of a month ago has to change them.
	before := sum(p.charts(t, now, "1d", "UTC")[0].Count)
	late := now.Add(-30*24*time.Hour + time.Duration(dice.IntN(86400e3))*time.Millisecond)
	send([]string{fmt.Sprintf(`{"device_id": 1, "timestamp": %q, "temperature": 99.5}`, late.Format(time.RFC3339Nano))})
	eventually(t, 2*time.Second, "one more reading is in the chart", func() bool {
		c := p.charts(t, now, "1d", "UTC")[0]
		return sum(c.Count) == before+1 && slices.Max(c.Max) == 99.5
	})
	p.expectCharts(t, seed, now)
	client.Disconnect(100) // before the service ends, which it would want to reconnect to
	if err := p.Stop(); err != nil {
		t.Error(err)
	}
	p = start(t, dir, s)
	eventually(t, 10*time.Second, "it answers again", func() bool {
		var any []reading
		_, err := p.get("/api/readings/?limit=1", &any)
		return err == nil
	})
	p.expectCharts(t, seed, now)
}

func sum(counts []int64) (n int64) {
	for _, c := range counts {
		n += c
	}
	return n
}

// charts returns those of the temperatures and humidities of three devices, of the last 45 days.
func (p *program) charts(t *testing.T, now time.Time, interval, zone string) (all []chart) {
	t.Helper()
	q := url.Values{
		"device_id": {"1,2", "3"}, "metric": {"temperature", "humidity"}, "agg": {"sum,avg,min,max,first,last"}, "tz": {zone}, "interval": {interval},
		"from": {now.AddDate(0, 0, -45).Format(time.RFC3339)}, "to": {now.AddDate(0, 0, 1).Format(time.RFC3339)},
	}
	if status, err := p.get("/api/series/?"+q.Encode(), &all); err != nil || status != http.StatusOK || len(all) != 6 {
		t.Fatalf("charts of %s: %d, %v", interval, status, err)
	}
	return all
}

// walk returns all readings, oldest first.
func (p *program) walk(t *testing.T) (all []reading) {
	t.Helper()
	for path := "/api/readings/?limit=1000"; path != ""; {
		res, err := http.Get(p.api + path)
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(res.Body)
		res.Body.Close()
		var page []reading
		if err != nil || json.Unmarshal(body, &page) != nil {
			t.Fatalf("%s: %v %.200s", path, err, body)
		}
		all = append(all, page...)
		link, _, _ := strings.Cut(res.Header.Get("Link"), ">")
		path = strings.TrimPrefix(link, "<")
	}
	slices.Reverse(all)
	return all
}

func (p *program) expectCharts(t *testing.T, seed uint64, now time.Time) {
	t.Helper()
	readings := p.walk(t)
	berlin, err := time.LoadLocation("Europe/Berlin")
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		interval, zone string
		start          func(time.Time) time.Time
	}{
		{"raw", "UTC", func(at time.Time) time.Time { return at }},
		{"15m", "UTC", func(at time.Time) time.Time { return at.Truncate(15 * time.Minute) }},
		{"1h", "Europe/Berlin", func(at time.Time) time.Time { return at.Truncate(time.Hour) }},
		{"1d", "UTC", func(at time.Time) time.Time { return at.Truncate(24 * time.Hour) }},
		{"1d", "Europe/Berlin", func(at time.Time) time.Time {
			year, month, day := at.In(berlin).Date()
			return time.Date(year, month, day, 0, 0, 0, 0, berlin)
		}},
		{"1mo", "Europe/Berlin", func(at time.Time) time.Time {
			year, month, _ := at.In(berlin).Date()
			return time.Date(year, month, 1, 0, 0, 0, 0, berlin)
		}},
	} {
		for _, got := range p.charts(t, now, tt.interval, tt.zone) {
			want := chart{Device: got.Device, Metric: got.Metric, Interval: tt.interval}
			for _, r := range readings {
				v := r.Temperature
				if got.Metric == "humidity" {
					v = r.Humidity
				}
				if r.Device == got.Device && v != nil {
					want.add(tt.start(r.Timestamp).UnixMilli(), *v)
				}
			}
			if len(want.T) == 0 {
				t.Errorf("seed %d: no readings with %s of device %d", seed, got.Metric, got.Device)
			}
			same := slices.Equal(got.T, want.T) && slices.Equal(got.Count, want.Count) && slices.Equal(got.Min, want.Min) && slices.Equal(got.Max, want.Max) &&
				slices.Equal(got.First, want.First) && slices.Equal(got.Last, want.Last) && nearly(got.Sum, want.Sum)
			for i := range want.Sum {
				want.Avg = append(want.Avg, want.Sum[i]/float64(want.Count[i]))
			}
			if !same || !nearly(got.Avg, want.Avg) {
				t.Errorf("seed %d: %s of device %d in %s of %s:\n%+v, want\n%+v", seed, got.Metric, got.Device, tt.interval, tt.zone, got, want)
			}
		}
	}
}

// add adds a value behind the others.
func (c *chart) add(start int64, v float64) {
	n := len(c.T)
	if n == 0 || c.T[n-1] != start {
		c.T, c.Count, c.Sum = append(c.T, start), append(c.Count, 0), append(c.Sum, 0)
		c.Min, c.Max, c.First, c.Last = append(c.Min, v), append(c.Max, v), append(c.First, v), append(c.Last, v)
		n++
	}
	c.Count[n-1]++
	c.Sum[n-1] += v
	c.Min[n-1], c.Max[n-1], c.Last[n-1] = min(c.Min[n-1], v), max(c.Max[n-1], v), v
}

// nearly reports whether sums are the same but for their last digits.
func nearly(a, b []float64) bool {
	return slices.EqualFunc(a, b, func(a, b float64) bool { return math.Abs(a-b) <= 1e-9*max(1, math.Abs(a)) })
}
