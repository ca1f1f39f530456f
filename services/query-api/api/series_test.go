package api

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"testing"
)

// FuzzSeries: whatever is asked for, the answer is a chart whose columns are of one length, or says what is wrong.
func FuzzSeries(f *testing.F) {
	for _, query := range []string{
		"", "device_id=1", "device_id=1,2&metric=temperature,humidity&interval=1mo&tz=Europe/Berlin",
		"device_id=1&from=2026-03-01&to=2026-03-02&agg=p50,sum,count&fill=previous&points=7",
		"device_id=1&from=0001-01-01&to=9999-12-31T23:59:59.999999Z&interval=1y&tz=Australia/Lord_Howe",
		"device_id=1&from=2026-03-01T12:00:01Z&to=2026-03-01T12:00:01.001Z&interval=raw", "device_id=%zz&tz=..%2f&metric=%ff&fill=null",
		"device_id=1&from=1900-01-01&to=1900-01-05&interval=1h&fill=null&tz=Africa/Monrovia",
	} {
		f.Add(query)
	}
	s := embedded(f)
	s.insert(f, reading(1, 0), reading(1, 1), reading(1, 900), reading(2, 7))
	handler := s.handler(f)
	f.Fuzz(func(t *testing.T, query string) {
		r := httptest.NewRequest(http.MethodGet, "/api/series/", nil)
		r.URL.RawQuery = query
		w := httptest.NewRecorder()
		handler.ServeHTTP(w, r)
		switch w.Code {
		case http.StatusOK:
			var one map[string]any
			var list []map[string]any
			if json.Unmarshal(w.Body.Bytes(), &list) != nil {
				if err := json.Unmarshal(w.Body.Bytes(), &one); err != nil {
					t.Fatalf("%q: %s", query, w.Body)
				}
				list = []map[string]any{one}
			}
			for _, series := range list {
				times := series["t"].([]any)
				for name, column := range series {
					if numbers, ok := column.([]any); ok && len(numbers) != len(times) {
						t.Errorf("%q: %d times, and %d of %s", query, len(times), len(numbers), name)
					}
				}
			}
		case http.StatusBadRequest:
			var errs map[string][]string
			if err := json.Unmarshal(w.Body.Bytes(), &errs); err != nil || len(errs) == 0 {
				t.Errorf("%q: %s", query, w.Body)
			}
		default:
			t.Errorf("%q: %d %s", query, w.Code, w.Body)
		}
	})
}
