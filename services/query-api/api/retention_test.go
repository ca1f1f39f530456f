package api

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/telltale-iot/telltale/pkg/iot"
)

// TestRemovedMonths: they go from the oldest one on until what is left fits, but for the one of now.
func TestRemovedMonths(t *testing.T) {
	march := time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)
	u := iot.Usage{Readings: 600, Rollups: 50, Months: []iot.MonthUsage{
		{Start: march.AddDate(0, -3, 0), Bytes: 100}, {Start: march.AddDate(0, -1, 0), Bytes: 200}, {Start: march, Bytes: 300},
	}}
	for most, want := range map[int64]string{
		0:   "[] 0 true",
		650: "[] 0 true",
		649: "[2025-12] 100 true",
		550: "[2025-12] 100 true",
		549: "[2025-12 2026-02] 300 true",
		350: "[2025-12 2026-02] 300 true",
		349: "[2025-12 2026-02] 300 false",
	} {
		removed, end := removedMonths(u, most, march.AddDate(0, 0, 14))
		if got := fmt.Sprint(removed.Months, removed.Bytes, removed.Enough); got != want || end.IsZero() == (len(removed.Months) > 0) {
			t.Errorf("of at most %d bytes: %s until %v, want %s", most, got, end, want)
		}
	}
}

func TestRetentionOfBytes(t *testing.T) {
	s := embedded(t)
	month := time.Now().UTC().AddDate(0, 0, 1-time.Now().UTC().Day()).Truncate(iot.Day)
	before := month.AddDate(0, -1, 0)
	for i, at := range []time.Time{before, before.Add(time.Hour), month} {
		s.insert(t, iot.Reading{Device: 1, At: at, Received: at, Stamped: iot.StampDevice, Metrics: []iot.Metric{{Name: "x", Value: float64(i)}}})
	}
	for query, want := range map[string]string{
		"1TB": `"max_bytes":{"before":null,"count":0,"bytes":0,"months":[],"enough":true}`,
		"1B":  fmt.Sprintf(`"max_bytes":{"before":%q,"count":2,"bytes":`, month.Format("2006-01-02T15:04:05.000Z")),
		"0":   `{"max_bytes":["Must be a size such as 500MB, 10GB or 10GiB."]}`,
	} {
		w := httptest.NewRecorder()
		s.handler(t).ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/api/readings/retention/?max_bytes="+query, nil))
		if !strings.Contains(w.Body.String(), want) || query == "1B" && !strings.HasSuffix(w.Body.String(), fmt.Sprintf(`"months":[%q],"enough":false},"approximate":false}`, before.Format("2006-01"))) {
			t.Errorf("%s: %s", query, w.Body)
		}
	}
}
