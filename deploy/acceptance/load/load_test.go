package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func TestGetAll(t *testing.T) {
	long := strings.Repeat("x", 100_000) // net/http sends it in chunks
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/short":
			_, _ = fmt.Fprint(w, "[1]")
		case "/long":
			_, _ = fmt.Fprint(w, long)
		default:
			http.NotFound(w, r)
		}
	}))
	defer server.Close()
	addr := strings.TrimPrefix(server.URL, "http://")

	t.Run("answers of known and unknown length follow each other on a connection", func(t *testing.T) {
		conn, err := net.Dial("tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = conn.Close() }()
		r := bufio.NewReader(conn)
		for _, path := range []string{"/short", "/long", "/long", "/short"} {
			if _, err := fmt.Fprintf(conn, "GET %s HTTP/1.1\r\nHost: %s\r\n\r\n", path, addr); err != nil {
				t.Fatal(err)
			}
			if err := skipAnswer(r); err != nil {
				t.Errorf("%s: %v", path, err)
			}
			if r.Buffered() != 0 {
				t.Errorf("%s: %d bytes are left", path, r.Buffered())
			}
		}
	})
	t.Run("requests are counted and timed", func(t *testing.T) {
		f, err := getAll(t.Context(), addr, []string{"/short"}, 50*time.Millisecond)
		if err != nil {
			t.Fatal(err)
		}
		if f.n == 0 || f.rate <= 0 || f.p50 <= 0 || f.p99 < f.p50 {
			t.Errorf("figures %+v", f)
		}
	})
	t.Run("any other status is an error", func(t *testing.T) {
		if _, err := getAll(t.Context(), addr, []string{"/nowhere"}, 50*time.Millisecond); err == nil {
			t.Error("no error")
		}
	})
	t.Run("an empty answer is an error", func(t *testing.T) {
		r := bufio.NewReader(strings.NewReader("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n[]"))
		if err := skipAnswer(r); err == nil {
			t.Error("no error")
		}
	})
}

func TestAwait(t *testing.T) {
	t.Run("the rate counts from the first progress on", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			var calls int64
			rate, err := await(t.Context(), 4, func(context.Context) (int64, error) { // 0, 1, 2, 3, 4
				calls++
				return calls - 1, nil
			})
			if err != nil || rate != 20 { // 3 of them in 150 ms
				t.Errorf("rate %v, error %v", rate, err)
			}
		})
	})
	t.Run("what does not come to an end is an error", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			_, err := await(t.Context(), 4, func(context.Context) (int64, error) { return 3, nil })
			if err == nil || !strings.Contains(err.Error(), "3 of 4 done") {
				t.Errorf("error %v", err)
			}
		})
	})
}

func TestTargets(t *testing.T) {
	r := row{unit: "M", per: million, target: target{cpu: 12, ratio: 2, derived: 2.5, rate: 1000, rss: 64 * onMiB, written: 3000, p99: 50 * time.Millisecond}}
	good := figures{
		n: 500_000, cpu: 6 * time.Second, floorN: 250_000, floorCPU: 1500 * time.Millisecond, rate: 1000, rss: 64 * onMiB,
		written: 1_500_000_000, p99: 50 * time.Millisecond,
	}
	for missed, spoil := range map[string]func(*figures){
		"":                                      func(*figures) {},
		"CPU, ratio":                            func(f *figures) { f.cpu += time.Second },
		"ratio":                                 func(f *figures) { f.floorN = 300_000 },
		"ratio, derived ratio":                  func(f *figures) { f.floorN = 400_000 },
		"rate":                                  func(f *figures) { f.rate-- },
		"RSS, p99":                              func(f *figures) { f.rss++; f.p99++ },
		"disk":                                  func(f *figures) { f.written += 500_000 },
		"CPU, ratio, derived ratio, rate, disk": func(f *figures) { f.n /= 2; f.rate = 0 },
	} {
		f := good
		spoil(&f)
		if got := r.target.missed(r, f); got != missed {
			t.Errorf("missed %q, want %q", got, missed)
		}
	}
	if got, want := r.target.text(r), "12 s per M, ratio 2, ratio 2.5 (derived), 1000/s, 64 MiB, 3.0 kB to disk, p99 50.0 ms"; got != want {
		t.Errorf("target %q, want %q", got, want)
	}
	if ratio := r.ratio(figures{n: 1, cpu: time.Second}); ratio != 0 {
		t.Errorf("without a floor the ratio is %v", ratio)
	}
}

// TestFloorsOfRows: each row has a floor that there is, and there is none for nothing.
func TestFloorsOfRows(t *testing.T) {
	used := map[string]bool{"": true}
	for _, r := range rows {
		if used[r.floor] = true; r.floor != "" && floors[r.floor] == nil {
			t.Errorf("%s: there is no floor %q", r.name, r.floor)
		}
	}
	for name := range floors {
		if !used[name] {
			t.Errorf("no row has the floor %q", name)
		}
	}
}

// TestFeeder reads as a floor does what a feeder sends.
func TestFeeder(t *testing.T) {
	const n = feedInFlight + 5000
	f, err := startFeeder(t.Context(), n)
	if err != nil {
		t.Fatal(err)
	}
	conn, err := net.Dial("tcp", strings.TrimPrefix(f.url, "tcp://"))
	if err != nil {
		t.Fatal(err)
	}
	c := newMQTTConn(conn)
	if err := c.subscribe(url.UserPassword("user", "password"), "client", feedTopics); err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	err = c.read(t.Context(), func(topic []byte, id uint16, payload []byte) {
		if !json.Valid(payload) || !strings.HasPrefix(string(topic), "bench/4") {
			t.Fatalf("topic %s, payload %s", topic, payload)
		}
		seen[string(payload)] = true
		if c.acknowledge(id); len(seen) == n {
			_ = conn.Close()
		}
	})
	if !errors.Is(err, net.ErrClosed) || len(seen) != n {
		t.Errorf("%d different readings, %v", len(seen), err)
	}
	if err := f.stop(); err != nil && !errors.Is(err, io.EOF) {
		t.Error(err)
	}
}

func TestRowsWithoutServersAreNotRun(t *testing.T) {
	for _, variable := range []string{"MQTT_URL", "KAFKA_BROKERS", "MONGODB_URI", "REDIS_URL", "MYSQL_URL"} {
		t.Setenv("BENCH_"+variable, "")
		t.Setenv("TEST_"+variable, "")
	}
	for _, r := range rows {
		if got := len(missingServers(r.needs)); got != len(r.needs) {
			t.Errorf("%s: %d servers are missing, want %d", r.name, got, len(r.needs))
		}
	}
	t.Setenv("TEST_KAFKA_BROKERS", "localhost:9092")
	for _, r := range rows {
		if r.name == "bridge-listen" && len(missingServers(r.needs)) != 0 {
			t.Errorf("%s does not take TEST_KAFKA_BROKERS", r.name)
		}
	}
}
