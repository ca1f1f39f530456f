package apiclient

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// api answers for a Telltale: each connection to its stream gets the next of streams, and then ends.
type api struct {
	mu      sync.Mutex
	streams []func(w http.ResponseWriter, r *http.Request)
	asked   []string // query and Last-Event-ID of each
}

func (a *api) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	switch r.URL.Path {
	case "/api/devices/":
		_, _ = io.WriteString(w, `[{"id":42,"name":"Device 42","key":null},{"id":7380597148161619,"name":"Kitchen","key":"kitchen-1"},{"id":8,"name":"Attic\u001b[2J","key":null}]`)
	case "/api/devices/kitchen-1/":
		_, _ = io.WriteString(w, `{"id":7380597148161619,"name":"Kitchen","key":"kitchen-1"}`)
	case "/api/live/":
		a.mu.Lock()
		a.asked = append(a.asked, r.URL.RawQuery+" "+r.Header.Get("Last-Event-ID"))
		var next func(http.ResponseWriter, *http.Request)
		if len(a.streams) > 0 {
			next, a.streams = a.streams[0], a.streams[1:]
		}
		a.mu.Unlock()
		if next == nil {
			next = hold("")
		}
		next(w, r)
	default:
		w.WriteHeader(http.StatusNotFound)
		_, _ = io.WriteString(w, `{"detail":"Not found."}`)
	}
}

// say answers with text, and ends.
func say(text string) func(http.ResponseWriter, *http.Request) {
	return func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, text)
		_ = http.NewResponseController(w).Flush()
	}
}

// hold answers with text, and stays.
func hold(text string) func(http.ResponseWriter, *http.Request) {
	return func(w http.ResponseWriter, r *http.Request) {
		say(text)(w, r)
		<-r.Context().Done()
	}
}

func refuse(code int, body string) func(http.ResponseWriter, *http.Request) {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Retry-After", "0")
		w.WriteHeader(code)
		_, _ = io.WriteString(w, body)
	}
}

func reading(id, device int, member string) string {
	return fmt.Sprintf("id: p%d\nevent: reading\ndata: {\"device_id\":%d,\"temperature\":21.5,\"humidity\":null,\"timestamp\":\"%s\"%s,\"received_at\":\"2026-03-01T12:00:00.000Z\"}\n\n",
		id, device, time.Now().UTC().Format("2006-01-02T15:04:05.000Z"), member)
}

// follow runs a Tail until it has printed n lines, or returned.
func follow(t *testing.T, a *api, tail Tail, n int) (lines []string, stderr string, err error) {
	t.Helper()
	server := httptest.NewServer(a)
	defer server.Close()
	defer transport.CloseIdleConnections()
	out, in := io.Pipe()
	var said bytes.Buffer
	tail.URL, tail.Out, tail.Err = server.URL, in, &said
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() {
		done <- tail.Run(ctx)
		_ = in.Close()
	}()
	for s := bufio.NewScanner(out); len(lines) < n && s.Scan(); {
		lines = append(lines, s.Text())
	}
	if n > 0 && len(lines) == n {
		stop()
	}
	err = <-done
	stop()
	return lines, said.String(), err
}

// What is printed of a reading: when, of which device, what, and how old that is; and nothing that moves the cursor.
func TestTail(t *testing.T) {
	a := &api{streams: []func(http.ResponseWriter, *http.Request){hold(
		"id: p0\n\n: heartbeat\n\n" + reading(1, 42, `,"metrics":{"co2":415,"\u001b[1m":1}`) + reading(2, 7380597148161619, `,"attributes":{"note":"a\u0007b"},"device_key":"kitchen-1"`) +
			"id: p3\nevent: dead_letter\ndata: {\"reason\":\"invalid_json\",\"detail\":\"x\",\"source\":\"sensors/9/data\",\"device_id\":null,\"device_key\":null,\"received_at\":\"2026-03-01T12:00:00.000Z\"}\n\n" +
			"id: p4\nevent: device\ndata: {\"id\":42,\"name\":\"Boiler\",\"key\":null}\n\n" + reading(5, 42, "") + reading(6, 8, "") + reading(7, 99, ""),
	)}}
	lines, stderr, err := follow(t, a, Tail{}, 6)
	if err != nil || stderr != "" {
		t.Errorf("%v, says %q", err, stderr)
	}
	for i, want := range []string{
		"  42  \ufffd[1m 1  co2 415  temperature 21.5 °C  ", `  Kitchen (kitchen-1)  temperature 21.5 °C  note "a` + "\ufffd" + `b"  `,
		"  -  dead letter invalid_json: x (sensors/9/data)", "  Boiler (42)  temperature 21.5 °C  ", "  Attic\ufffd[2J (8)  temperature", "  99  temperature",
	} {
		if !strings.Contains(lines[i], want) || i != 2 && !strings.HasSuffix(lines[i], " s old") {
			t.Errorf("line %d is %q, want %q in it", i, lines[i], want)
		}
	}
}

// A stream that breaks off goes on behind the last event, whatever the API answers meanwhile.
func TestReconnect(t *testing.T) {
	a := &api{streams: []func(http.ResponseWriter, *http.Request){
		refuse(503, `{"detail":"Away."}`), say("id: p0\n\n" + reading(1, 42, "")), say(reading(2, 42, "") + "id: p3\nevent: reading\ndata: {\"half"), refuse(503, `{"detail":"Away."}`),
		refuse(502, "<html>"), say("id: p4\nevent: resync\ndata: {}\n\n" + reading(5, 42, "")),
	}}
	lines, stderr, err := follow(t, a, Tail{Devices: []string{"a,b", "kitchen-1"}, Metrics: []string{"temperature"}, JSON: true}, 3)
	if err != nil {
		t.Fatal(err)
	}
	for _, line := range lines {
		if !strings.HasPrefix(line, `{"device_id":42,"temperature":21.5,`) {
			t.Errorf("printed %q", line)
		}
	}
	const query = "device_id=a%5C%2Cb&device_id=kitchen-1&metric=temperature "
	if got, want := strings.Join(a.asked, "\n"), strings.Join([]string{query, query, query + "p1", query + "p2", query + "p2", query + "p2"}, "\n"); got != want {
		t.Errorf("it asks\n%s\nwant\n%s", got, want)
	}
	if n := strings.Count(stderr, "reconnecting, 0 s behind: "); n != 5 || !strings.Contains(stderr, "503 Service Unavailable: Away. (again in 0 s)") ||
		!strings.Contains(stderr, "the log does not reach back so far") {
		t.Errorf("it says\n%s", stderr)
	}
}

// What will not be better by itself ends it: a request that is refused, and a Telltale that was never there.
func TestRefused(t *testing.T) {
	a := &api{streams: []func(http.ResponseWriter, *http.Request){refuse(400, `{"metric":["This field may not be blank."]}`)}}
	_, stderr, err := follow(t, a, Tail{Metrics: []string{""}}, 0)
	var status *StatusError
	if !errors.As(err, &status) || status.Code != 400 || !strings.Contains(err.Error(), "metric: This field may not be blank.") || stderr != "" {
		t.Errorf("%v, says %q", err, stderr)
	}
	server := httptest.NewServer(a)
	server.Close()
	if err := (&Tail{Client: Client{URL: server.URL}, JSON: true, Err: io.Discard}).Run(t.Context()); err == nil {
		t.Error("nobody is there, and it ends without an error")
	}
	broken := errors.New("the disk is full")
	a = &api{streams: []func(http.ResponseWriter, *http.Request){say(reading(1, 42, ""))}}
	server = httptest.NewServer(a)
	defer server.Close()
	err = Client{URL: server.URL}.Follow(t.Context(), nil, func(Event) error { return broken }, func(error, time.Duration) {})
	if !errors.Is(err, broken) {
		t.Errorf("it ends with %v", err)
	}
}

// A stream that says nothing, and does not end, is given up.
func TestSilence(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &stream{each: func(Event) error { return nil }}
		ctx, cancel := context.WithCancelCause(t.Context())
		in, out := io.Pipe()
		begin := time.Now()
		go func() {
			time.Sleep(maxSilence - time.Second)
			_, _ = io.WriteString(out, ": heartbeat\n\n")
			<-ctx.Done()
			_ = out.CloseWithError(ctx.Err())
		}()
		err := s.read(ctx, cancel, in)
		if took := time.Since(begin); err == nil || took != 2*maxSilence-time.Second {
			t.Errorf("%v after %v", err, took)
		}
	})
}

func TestLongLines(t *testing.T) {
	long := strings.Repeat("x", 1<<20)
	in := bufio.NewReaderSize(strings.NewReader(long+"\r\nshort\n"+strings.Repeat(long, 17)), 64<<10)
	for _, want := range []string{long, "short"} {
		if got, err := readLine(in); string(got) != want || err != nil {
			t.Errorf("%d bytes, %v", len(got), err)
		}
	}
	if got, err := readLine(in); err == nil {
		t.Errorf("a line of %d bytes", len(got))
	}
}

func TestAge(t *testing.T) {
	for d, want := range map[time.Duration]string{
		49 * time.Millisecond: "0 s old", 3249 * time.Millisecond: "3.2 s old", 90 * time.Second: "90 s old", time.Hour: "60 min old",
		47 * time.Hour: "47 h old", 72 * time.Hour: "3 days old", -5 * time.Minute: "5 min ahead",
	} {
		if got := age(d); got != want {
			t.Errorf("%v is %q, want %q", d, got, want)
		}
	}
}
