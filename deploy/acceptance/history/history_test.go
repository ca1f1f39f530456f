package history

import (
	"encoding/json"
	"maps"
	"math"
	"slices"
	"testing"
	"time"
)

// TestStart: days have 23 and 25 hours, and the longer steps are counted from their beginning.
func TestStart(t *testing.T) {
	for _, c := range []struct{ interval, zone, at, want string }{
		{"15m", "Asia/Kathmandu", "2026-03-01T12:44:59.999Z", "2026-03-01T12:30:00Z"},
		{"1h", "Asia/Kathmandu", "2026-03-01T12:44:59.999Z", "2026-03-01T12:15:00Z"},
		{"1d", "Europe/Berlin", "2026-03-29T21:59:59.999Z", "2026-03-28T23:00:00Z"},
		{"1d", "Europe/Berlin", "2026-03-29T22:00:00Z", "2026-03-29T22:00:00Z"},
		{"6h", "Europe/Berlin", "2026-10-25T05:30:00Z", "2026-10-25T04:00:00Z"}, // the third of five
		{"1w", "UTC", "2026-03-01T12:00:00Z", "2026-02-23T00:00:00Z"},           // a Sunday
		{"1mo", "Asia/Kathmandu", "2026-02-28T18:15:00Z", "2026-02-28T18:15:00Z"},
		{"1y", "UTC", "2026-02-28T18:15:00Z", "2026-01-01T00:00:00Z"},
		{"raw", "UTC", "2026-02-28T18:15:00.123Z", "2026-02-28T18:15:00.123Z"},
		{"1d", "America/Santiago", "2026-09-06T12:00:00Z", "2026-09-06T04:00:00Z"}, // a day without a midnight
	} {
		zone, err := time.LoadLocation(c.zone)
		if err != nil {
			t.Fatal(err)
		}
		at, want := ms(t, c.at), ms(t, c.want)
		if got, err := start(c.interval, zone, at); err != nil || got != want {
			t.Errorf("%s of %s in %s: %s, %v, want %s", c.interval, c.at, c.zone, time.UnixMilli(got).UTC(), err, c.want)
		}
	}
	if _, err := start("fortnight", time.UTC, 0); err == nil {
		t.Error("a fortnight is an interval")
	}
}

func ms(t *testing.T, s string) int64 {
	t.Helper()
	at, err := time.Parse(time.RFC3339Nano, s)
	if err != nil {
		t.Fatal(err)
	}
	return at.UnixMilli()
}

// TestCheck: a reading that is missing, changed in one bit or invented is found.
func TestCheck(t *testing.T) {
	to := time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)
	l := NewLoad(Plan{First: 1, Devices: 3, Readings: 3000, From: to.Add(-time.Hour), To: to, Late: time.Hour, Seed: 1})
	if l.New == 0 || l.Merged == 0 || l.Duplicates == 0 || l.Conflicts == 0 {
		t.Fatalf("the load is too plain: %+v", l)
	}
	stored := slices.Collect(maps.Values(l.Want))
	if err := l.Check(stored); err != nil {
		t.Fatal(err)
	}
	if l.Check(stored[1:]) == nil {
		t.Error("a missing reading is not found")
	}
	changed := slices.Clone(stored)
	changed[7].Metrics = map[string]float64{"temperature": 1}
	if l.Check(changed) == nil {
		t.Error("a changed reading is not found")
	}
	if l.Check(append(stored, Reading{Key: Key{Device: 1, At: 1}})) == nil {
		t.Error("an invented reading is not found")
	}
}

// TestReading: all of a reading is read, and a negative zero is not a zero.
func TestReading(t *testing.T) {
	const line = `{"device_id":1,"temperature":-0,"humidity":null,"timestamp":"2026-03-01T12:00:00.001Z","metrics":{"a.b":5e-324},"attributes":{"room":"lab"},"device_key":"k"}`
	var got Reading
	if err := json.Unmarshal([]byte(line), &got); err != nil {
		t.Fatal(err)
	}
	want := Reading{Key{1, ms(t, "2026-03-01T12:00:00.001Z")}, "k", map[string]float64{"temperature": 0, "a.b": 5e-324}, map[string]string{"room": "lab"}, line}
	if got.equal(want) {
		t.Error("a negative zero passes for a zero")
	}
	want.Metrics["temperature"] = math.Copysign(0, -1)
	if !got.equal(want) || got.Key != want.Key || got.Line != line {
		t.Errorf("%+v, want %+v", got, want)
	}
}
