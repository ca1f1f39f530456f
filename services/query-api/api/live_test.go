package api

import (
	"bufio"
	"context"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/telltale-iot/telltale/pkg/iot"
	"github.com/telltale-iot/telltale/pkg/timeouts"
)

// TestLive: the stream begins with a place, has what is published, ends when the API stops, and goes on with the place.
func TestLive(t *testing.T) {
	s := embedded(t)
	s.startKafka(t)
	a := s.api(t, nil)
	addr, stop := start(t, a)
	events, header := follow(t, addr, "?device_id=42", "")
	for name, want := range map[string]string{
		"Content-Type": "text/event-stream", "Cache-Control": "no-store", "X-Accel-Buffering": "no", "Content-Encoding": "",
	} {
		if got := header.Get(name); got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
	first := next(t, events)
	if !strings.HasPrefix(first, "id: ") || strings.Contains(first, "\n") {
		t.Fatalf("first %q, want a place", first)
	}
	publish(t, addr, 41)
	publish(t, addr, 42)
	got := next(t, events)
	if !strings.HasPrefix(got, "event: reading\ndata: {\"device_id\":42,") || !strings.Contains(got, `"received_at":"`) {
		t.Fatalf("got %q", got)
	}
	began := time.Now()
	if err := stop(); err != nil || time.Since(began) > timeouts.HTTPDrain/2 {
		t.Errorf("Run: %v after %v", err, time.Since(began))
	}
	for range events { // until it ends
	}

	addr, _ = start(t, s.api(t, nil))
	_, id, _ := strings.Cut(got, "id: ")
	publish(t, addr, 42)
	events, _ = follow(t, addr, "", id)
	if first := next(t, events); first != "id: "+id {
		t.Errorf("first %q, want %q", first, id)
	}
	if again := next(t, events); !strings.Contains(again, `"device_id":42,`) {
		t.Errorf("then %q", again)
	}
	events, _ = follow(t, addr, "?last_event_id=nonsense", "")
	if first := next(t, events); !strings.HasPrefix(first, "event: resync\ndata: {}\nid: ") {
		t.Errorf("first %q, want a resync", first)
	}
}

// TestLiveLimits: one address has a part of the streams, and all together have no more than there are.
func TestLiveLimits(t *testing.T) {
	a := embedded(t).api(t, nil)
	handler := a.Handler()
	for n := range maxYourStreams {
		if _, err := a.limits.streams.take("192.0.2.1:1"); err != nil {
			t.Fatalf("stream %d: %v", n, err)
		}
	}
	if got := get(handler, "/api/live/"); got.Code != http.StatusTooManyRequests { // from 192.0.2.1, as package httptest says
		t.Errorf("one more: %d %s", got.Code, got.Body)
	}
	for n := range maxStreams - maxYourStreams {
		if _, err := a.limits.streams.take("192.0.2.2:1"); err != nil {
			t.Fatalf("stream %d: %v", n, err)
		}
	}
	if got := get(handler, "/api/live/"); got.Code != http.StatusServiceUnavailable {
		t.Errorf("when all are taken: %d %s", got.Code, got.Body)
	}
}

// follow follows what happens, from an id on if there is one, with what says who does. Events are sent without the empty line behind them.
func follow(t *testing.T, addr, query, id string, authorization ...string) (events chan string, header http.Header) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+addr+"/api/live/"+query, nil)
	if err != nil {
		t.Fatal(err)
	}
	if id != "" {
		r.Header.Set("Last-Event-ID", id)
	}
	r.Header.Set("Accept-Encoding", "gzip")
	r.Header["Authorization"] = authorization
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	if answer.StatusCode != http.StatusOK {
		body, _ := io.ReadAll(answer.Body)
		t.Fatalf("%s: %s", answer.Status, body)
	}
	events, ended := make(chan string, 100), make(chan struct{})
	t.Cleanup(func() { cancel(); <-ended })
	go func() {
		defer close(ended)
		defer close(events)
		defer answer.Body.Close()
		var lines []string
		for scan := bufio.NewScanner(answer.Body); scan.Scan(); {
			if scan.Text() != "" {
				lines = append(lines, scan.Text())
				continue
			}
			events <- strings.Join(lines, "\n")
			lines = nil
		}
	}()
	return events, answer.Header
}

// next returns the next event.
func next(t *testing.T, events chan string) string {
	t.Helper()
	select {
	case e := <-events:
		return e
	case <-time.After(time.Minute):
		t.Fatal("no event came")
		return ""
	}
}

// publish sends a reading of a device.
func publish(t *testing.T, addr string, id iot.DeviceID) {
	t.Helper()
	answer, err := http.Post("http://"+addr+"/api/devices/"+id.String()+"/readings/", "application/json", strings.NewReader(`{"temperature": 21.5}`))
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusAccepted {
		body, _ := io.ReadAll(answer.Body)
		t.Fatalf("%s: %s", answer.Status, body)
	}
}
