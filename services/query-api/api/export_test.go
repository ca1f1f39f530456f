package api

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"

	"github.com/telltale-iot/telltale/pkg/heaptest"
	"github.com/telltale-iot/telltale/pkg/iot"
)

// scanner is a store of n readings, which it makes as they are read; then it fails, if it is to. It says when a scan ends.
type scanner struct {
	ReadingStore
	n     int
	pause time.Duration // before each of so many
	every int
	noise bool // readings have that no compression makes short
	err   error
	ended chan error
}

func (s *scanner) ScanReadings(ctx context.Context, q iot.ScanQuery, take func(*iot.Reading) (bool, error)) (err error) {
	if s.ended != nil {
		defer func() { s.ended <- err }()
	}
	first := reading(1, 0)
	for i := range s.n {
		if s.every > 0 && i%s.every == 0 {
			time.Sleep(s.pause)
		}
		r := first
		r.Device, r.At = iot.DeviceID(i%20+1), first.At.Add(time.Duration(i)*time.Second)
		r.Metrics[0].Value = float64(i % 1000)
		if s.noise {
			r.Attributes = []iot.Attribute{{Name: "noise", Value: fmt.Sprintf("%x", sha256.Sum256([]byte(strconv.Itoa(i))))}}
		}
		if more, err := take(&r); err != nil || !more {
			return err
		}
		if err := ctx.Err(); err != nil {
			return err
		}
	}
	return s.err
}

func (s *scanner) ReadBuckets(context.Context, iot.BucketQuery, func(iot.Buckets) error) error {
	return nil
}

// withReadings returns an API on a store of n readings.
func withReadings(t *testing.T, s *scanner) *API {
	t.Helper()
	a := embedded(t).api(t, nil)
	s.ReadingStore, a.Readings = a.Readings, s
	return a
}

// fetch asks for a file, and returns all of it that comes.
func fetch(t *testing.T, url, coding string) (answer *http.Response, body []byte, err error) {
	t.Helper()
	r, err := http.NewRequest(http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Accept-Encoding", coding)
	answer, err = http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	body, err = io.ReadAll(answer.Body)
	return answer, body, err
}

func TestExport(t *testing.T) {
	t.Run("is compressed as the client takes it, and has its length and hash behind it", func(t *testing.T) {
		addr, _ := start(t, withReadings(t, &scanner{n: 10_000}))
		for _, format := range []string{"ndjson", "csv", "parquet"} {
			var plain []byte
			for _, coding := range []string{"identity", "gzip", "zstd", "gzip, zstd;q=0"} {
				answer, body, err := fetch(t, "http://"+addr+"/api/readings/export/?format="+format, coding)
				if err != nil {
					t.Fatal(err)
				}
				var r io.Reader = bytes.NewReader(body)
				switch answer.Header.Get("Content-Encoding") {
				case "gzip":
					r, err = gzip.NewReader(r)
				case "zstd":
					r, err = zstd.NewReader(r)
				}
				if err != nil {
					t.Fatal(err)
				}
				if body, err = io.ReadAll(r); err != nil {
					t.Fatal(err)
				}
				if coding == "identity" {
					plain = body
				} else if !bytes.Equal(body, plain) {
					t.Errorf("%s in %s is another", format, coding)
				}
				if got, want := answer.Trailer.Get(trailerDigest), fmt.Sprintf("%x", sha256.Sum256(plain)); got != want {
					t.Errorf("%s in %s: hash %s, want %s", format, coding, got, want)
				}
				if got := answer.Trailer.Get(trailerCount) + " " + answer.Trailer.Get(trailerCursor); got != "10000 2026-03-01T14:46:39.000Z,20" {
					t.Errorf("%s in %s: %s", format, coding, got)
				}
			}
		}
	})
	t.Run("of which the store fails in the middle has no end, and no trailers", func(t *testing.T) {
		addr, _ := start(t, withReadings(t, &scanner{n: 30_000, err: errors.New("the disk is gone")}))
		for _, coding := range []string{"identity", "gzip", "zstd"} {
			answer, body, err := fetch(t, "http://"+addr+"/api/readings/export/", coding)
			if len(body) == 0 || !errors.Is(err, io.ErrUnexpectedEOF) || answer.Trailer.Get(trailerCount) != "" {
				t.Errorf("in %s: %d bytes, %v, %v", coding, len(body), err, answer.Trailer)
			}
		}
	})
	t.Run("of which the store fails at once is 503", func(t *testing.T) {
		addr, _ := start(t, withReadings(t, &scanner{n: 10, err: errors.New("the disk is gone")}))
		answer, body, err := fetch(t, "http://"+addr+"/api/readings/export/", "identity")
		if answer.StatusCode != http.StatusServiceUnavailable || err != nil || len(answer.Header["Trailer"]) > 0 {
			t.Errorf("%s %s %v", answer.Status, body, err)
		}
	})
	t.Run("goes on behind each of its rows without a gap, and without a repetition", func(t *testing.T) {
		s := embedded(t)
		for i := range 40 {
			r := reading(iot.DeviceID(i%3+1), i/3)
			r.Metrics = append(r.Metrics, iot.Metric{Name: fmt.Sprint("x", i%4), Value: float64(i)})
			s.insert(t, r)
		}
		addr, _ := start(t, s.api(t, nil))
		for _, path := range []string{"/api/readings/export/?format=ndjson", "/api/readings/export/?format=csv&column=x0&column=x1&column=x2", "/api/readings/?format=ndjson"} {
			_, whole, err := fetch(t, "http://"+addr+path, "identity")
			if err != nil {
				t.Fatal(err)
			}
			lines := bytes.SplitAfter(bytes.TrimSuffix(whole, []byte("\n")), []byte("\n"))
			for i, line := range lines {
				var timestamp, device string
				if strings.Contains(path, "csv") {
					if i == 0 {
						continue
					}
					cells := strings.Split(string(line), ",")
					timestamp, device = cells[0], cells[1]
				} else {
					timestamp = string(line[bytes.Index(line, []byte(`"timestamp":"`))+13:][:24])
					device = string(line[len(`{"device_id":`):bytes.IndexByte(line, ',')])
				}
				_, rest, err := fetch(t, "http://"+addr+path+"&cursor="+timestamp+","+device, "identity")
				if want := whole[len(bytes.Join(lines[:i+1], nil)):]; err != nil || !bytes.Equal(bytes.TrimSpace(rest), bytes.TrimSpace(want)) {
					t.Fatalf("%s behind row %d: %v\n%s\nwant\n%s", path, i, err, rest, want)
				}
			}
		}
	})
	t.Run("takes little memory, however many readings there are", func(t *testing.T) {
		for format, n := range map[string]int{"ndjson": 300_000, "csv": 100_000, "parquet": 250_000} {
			addr, _ := start(t, withReadings(t, &scanner{n: n}))
			grown := heaptest.Watch(t)
			answer, err := http.Get("http://" + addr + "/api/readings/export/?format=" + format)
			if err != nil {
				t.Fatal(err)
			}
			_, err = io.Copy(io.Discard, answer.Body)
			_ = answer.Body.Close()
			if got := answer.Trailer.Get(trailerCount); err != nil || got != fmt.Sprint(n) {
				t.Errorf("%s: %s readings, %v", format, got, err)
			}
			if n := grown(); n > 32<<20 {
				t.Errorf("%s: %d MiB", format, n>>20)
			} else {
				t.Logf("%s: %d MiB", format, n>>20)
			}
		}
	})
}

func TestExportsAreBounded(t *testing.T) {
	const forever = 1 << 40
	t.Run("a client that takes nothing is cut off, and one that leaves is let go", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			s := &scanner{n: forever, ended: make(chan error, 1)}
			a := withReadings(t, s)
			dial := startOnPipes(t, a)
			for _, path := range []string{"/api/readings/export/", "/api/readings/export/?format=parquet", "/api/readings/?format=csv"} {
				begin, c := time.Now(), dial()
				sendGet(t, c, path)
				if err, took := <-s.ended, time.Since(begin); err == nil || took > 30*time.Second {
					t.Errorf("%s, which nobody takes: %v after %v", path, err, took)
				}
				_ = c.Close()
				if strings.Contains(path, "parquet") {
					continue // it takes long until the first part of it
				}
				begin, c = time.Now(), dial()
				sendGet(t, c, path)
				if _, err := http.ReadResponse(bufio.NewReader(c), nil); err != nil {
					t.Fatal(err)
				}
				_ = c.Close()
				if err, took := <-s.ended, time.Since(begin); err == nil || took > time.Second {
					t.Errorf("%s, whose client left: %v after %v", path, err, took)
				}
			}
			synctest.Wait()
			checkFree(t, a.limits.exports)
		})
	})
	t.Run("too many are 503", func(t *testing.T) {
		a := embedded(t).api(t, nil)
		handler := a.Handler()
		takeAll(t, a.limits.exports)
		if w := get(handler, "/api/readings/export/"); w.Code != http.StatusServiceUnavailable || w.Header().Get("Retry-After") == "" {
			t.Errorf("%d %s", w.Code, w.Header())
		}
		if w := get(handler, "/api/readings/"); w.Code != http.StatusOK {
			t.Errorf("a list: %d", w.Code)
		}
	})
	t.Run("a store that says nothing more is given up, and so are all when the service stops", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			a := embedded(t).api(t, nil)
			s := &hanging{a.Readings, make(chan struct{}, 1)}
			a.Readings = s
			dial := startOnPipes(t, a)
			begin, c := time.Now(), dial()
			sendGet(t, c, "/api/readings/export/")
			answer, err := http.ReadResponse(bufio.NewReader(c), nil)
			if took := time.Since(begin); err != nil || answer.StatusCode != http.StatusServiceUnavailable || took > 2*scanTimeout {
				t.Errorf("%v %v after %v", answer, err, took)
			}
			<-s.asked
			begin, c = time.Now(), dial()
			sendGet(t, c, "/api/readings/export/")
			<-s.asked
			a.endLong()
			answer, err = http.ReadResponse(bufio.NewReader(c), nil)
			if took := time.Since(begin); err != nil || answer.StatusCode != http.StatusServiceUnavailable || took > 0 {
				t.Errorf("%v %v after %v", answer, err, took)
			}
		})
	})
}

// hanging is a store that does not answer.
type hanging struct {
	ReadingStore
	asked chan struct{}
}

func (s *hanging) ScanReadings(ctx context.Context, _ iot.ScanQuery, _ func(*iot.Reading) (bool, error)) error {
	s.asked <- struct{}{}
	<-ctx.Done()
	return ctx.Err()
}
