package api

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"

	"github.com/telltale-iot/telltale/pkg/event"
	"github.com/telltale-iot/telltale/pkg/heaptest"
	"github.com/telltale-iot/telltale/pkg/iot"
	"github.com/telltale-iot/telltale/pkg/kafka/kafkatest"
)

// send sends a file.
func send(t *testing.T, url, mediaType, coding string, body io.Reader) imported {
	t.Helper()
	r, err := http.NewRequest(http.MethodPost, url+importPath, body)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Content-Type", mediaType)
	if coding != "" {
		r.Header.Set("Content-Encoding", coding)
	}
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	var result imported
	if err := json.NewDecoder(answer.Body).Decode(&result); err != nil || answer.StatusCode != http.StatusAccepted {
		t.Fatalf("%s: %+v, %v", answer.Status, result, err)
	}
	return result
}

// store inserts what is in Kafka, and forgets what was there before.
func (s stores) store(t *testing.T, target stores, before int) (inserted iot.Inserted, n int) {
	t.Helper()
	var batch []iot.Reading
	for _, rec := range kafkatest.ReadAll(t, s.kafka.Brokers, s.kafka.Topic) {
		var rejected []iot.Rejection
		if batch, rejected = event.Decode(&rec, batch); len(rejected) > 0 {
			t.Errorf("%+v", rejected)
		}
	}
	inserted, err := target.readings.InsertReadings(t.Context(), batch[before:])
	if err != nil {
		t.Fatal(err)
	}
	return inserted, len(batch)
}

// odd are readings that are hard to write.
func odd() (all []iot.Reading) {
	metrics := []iot.Metric{
		{Name: "=1+1", Value: math.Copysign(0, -1)}, {Name: "Temperature", Value: 5e-324}, {Name: "a,b", Value: 1.7e308}, {Name: "device_id", Value: 3},
		{Name: "dotted.name", Value: 1<<53 + 2}, {Name: "q\"u\r\no\nte", Value: 0.1}, {Name: "temperature", Value: -21.5}, {Name: "🌡", Value: 1e-7},
	}
	attributes := []iot.Attribute{{Name: "", Value: ""}, {Name: "NaN", Value: "nan"}, {Name: "room", Value: "=lab, \"B\"\r\n"}, {Name: "timestamp", Value: "12"}}[1:]
	for i := range 40 {
		r := reading(iot.DeviceID(i%3+1), i)
		switch i % 4 {
		case 1:
			r.Stamped, r.Origin, r.Said = iot.StampServer, uint64(i), "-noon\r\n, or so"
		case 2:
			r.Stamped = iot.StampUnknown
		case 3:
			r.Key = []string{"kitchen-1", "@lab", "'=", "a,b"}[i/4%4]
			r.Device = iot.KeyID(r.Key)
		}
		r.Metrics = slices.Concat(metrics[:i%len(metrics)], metrics[i%len(metrics)+1:])
		r.Attributes = attributes[:i%len(attributes)]
		all = append(all, r)
	}
	return all
}

func TestImport(t *testing.T) {
	t.Run("an export becomes the same readings in another system, once, and none in its own", func(t *testing.T) {
		s, other := embedded(t), embedded(t)
		s.startKafka(t)
		all := odd()
		s.insert(t, all...)
		s.insert(t, moved(all[1])) // to the millisecond behind it
		a, b := s.api(t, nil), other.api(t, nil)
		from, _ := start(t, a)
		to, _ := start(t, b)
		before := 0
		for i, format := range []string{"ndjson", "csv"} {
			for _, coding := range []string{"", "gzip", "zstd"} {
				_, file, err := fetch(t, "http://"+from+"/api/readings/export/?format="+format, "identity")
				if err != nil {
					t.Fatal(err)
				}
				mediaType := map[string]string{"ndjson": "application/x-ndjson", "csv": "text/csv"}[format]
				got := send(t, "http://"+from, mediaType, coding, compressed(t, file, coding))
				if got.Accepted != len(all)+1 || got.Rejected > 0 {
					t.Errorf("%s in %q: %+v", format, coding, got)
				}
				want := iot.Inserted{New: len(all) + 1}
				if i > 0 || coding != "" {
					want = iot.Inserted{Duplicates: len(all) + 1}
				}
				for target, want := range map[*stores]iot.Inserted{&other: want, &s: {Duplicates: len(all) + 1}} {
					if inserted, _ := s.store(t, *target, before); fmt.Sprint(inserted) != fmt.Sprint(want) {
						t.Errorf("%s in %q: %+v, want %+v", format, coding, inserted, want)
					}
				}
				before += got.Accepted
				if _, again, _ := fetch(t, "http://"+to+"/api/readings/export/?format="+format, "identity"); !bytes.Equal(again, file) {
					t.Errorf("%s in %q became\n%s\nof\n%s", format, coding, again, file)
				}
			}
		}
	})
	t.Run("says what was: readings count as received when they were measured, and make no device online", func(t *testing.T) {
		s := embedded(t)
		s.startKafka(t)
		addr, _ := start(t, s.api(t, nil))
		file := `{"device_id":1,"temperature":1,"humidity":null,"timestamp":"2026-03-01T12:00:00.000Z","timestamp_source":"device"}` + "\n" +
			`{"device_id":2,"temperature":1,"timestamp":"2020-03-01 12:00"}` + "\n" +
			`{"device_id":3,"temperature":1,"timestamp":"` + time.Now().Add(time.Minute).UTC().Format(time.RFC3339) + `"}` + "\n"
		if got := send(t, "http://"+addr, "application/x-ndjson", "", strings.NewReader(file)); got.Accepted != 3 {
			t.Fatalf("%+v", got)
		}
		var batch []iot.Reading
		for _, rec := range kafkatest.ReadAll(t, s.kafka.Brokers, s.kafka.Topic) {
			batch, _ = event.Decode(&rec, batch)
		}
		for _, r := range batch {
			if ahead := r.Device == 3; ahead != r.At.After(time.Now()) || ahead == r.Received.Equal(r.At) || r.Received.After(time.Now()) {
				t.Errorf("of device %d, at %v, received %v", r.Device, r.At, r.Received)
			}
		}
		if _, err := s.latest.PutLatest(t.Context(), batch, time.Minute); err != nil {
			t.Fatal(err)
		}
		if online, err := s.latest.AllLatest(t.Context()); err != nil || len(online) != 1 || online[0].Device != 3 {
			t.Errorf("online: %v, %v", online, err)
		}
	})
	t.Run("takes little memory, however long the file and its lines are", func(t *testing.T) {
		s := embedded(t)
		s.startKafka(t)
		addr, _ := start(t, s.api(t, nil))
		for name, line := range map[string]string{
			"short": `{"device_id":1,"temperature":%d,"humidity":null,"timestamp":"2026-03-01T12:00:00.000Z","timestamp_source":"device"}` + "\n",
			"long":  `{"device_id":1,"temperature":%d,"text":"` + strings.Repeat("x", 2<<20) + `"}` + "\n",
			"never": strings.Repeat("%d", 1<<20),
		} {
			n := min(10_000, 10<<20/len(line))
			body, w := io.Pipe()
			go func() {
				for i := range n {
					_, _ = fmt.Fprintf(w, line, i)
				}
				_ = w.Close()
			}()
			grown := heaptest.Watch(t)
			r, err := http.Post("http://"+addr+importPath, "application/x-ndjson", body)
			if err != nil {
				t.Fatal(err)
			}
			text, _ := io.ReadAll(r.Body)
			_ = r.Body.Close()
			if n := grown(); n > 48<<20 {
				t.Errorf("%s lines: %d MiB, %s", name, n>>20, text)
			} else {
				t.Logf("%s lines: %d MiB, %s", name, n>>20, text[:min(len(text), 200)])
			}
		}
	})
	t.Run("a file that does not go on coming is 408, and lets go of everything", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			a := embedded(t).api(t, nil)
			c := startOnPipes(t, a)()
			begin := time.Now()
			if _, err := fmt.Fprintf(c, "POST %s HTTP/1.1\r\nHost: localhost\r\nContent-Type: text/csv\r\nContent-Length: 500000\r\n\r\ntimestamp,device", importPath); err != nil {
				t.Fatal(err)
			}
			answer, _ := io.ReadAll(c)
			if took := time.Since(begin); !strings.HasPrefix(string(answer), "HTTP/1.1 408") || took > 20*time.Second {
				t.Errorf("%s after %v", answer, took)
			}
			synctest.Wait()
			checkFree(t, a.limits.imports)
		})
	})
	t.Run("one that has no end ends with its client", func(t *testing.T) {
		handler := embedded(t).api(t, nil).Handler()
		ctx, cancel := context.WithCancel(t.Context())
		file := &leaving{cancel: cancel}
		r, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://example.com"+importPath, file)
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Content-Type", "application/x-ndjson")
		handler.ServeHTTP(httptest.NewRecorder(), r)
		if file.read > 1<<20 {
			t.Errorf("%d MiB were read", file.read>>20)
		}
	})
	t.Run("while Kafka is away, and beyond as many as there may be, it is 503", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			a := embedded(t).api(t, nil)
			handler := a.Handler()
			for _, want := range []time.Duration{kafkaTimeout, 0} {
				begin := time.Now()
				r, err := http.NewRequest(http.MethodPost, "http://example.com"+importPath, strings.NewReader(`{"device_id":1,"x":1,"timestamp":"1999-12-31T00:00:00Z"}`+"\n"))
				if err != nil {
					t.Fatal(err)
				}
				w := httptest.NewRecorder()
				handler.ServeHTTP(w, r)
				if took := time.Since(begin); w.Code != http.StatusServiceUnavailable || took != want {
					t.Errorf("%d %s after %v", w.Code, w.Body, took)
				}
				if want > 0 {
					takeAll(t, a.limits.imports)
				}
			}
		})
	})
}

// leaving is a file of one line without an end, whose client goes when it is read.
type leaving struct {
	cancel context.CancelFunc
	read   int
}

func (l *leaving) Read(p []byte) (int, error) {
	l.cancel()
	l.read += len(p)
	return len(p), nil
}

// moved returns a reading of the same moment and device as r, by another message.
func moved(r iot.Reading) iot.Reading {
	r.Origin += 1000
	return r
}

func compressed(t *testing.T, file []byte, coding string) io.Reader {
	t.Helper()
	var b bytes.Buffer
	var w io.WriteCloser
	switch coding {
	case "gzip":
		w = gzip.NewWriter(&b)
	case "zstd":
		w, _ = zstd.NewWriter(&b)
	default:
		return bytes.NewReader(file)
	}
	_, _ = w.Write(file)
	_ = w.Close()
	return &b
}
