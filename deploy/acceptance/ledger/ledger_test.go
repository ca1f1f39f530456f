package ledger

import (
	"context"
	"encoding/base64"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"google.golang.org/protobuf/proto"

	telltalev1 "github.com/telltale-iot/telltale/proto/telltale/v1"
)

// reading is device 7's at second s of a minute, as it is published and as the API returns it.
func reading(second int, temperature float64) string {
	return fmt.Sprintf(`{"device_id":7,"temperature":%v,"humidity":50.5,"timestamp":"2026-03-01T12:00:%02d.000Z"}`, temperature, second)
}

// epoch is a reading by a clock that was not set.
var epoch = strings.Replace(reading(30, 33), "2026-03-01", "1970-01-01", 1)

func sent(reading string) string { return `{"event":"sent","reading":` + reading + "}\n" }

func acknowledged(reading string) string {
	return `{"event":"acknowledged","reading":` + reading + "}\n"
}

func mustParse(t *testing.T, text string) *Ledger {
	t.Helper()
	l, err := parse(strings.NewReader(text), time.Date(2026, 3, 2, 0, 0, 0, 0, time.UTC))
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// conflict is a reading as it stands in the list of dead letters.
func conflict(t *testing.T, s telltalev1.TimestampSource, at time.Time, temperature float64) string {
	t.Helper()
	record, err := proto.Marshal(&telltalev1.Reading{DeviceId: 7, TimestampMs: at.UnixMilli(), TimestampSource: s, Metrics: []*telltalev1.Metric{
		{Name: "humidity", Value: 50.5}, {Name: "temperature", Value: temperature},
	}})
	if err != nil {
		t.Fatal(err)
	}
	return fmt.Sprintf(`{"device_id":7,"reason":"conflict","encoding":"base64","payload":%q}`, base64.StdEncoding.EncodeToString(record))
}

// serve is an API that has readings of device 7 and hands out two at a time, and no dead letters.
func serve(t *testing.T, readings ...string) string { return serveWith(t, nil, readings...) }

// serveWith has dead letters, too.
func serveWith(t *testing.T, deadLetters []string, readings ...string) string {
	t.Helper()
	mux := http.NewServeMux()
	mux.HandleFunc("GET /api/dead-letters/", func(w http.ResponseWriter, r *http.Request) {
		if q := r.URL.Query(); q.Get("device_id") != "7" || q.Get("reason") != "conflict" {
			t.Errorf("dead letters asked for with %q", r.URL.RawQuery)
		}
		_, _ = fmt.Fprintf(w, "[%s]", strings.Join(deadLetters, ","))
	})
	mux.HandleFunc("GET /api/devices/7/readings/", func(w http.ResponseWriter, r *http.Request) {
		if limit := r.URL.Query().Get("limit"); limit != "10000" {
			t.Errorf("limit %q", limit)
		}
		from, _ := strconv.Atoi(r.URL.Query().Get("after"))
		to := min(from+2, len(readings))
		if to < len(readings) {
			w.Header().Set("Link", fmt.Sprintf(`</api/devices/7/readings/?limit=10000&after=%d>; rel="next"`, to))
		}
		_, _ = fmt.Fprintf(w, "[%s]", strings.Join(readings[from:to], ","))
	})
	server := httptest.NewServer(mux)
	t.Cleanup(server.Close)
	return server.URL
}

func TestCheck(t *testing.T) {
	extra := strings.Replace(reading(1, 20), `"temperature":20`, `"temperature":null,"metrics":{"temperature":20}`, 1)
	serverDated := strings.Replace(reading(30, 33), `"device_id"`, `"timestamp_source":"server","device_id"`, 1)
	future := strings.Replace(reading(30, 34), "2026-03-01", "2099-01-01", 1)
	second30 := time.Date(2026, 3, 1, 12, 0, 30, 0, time.UTC)

	for _, test := range []struct {
		name   string
		ledger string
		stored []string
		want   Report

		deadLetters []string
	}{
		{
			"what was acknowledged is found, over several pages",
			sent(reading(1, 20)) + sent(reading(2, 20)) + sent(reading(3, 21)) + acknowledged(reading(1, 20)) + acknowledged(reading(2, 20)) + acknowledged(reading(3, 21)),
			[]string{reading(3, 21), reading(2, 20), reading(1, 20)},
			Report{Sent: 3, Acknowledged: 3, Found: 3}, nil,
		}, {
			"what was sent and not acknowledged may be stored or not",
			sent(reading(1, 20)) + sent(reading(2, 20)) + sent(reading(3, 20)) + acknowledged(reading(1, 20)),
			[]string{reading(2, 20), reading(1, 20)},
			Report{Sent: 3, Acknowledged: 1, Found: 1}, nil,
		}, {
			"an acknowledged reading that is not stored is missing",
			sent(reading(1, 20)) + sent(reading(2, 20)) + acknowledged(reading(1, 20)) + acknowledged(reading(2, 20)),
			[]string{reading(1, 20)},
			Report{Sent: 2, Acknowledged: 2, Found: 1, Missing: 1}, nil,
		}, {
			"all are missing of a device that the API does not know",
			strings.ReplaceAll(sent(reading(1, 20))+acknowledged(reading(1, 20)), `"device_id":7`, `"device_id":8`),
			nil,
			Report{Sent: 1, Acknowledged: 1, Missing: 1}, nil,
		}, {
			"a reading that is stored twice is duplicated, acknowledged or not",
			sent(reading(1, 20)) + sent(reading(2, 20)) + acknowledged(reading(1, 20)),
			[]string{reading(2, 20), reading(2, 20), reading(1, 20), reading(1, 20), reading(1, 20)},
			Report{Sent: 2, Acknowledged: 1, Duplicated: 2}, nil,
		}, {
			"a reading that is stored with another value is different",
			sent(reading(1, 20)) + acknowledged(reading(1, 20)),
			[]string{reading(1, 20.01)},
			Report{Sent: 1, Acknowledged: 1, Different: 1}, nil,
		}, {
			"a reading that nobody sent is unexpected",
			sent(reading(1, 20)) + acknowledged(reading(1, 20)),
			[]string{reading(2, 20), reading(1, 20)},
			Report{Sent: 1, Acknowledged: 1, Found: 1, Unexpected: 1}, nil,
		}, {
			"metrics are compared wherever they stand",
			sent(reading(1, 20)) + acknowledged(reading(1, 20)),
			[]string{extra},
			Report{Sent: 1, Acknowledged: 1, Found: 1}, nil,
		}, {
			"readings with a bad clock are stored, each of them",
			sent(epoch) + acknowledged(epoch) + sent(future) + acknowledged(future),
			[]string{serverDated, strings.Replace(serverDated, "33", "34", 1)},
			Report{UndatedAcknowledged: 2, UndatedStored: 2}, nil,
		}, {
			"one with a bad clock that is stored twice is not two",
			sent(epoch) + acknowledged(epoch) + sent(future) + acknowledged(future),
			[]string{serverDated, strings.Replace(serverDated, ":30.", ":31.", 1)},
			Report{UndatedAcknowledged: 2, UndatedStored: 2, UndatedMissing: 1}, nil,
		}, {
			"one with a bad clock that was not acknowledged may be missing",
			sent(epoch) + sent(future) + acknowledged(future),
			[]string{strings.Replace(serverDated, "33", "34", 1)},
			Report{UndatedAcknowledged: 1, UndatedStored: 1}, nil,
		}, {
			"one with a bad clock that became a dead letter is not missing",
			sent(epoch) + acknowledged(epoch) + sent(reading(30, 20)) + acknowledged(reading(30, 20)),
			[]string{reading(30, 20)},
			Report{Sent: 1, Acknowledged: 1, Found: 1, UndatedAcknowledged: 1},
			[]string{conflict(t, telltalev1.TimestampSource_TIMESTAMP_SOURCE_SERVER, second30, 33)},
		}, {
			"a reading whose moment went to one with a bad clock is displaced",
			sent(epoch) + acknowledged(epoch) + sent(reading(30, 20)) + acknowledged(reading(30, 20)),
			[]string{serverDated},
			Report{Sent: 1, Acknowledged: 1, UndatedAcknowledged: 1, UndatedStored: 1, Displaced: 1},
			[]string{conflict(t, telltalev1.TimestampSource_TIMESTAMP_SOURCE_DEVICE, second30, 20)},
		}, {
			"without a dead letter with its values it is missing",
			sent(epoch) + acknowledged(epoch) + sent(reading(30, 20)) + acknowledged(reading(30, 20)),
			[]string{serverDated},
			Report{Sent: 1, Acknowledged: 1, Missing: 1, UndatedAcknowledged: 1, UndatedStored: 1},
			[]string{`{"device_id":7,"reason":"conflict","encoding":"text","payload":"{\"device_id\":7,\"timestamp\":\"2026-03-01T12:00:30.000Z\",\"humidity\":50.5,\"temperature\":21}"}`},
		}, {
			"a dead letter may show its values as JSON",
			sent(epoch) + acknowledged(epoch) + sent(reading(30, 20)) + acknowledged(reading(30, 20)),
			[]string{serverDated},
			Report{Sent: 1, Acknowledged: 1, UndatedAcknowledged: 1, UndatedStored: 1, Displaced: 1},
			[]string{`{"device_id":7,"reason":"conflict","encoding":"text","payload":"{\"device_id\":7,\"timestamp\":\"2026-03-01T12:00:30.000Z\",\"humidity\":50.5,\"temperature\":20}"}`},
		}, {
			"a reading that the server dated and nobody sent is unexpected",
			sent(reading(1, 33)),
			[]string{serverDated},
			Report{Sent: 1, Unexpected: 1}, nil,
		}, {
			"a line that a kill cut off is passed over",
			sent(reading(1, 20)) + acknowledged(reading(1, 20)) + acknowledged(reading(2, 20))[:40],
			[]string{reading(1, 20)},
			Report{Sent: 1, Acknowledged: 1, Found: 1}, nil,
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			got, err := mustParse(t, test.ledger).Check(t.Context(), serveWith(t, test.deadLetters, test.stored...))
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(test.want, got, cmpopts.IgnoreFields(Report{}, "Details")); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
			wrong := test.want.Missing + test.want.UndatedMissing + test.want.Duplicated + test.want.Different + test.want.Unexpected
			if err := got.Err(); (err != nil) != (wrong > 0) || len(got.Details) != wrong {
				t.Errorf("%d things are wrong, error: %v", wrong, err)
			}
		})
	}

	t.Run("an API that fails is an error and no verdict", func(t *testing.T) {
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(http.StatusServiceUnavailable)
		}))
		defer server.Close()
		if _, err := mustParse(t, sent(reading(1, 20))).Check(t.Context(), server.URL); err == nil {
			t.Error("no error")
		}
	})
	t.Run("a link that leads in a circle is an error", func(t *testing.T) {
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Link", "<"+r.URL.String()+`>; rel="next"`)
			_, _ = fmt.Fprint(w, "[]")
		}))
		defer server.Close()
		if _, err := mustParse(t, sent(reading(1, 20))).Check(t.Context(), server.URL); err == nil {
			t.Error("no error")
		}
	})
}

func TestMayLose(t *testing.T) {
	l := mustParse(t, sent(reading(1, 20))+sent(reading(2, 20))+sent(reading(3, 20))+sent(reading(4, 20))+
		acknowledged(reading(1, 20))+acknowledged(reading(2, 20))+acknowledged(reading(3, 20))+acknowledged(reading(4, 20)))
	second := func(n int) time.Time { return time.Date(2026, 3, 1, 12, 0, n, 0, time.UTC) }
	l.MayLose(second(2), second(3))
	r, err := l.Check(t.Context(), serve(t, reading(2, 20)))
	if err != nil || r.Missing != 2 || r.Excused != 1 || r.Found != 1 {
		t.Errorf("%v, error %v", r, err)
	}
	want := map[int64][]int64{7: {second(1).UnixMilli(), second(4).UnixMilli()}}
	if diff := cmp.Diff(want, l.Acknowledged(), cmpopts.SortSlices(func(a, b int64) bool { return a < b })); diff != "" {
		t.Errorf("acknowledged (-want +got):\n%s", diff)
	}
	l.MayLose(second(1), second(1))
	if r, err := l.Check(t.Context(), serve(t, reading(1, 21), reading(4, 20))); err != nil || r.Missing != 0 || r.Different != 1 {
		t.Errorf("what is stored must be right: %v, error %v", r, err)
	}
}

func TestAwait(t *testing.T) {
	l := mustParse(t, sent(reading(1, 20))+acknowledged(reading(1, 20)))
	t.Run("waits for what is not readable yet, and for an API that does not answer yet", func(t *testing.T) {
		var calls atomic.Int64
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			switch calls.Add(1) {
			case 1:
				w.WriteHeader(http.StatusServiceUnavailable)
			case 2:
				_, _ = fmt.Fprint(w, "[]")
			default:
				_, _ = fmt.Fprintf(w, "[%s]", reading(1, 20))
			}
		}))
		defer server.Close()
		if r, err := l.Await(t.Context(), server.URL); err != nil || r.Found != 1 || r.Missing != 0 || calls.Load() != 3 {
			t.Errorf("after %d calls: %v, error %v", calls.Load(), r, err)
		}
	})
	t.Run("gives up when the context ends", func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
		defer cancel()
		if r, err := l.Await(ctx, serve(t)); err == nil && r.Missing != 1 {
			t.Errorf("%v, error %v", r, err)
		}
	})
}

func TestRead(t *testing.T) {
	for name, text := range map[string]string{
		"no JSON":                            "sent\n",
		"an unknown event":                   strings.Replace(sent(reading(1, 20)), "sent", "seen", 1),
		"a timestamp twice":                  sent(reading(1, 20)) + sent(reading(1, 21)),
		"an acknowledgement of what was not": acknowledged(reading(1, 20)),
		"more acknowledgements than readings with a bad clock": sent(epoch) + acknowledged(epoch) + acknowledged(epoch),
		"an acknowledgement of other values":                   sent(reading(1, 20)) + acknowledged(reading(1, 21)),
	} {
		t.Run("refuses "+name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "ledger.jsonl")
			if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
			if _, err := Read(path); err == nil {
				t.Error("no error")
			}
		})
	}
}
