package api

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// slowly reads n bytes every pause, until r ends, and says how many came and how long that took.
func slowly(r io.Reader, n int, pause time.Duration) (all int64, took time.Duration, err error) {
	began := time.Now()
	for {
		time.Sleep(pause)
		read, err := io.CopyN(io.Discard, r, int64(n))
		all += read
		if err != nil {
			return all, time.Since(began), err
		}
	}
}

// TestPaceOfExports: a client that is slow has the time that it needs, however long the store takes, and one that only seems to be one is cut off.
func TestPaceOfExports(t *testing.T) {
	const forever = 1 << 40
	for _, tt := range []struct {
		what   string
		path   string
		store  ReadingStore
		n      int // bytes that are read at a time
		pause  time.Duration
		whole  bool
		within time.Duration
	}{
		{"20 kB/s", "", &scanner{n: 40_000}, 1000, time.Second / 20, true, 0},
		{"20 kB/s, of Parquet", "?format=parquet", &scanner{n: 100_000, noise: true}, 1000, time.Second / 20, true, 0},
		{"20 kB/s, with breaks of 12 s", "", &scanner{n: 40_000}, 240_000, 12 * time.Second, true, 0},
		{"100 kB/s, as curl", "", &scanner{n: 100_000}, 100_000, time.Second, true, 0},
		{"fast, of a store that finds nothing for long", "", &scanner{n: 5000, pause: 50 * time.Second, every: 1000}, 64 << 10, 0, true, 0},
		{"64 KiB every 14 s", "", &scanner{n: forever}, 64 << 10, 14 * time.Second, false, 30 * time.Second},
		{"1 kB/s", "", &scanner{n: forever}, 1000, time.Second, false, 30 * time.Second},
		{"9 kB/s", "", &scanner{n: forever}, 9000, time.Second, false, 5 * time.Minute},
	} {
		t.Run(tt.what, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				a := embedded(t).api(t, nil)
				s := tt.store.(*scanner)
				s.ReadingStore, a.Readings = a.Readings, s
				c := startOnPipes(t, a)()
				sendGet(t, c, "/api/readings/export/"+tt.path)
				answer, err := http.ReadResponse(bufio.NewReaderSize(c, 1<<10), nil)
				if err != nil {
					t.Fatal(err)
				}
				n, took, err := slowly(answer.Body, tt.n, tt.pause)
				switch {
				case tt.whole && (!errors.Is(err, io.EOF) || answer.Trailer.Get(trailerCount) != fmt.Sprint(s.n)):
					t.Errorf("%d bytes, %s readings, %v, after %v", n, answer.Trailer.Get(trailerCount), err, took)
				case !tt.whole && (!errors.Is(err, io.ErrUnexpectedEOF) || took > tt.within):
					t.Errorf("%d bytes, %v, after %v", n, err, took)
				}
				synctest.Wait()
				checkFree(t, a.limits.exports)
			})
		})
	}
}

// TestPaceOfImports: a file has the time that it needs, also while Kafka does not, and one that hardly comes is 408.
func TestPaceOfImports(t *testing.T) {
	blank := strings.Repeat("\n", 20_000) // lines that nobody counts
	for _, tt := range []struct {
		what   string
		parts  int
		part   string
		pause  time.Duration
		status int
		after  time.Duration // that the answer comes, at most
	}{
		{"20 kB/s", 100, blank, time.Second, http.StatusAccepted, 100 * time.Second},
		{"100 kB/s with breaks", 10, strings.Repeat(blank, 10), 10 * time.Second, http.StatusAccepted, 100 * time.Second},
		{"a byte every 14 s", 1000, "\n", 14 * time.Second, http.StatusRequestTimeout, 20 * time.Second},
		{"9 kB/s", 1000, blank[:9000], time.Second, http.StatusRequestTimeout, 5 * time.Minute},
		{"Kafka takes nothing", 1, `{"device_id":1,"x":1,"timestamp":"2026-03-01T12:00:00Z"}`, 0, http.StatusServiceUnavailable, kafkaTimeout},
	} {
		t.Run(tt.what, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				a := embedded(t).api(t, nil)
				c := startOnPipes(t, a)()
				if _, err := fmt.Fprintf(c, "POST %s HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/x-ndjson\r\nContent-Length: %d\r\n\r\n", importPath, tt.parts*len(tt.part)); err != nil {
					t.Fatal(err)
				}
				began, sent := time.Now(), make(chan struct{})
				go func() {
					defer close(sent)
					for range tt.parts {
						time.Sleep(tt.pause)
						if _, err := io.WriteString(c, tt.part); err != nil {
							return
						}
					}
				}()
				answer, err := http.ReadResponse(bufio.NewReader(c), nil)
				if err != nil {
					t.Fatal(err)
				}
				text, _ := io.ReadAll(answer.Body)
				if took := time.Since(began); answer.StatusCode != tt.status || took > tt.after {
					t.Errorf("%s %s after %v", answer.Status, text, took)
				}
				_ = c.Close()
				<-sent
				synctest.Wait()
				checkFree(t, a.limits.imports)
			})
		})
	}
}

// TestPace: only the time in which the client is waited for is taken from what it has.
func TestPace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPace()
		var deadline time.Time
		set := func(at time.Time) error { deadline = at; return nil }
		for _, step := range []struct {
			busy     time.Duration // of the server
			size     int
			deadline time.Duration // that it gets
			took     time.Duration
			n        int
			left     time.Duration
		}{
			{time.Hour, 0, firstWait, 5 * time.Second, 0, 10 * time.Second},
			{time.Hour, leastRate, 11 * time.Second, 11 * time.Second, leastRate, 0},
			{0, 0, 0, 0, 2 * leastRate, 2 * time.Second},
			{time.Hour, 1000 * leastRate, 1002 * time.Second, 0, 1000 * leastRate, mostWait},
		} {
			time.Sleep(step.busy)
			if _, err := p.move(step.size, set, func() (int, error) {
				if got := time.Until(deadline); got != step.deadline {
					t.Errorf("%+v: a deadline in %v", step, got)
				}
				time.Sleep(step.took)
				return step.n, nil
			}); err != nil || p.left != step.left {
				t.Errorf("%+v: %v left, %v", step, p.left, err)
			}
		}
	})
}

// TestBodiesThatNobodyReads: what a client says that it sends, and does not, holds up nothing for long.
func TestBodiesThatNobodyReads(t *testing.T) {
	for request, status := range map[string]int{
		"GET /api/readings/export/":                          http.StatusRequestTimeout,
		"GET /api/readings/?format=csv":                      http.StatusRequestTimeout,
		"POST " + importPath + "|Content-Encoding: br":       http.StatusUnsupportedMediaType,
		"POST " + importPath + "|Content-Encoding: gzip":     http.StatusRequestTimeout,
		"POST /api/readings/|Content-Encoding: br":           http.StatusUnsupportedMediaType,
		"POST /api/readings/|Content-Type: application/json": http.StatusRequestTimeout,
	} {
		t.Run(request, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				a := withReadings(t, &scanner{n: 10})
				c := startOnPipes(t, a)()
				line, header, _ := strings.Cut(request, "|")
				if header != "" {
					header += "\r\n"
				}
				if _, err := fmt.Fprintf(c, "%s HTTP/1.1\r\nHost: localhost\r\n%sContent-Length: 10\r\n\r\n", line, header); err != nil {
					t.Fatal(err)
				}
				began := time.Now()
				answer, err := http.ReadResponse(bufio.NewReader(c), nil)
				if took := time.Since(began); err != nil || answer.StatusCode != status || took > firstWait+time.Second {
					t.Fatalf("%v, %v, after %v", answer, err, took)
				}
				if _, err := io.Copy(io.Discard, c); err != nil { // until the server closes it
					t.Error(err)
				}
				if took := time.Since(began); took > 2*firstWait {
					t.Errorf("the connection was open for %v", took)
				}
				checkFree(t, a.limits.exports)
				checkFree(t, a.limits.imports)
			})
		})
	}
}
