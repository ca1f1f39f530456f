package api

import (
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/telltale-iot/telltale/pkg/iot"
	"github.com/telltale-iot/telltale/pkg/readingjson"
)

// TestPages: a client that follows the links of a list while readings arrive sees each reading that was there when
// it began exactly once, newest first.
func TestPages(t *testing.T) {
	for _, b := range backends {
		t.Run(b.name, func(t *testing.T) {
			for _, path := range []string{"/api/readings/?limit=7", "/api/readings/?limit=7&device_id=2", "/api/devices/2/readings/?limit=7"} {
				t.Run(path, func(t *testing.T) { readPagesWhileWriting(t, b.open(t), path) })
			}
		})
	}
}

func readPagesWhileWriting(t *testing.T, s stores, path string) {
	const devices, before = 3, 60
	var old []iot.Reading
	for id := range iot.DeviceID(devices) {
		for n := range before {
			old = append(old, reading(id+1, 2*n)) // the odd seconds are free for late readings
		}
	}
	s.insert(t, old...)
	handler := s.handler(t)

	onlyDevice2 := strings.Contains(path, "2")
	seen := map[string]int{}
	previous := "9999"
	for n := 0; path != ""; n++ {
		if n > len(old) {
			t.Fatal("the pages do not end")
		}
		var writer sync.WaitGroup
		writer.Go(func() {
			late, fresh := reading(2, 2*(n%before)+1), reading(2, 2*before+n)
			if _, err := s.readings.InsertReadings(t.Context(), []iot.Reading{late, fresh}); err != nil {
				t.Errorf("insert: %v", err)
			}
		})
		w := get(handler, path)
		writer.Wait()
		if w.Code != http.StatusOK {
			t.Fatalf("%s: %d %s", path, w.Code, w.Body)
		}
		var page []struct {
			Device    iot.DeviceID `json:"device_id"`
			Timestamp string       `json:"timestamp"`
		}
		if err := json.Unmarshal(w.Body.Bytes(), &page); err != nil {
			t.Fatal(err)
		}
		for _, r := range page {
			if r.Timestamp > previous {
				t.Errorf("%s comes after %s", r.Timestamp, previous)
			}
			previous = r.Timestamp
			seen[r.Device.String()+" "+r.Timestamp]++
		}
		path = nextPage(t, path, w.Header().Get("Link"))
	}
	for _, r := range old {
		if r.Device != 2 && onlyDevice2 {
			continue
		}
		name := r.Device.String() + " " + string(readingjson.AppendTime(nil, r.At))
		if seen[name] != 1 {
			t.Errorf("%s: seen %d times", name, seen[name])
		}
	}
	for name, times := range seen {
		if times != 1 {
			t.Errorf("%s: seen %d times", name, times)
		}
	}
}

// nextPage follows a Link header; "" where there is none.
func nextPage(t *testing.T, path, link string) string {
	t.Helper()
	if link == "" {
		return ""
	}
	target, ok := strings.CutSuffix(strings.TrimPrefix(link, "<"), `>; rel="next"`)
	if !ok {
		t.Fatalf("Link: %s", link)
	}
	base, err := url.Parse("http://host" + path)
	if err != nil {
		t.Fatal(err)
	}
	next, err := base.Parse(target)
	if err != nil {
		t.Fatal(err)
	}
	return next.RequestURI()
}

// TestPagesBefore1970: readings from before 1970, which the system before Telltale took, are paged like all others.
func TestPagesBefore1970(t *testing.T) {
	s := embedded(t)
	var batch []iot.Reading
	for n := range 5 {
		r := reading(1, 0)
		r.At = time.UnixMilli(int64(1500 - 1000*n)).UTC()
		batch = append(batch, r)
	}
	s.insert(t, batch...)
	handler := s.handler(t)
	for path, want := range map[string]int{
		"/api/readings/?limit=1": 5, "/api/devices/1/readings/?limit=2": 5, "/api/readings/?limit=1&since=1969-12-31T23:59:58.5Z": 4,
		"/api/readings/?until=1970-01-01": 3, "/api/readings/?until=0001-01-01": 0,
	} {
		n := 0
		for next := path; next != ""; {
			w := get(handler, next)
			if w.Code != http.StatusOK {
				t.Fatalf("%s: %d %s", next, w.Code, w.Body)
			}
			n += strings.Count(w.Body.String(), "device_id")
			next = nextPage(t, next, w.Header().Get("Link"))
		}
		if n != want {
			t.Errorf("%s: %d readings, want %d", path, n, want)
		}
	}
}
