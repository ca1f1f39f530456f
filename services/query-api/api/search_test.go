package api

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"
)

// TestSearchRange: a walk over the last hour is over one and the same time, however long it takes.
func TestSearchRange(t *testing.T) {
	s := embedded(t)
	now := time.Now().UTC().Truncate(time.Millisecond)
	for i := range 3 {
		r := reading(1, i)
		r.At = now.Add(-time.Duration(i) * 25 * time.Minute)
		s.insert(t, r)
	}
	old := reading(1, 0)
	old.At = now.Add(-61 * time.Minute)
	s.insert(t, old)
	handler := s.handler(t)

	path := "/api/readings/search/?range=1h&from_date=&limit=1"
	var from []string
	for found := 0; path != ""; found++ {
		w := get(handler, path)
		var result struct {
			Total   int
			Results []json.RawMessage
		}
		if err := json.Unmarshal(w.Body.Bytes(), &result); err != nil || w.Code != http.StatusOK || result.Total != 3 || len(result.Results) != 1 || found == 3 {
			t.Fatalf("%s: %d %s", path, w.Code, w.Body)
		}
		next, _, _ := strings.Cut(strings.TrimPrefix(w.Header().Get("Link"), "<"), ">")
		if path = next; path != "" {
			_, date, _ := strings.Cut(path, "from_date=")
			date, _, _ = strings.Cut(date, "&")
			from = append(from, date)
		}
	}
	if len(from) != 2 || from[0] != from[1] || strings.Contains(path, "range") {
		t.Errorf("it goes on from %s", from)
	}
}
