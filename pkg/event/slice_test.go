package event_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/telltale-iot/telltale/pkg/event"
	"github.com/telltale-iot/telltale/pkg/iot"
	"github.com/telltale-iot/telltale/pkg/kafka"
)

// heap returns the bytes that are in use.
func heap() int {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int(m.HeapAlloc)
}

// TestSliceMemory bounds what a batch of one megabyte takes while it is handled.
func TestSliceMemory(t *testing.T) {
	const most = 8 << 20
	object := func(members int) string {
		var b strings.Builder
		for i := range members {
			fmt.Fprintf(&b, `,"%c%c":0`, 'a'+i%26, 'A'+i/26)
		}
		return `{"device_id":1` + b.String() + `}`
	}
	repeat := func(element string, n int) []byte {
		return []byte("[" + strings.Repeat(element+",", n-1) + element + "]")
	}
	for _, tt := range []struct {
		name        string
		records     int
		value       []byte
		parts       int // of each record
		deadLetters bool
	}{
		{"dead letters of two bytes", 20, repeat("1", 10_000), 10_000, true},
		{"dead letters that nobody takes", 20, append(bytes.TrimSuffix(repeat("1", 9_999), []byte("]")), `,{"device_id":1,"x":1}]`...), 1, false},
		{"a batch that is too long", 1, repeat("1", 499_999), 1, true},
		{"short readings", 4, repeat(`{"device_id":1,"x":1}`, 10_000), 10_000, true},
		{"readings of many members", 1, repeat(object(600), 200), 200, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			batch := make([]kafka.Record, tt.records)
			for i := range batch {
				batch[i] = kafka.Record{Topic: "raw-data", Offset: int64(i), Value: tt.value, Timestamp: noon}
			}
			before, peak, parts := heap(), 0, 0
			look := func(n int) { parts, peak = parts+n, max(peak, heap()-before) }
			sink := &event.Sink{
				Account: event.NewAccount(prometheus.NewRegistry(), "test", "stored"),
				Store: func(_ context.Context, batch []iot.Reading) (event.Stored, error) {
					look(len(batch))
					return event.Stored{Outcomes: []int{len(batch)}}, nil
				},
				DeadLetter: func(_ context.Context, deadLetters []event.DeadLetter) error {
					if look(len(deadLetters)); len(deadLetters) > 1000 {
						t.Errorf("%d dead letters at once", len(deadLetters))
					}
					return nil
				},
			}
			if !tt.deadLetters {
				sink.DeadLetter = nil
			}
			if err := sink.Handle(t.Context(), batch); err != nil {
				t.Fatal(err)
			}
			if want := tt.records * tt.parts; parts != want {
				t.Errorf("%d readings and dead letters, want %d", parts, want)
			}
			if peak > most {
				t.Errorf("%d bytes in use, want %d at most", peak, most)
			}
			t.Logf("%d KiB in use", peak>>10)
		})
	}
}

// TestSlicesGoOnAtWhatFailed has a batch of everything handled by a store and a topic that fail at random.
func TestSlicesGoOnAtWhatFailed(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	element := func(i int) string {
		switch r.IntN(4) {
		case 0:
			return fmt.Sprint(i)
		default:
			return fmt.Sprintf(`{"device_id":%d,"x":%d,"text":%q}`, 1+r.IntN(9), i, strings.Repeat("text", r.IntN(50)))
		}
	}
	var batch []kafka.Record
	for i := range 20 {
		rec := kafka.Record{Key: []byte("7"), Value: []byte("junk")}
		switch r.IntN(3) {
		case 0:
			rec = event.Record("raw-data", reading())
		case 1:
			var elements []string
			for range 1 + r.IntN(5000) {
				elements = append(elements, element(i*10_000+len(elements)))
			}
			rec.Value = []byte("[" + strings.Join(elements, ",") + "]")
		}
		rec.Topic, rec.Offset, rec.Timestamp = "raw-data", int64(i), noon
		batch = append(batch, rec)
	}
	lost := func(r iot.Reading) bool { return int(r.Metrics[0].Value)%3 == 0 } // its place is taken
	var want, got []string
	var wantStored, gotStored []iot.Reading
	for i := range batch {
		readings, rejected := event.Decode(&batch[i], nil)
		wantStored = append(wantStored, readings...)
		for _, r := range readings {
			if lost(r) {
				want = append(want, fmt.Sprintf("conflict %d %v", i, r.Metrics[0].Value))
			}
		}
		for _, r := range rejected {
			want = append(want, fmt.Sprintf("%s %d %.20s", r.Reason, i, r.Bytes))
		}
	}

	fails, calls, slicesOf := 0, 0, 0
	fail := func() error {
		if calls++; r.IntN(2) == 0 {
			fails++
			return errors.New("away")
		}
		return nil
	}
	metrics := prometheus.NewRegistry()
	sink := &event.Sink{
		Account: event.NewAccount(metrics, "test", "stored", "conflict"),
		Store: func(_ context.Context, batch []iot.Reading) (stored event.Stored, err error) {
			if err := fail(); err != nil {
				return stored, err
			}
			slicesOf++
			gotStored = append(gotStored, batch...)
			for i, r := range batch {
				if lost(r) {
					stored.Refused = append(stored.Refused, refused(batch, i)...)
				}
			}
			stored.Outcomes = []int{len(batch) - len(stored.Refused), len(stored.Refused)}
			return stored, nil
		},
		DeadLetter: func(_ context.Context, deadLetters []event.DeadLetter) error {
			if err := fail(); err != nil {
				return err
			}
			for _, l := range deadLetters {
				source := strings.TrimPrefix(l.Source, "raw-data/0/")
				if l.Reason == iot.ReasonConflict {
					readings, _ := event.Decode(&kafka.Record{Value: l.Bytes, Headers: headers(l)}, nil)
					got = append(got, fmt.Sprintf("conflict %s %v", source, readings[0].Metrics[0].Value))
				} else {
					got = append(got, fmt.Sprintf("%s %s %.20s", l.Reason, source, l.Bytes))
				}
			}
			return nil
		},
	}
	for sink.Handle(t.Context(), batch) != nil { //nolint:revive // until it succeeds
	}
	slices.Sort(want)
	slices.Sort(got)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("dead letters (-want +got):\n%.2000s", diff)
	}
	if !cmp.Equal(wantStored, gotStored) {
		t.Errorf("%d readings are stored, which are not the %d of the records in their order", len(gotStored), len(wantStored))
	}
	conflicts := 0
	for _, l := range want {
		if strings.HasPrefix(l, "conflict") {
			conflicts++
		}
	}
	b := backend{metrics: metrics}
	all := counts{Stored: len(wantStored) - conflicts, Conflict: conflicts, Rejected: len(want) - conflicts}
	all.Received = all.Stored + all.Conflict + all.Rejected
	if diff := cmp.Diff(all, b.counts(t)); diff != "" {
		t.Errorf("counts (-want +got):\n%s", diff)
	}
	if slicesOf < 2 || fails < 5 {
		t.Errorf("%d slices, %d of %d calls failed", slicesOf, fails, calls)
	}
}

func headers(l event.DeadLetter) []kafka.Header {
	return []kafka.Header{{Key: "content-type", Value: []byte(l.ContentType)}}
}
