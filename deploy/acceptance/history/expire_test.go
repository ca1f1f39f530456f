package history

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"testing"
	"time"
)

// TestExpire: what expires is not wanted any more, and is sent again as it is stored.
func TestExpire(t *testing.T) {
	to := time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)
	horizon := to.AddDate(0, 0, -5).Add(time.Hour)
	l := NewLoad(Plan{
		First: 1, Devices: 3, Readings: 3000, From: to.AddDate(0, 0, -20), To: to, Daily: 2 * time.Hour, Late: 24 * time.Hour, Text: 10, Seed: 1,
	})
	all := maps.Clone(l.Want)
	for key := range all {
		if at := time.UnixMilli(key.At).UTC(); at.Hour() > 1 {
			t.Fatalf("a reading of %v, and the plan is of two hours a day", at)
		}
	}
	expired := l.Expire(horizon)
	if len(l.Want)+len(expired.Want) != len(all) || len(l.Want) < len(all)/5 || len(l.Want) > len(all)/3 {
		t.Fatalf("%d of %d readings are wanted, and %d have expired", len(l.Want), len(all), len(expired.Want))
	}
	if err := l.Check(slices.Collect(maps.Values(all))); err == nil {
		t.Error("that something expired came back is not found")
	}
	sent := 0
	for _, messages := range expired.Messages {
		for _, message := range messages {
			var readings []struct{ Timestamp int64 }
			if err := json.Unmarshal([]byte(message), &readings); err != nil {
				t.Fatal(err)
			}
			for _, r := range readings {
				if sent++; r.Timestamp >= horizon.UnixMilli() {
					t.Errorf("%v is not before %v", time.UnixMilli(r.Timestamp).UTC(), horizon)
				}
			}
		}
	}
	if sent != expired.TooOld || sent != 3*2*messageReadings {
		t.Errorf("%d readings are sent again, and %d are to be refused", sent, expired.TooOld)
	}
}

// TestCharts: a chart in which one digit has changed is found.
func TestCharts(t *testing.T) {
	sum := "0.1"
	api := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = fmt.Fprintf(w, `[{"sum":[%s]}]`, sum) }))
	defer api.Close()
	charts, err := GetCharts(t.Context(), api.URL, time.Unix(0, 0), time.Unix(3600, 0), 1, 2)
	if err != nil || len(charts) != 10 {
		t.Fatalf("%d charts, %v", len(charts), err)
	}
	if err := charts.Check(t.Context(), api.URL); err != nil {
		t.Error(err)
	}
	sum = "0.10000000000000002"
	if charts.Check(t.Context(), api.URL) == nil {
		t.Error("another sum is not found")
	}
}

// TestBusy: an answer that a machine does much else is no answer about readings.
func TestBusy(t *testing.T) {
	busy := true
	api := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if busy {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
		busy = false
		_, _ = fmt.Fprint(w, 7)
	}))
	defer api.Close()
	c := &comparison{ctx: t.Context(), api: api.URL}
	var got int
	if err := c.get("/", &got); err != nil || got != 7 {
		t.Errorf("%d, %v", got, err)
	}
}
