package event_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/telltale-iot/telltale/pkg/event"
	"github.com/telltale-iot/telltale/pkg/iot"
	"github.com/telltale-iot/telltale/pkg/kafka"
)

// backend is what is behind a sink: it keeps what it is given, and fails while a test wants it to.
type backend struct {
	conflicts     []int // what Store returns
	storeErr      error
	deadLetterErr error

	mu          sync.Mutex
	stored      []iot.Reading
	deadLetters []event.DeadLetter

	metrics *prometheus.Registry
}

func (b *backend) sink() *event.Sink {
	b.metrics = prometheus.NewRegistry()
	return &event.Sink{
		Account: event.NewAccount(b.metrics, "test", "stored", "conflict"),
		Store: func(_ context.Context, batch []iot.Reading) (event.Stored, error) {
			b.mu.Lock()
			defer b.mu.Unlock()
			if b.storeErr == nil {
				b.stored = append(b.stored, batch...)
			}
			return event.Stored{
				Outcomes: []int{len(batch) - len(b.conflicts), len(b.conflicts)},
				Refused:  refused(batch, b.conflicts...),
			}, b.storeErr
		},
		DeadLetter: func(_ context.Context, deadLetters []event.DeadLetter) error {
			b.mu.Lock()
			defer b.mu.Unlock()
			if b.deadLetterErr == nil {
				b.deadLetters = append(b.deadLetters, deadLetters...)
			}
			return b.deadLetterErr
		},
	}
}

// refused returns those of batch that are at indexes, as conflicts.
func refused(batch []iot.Reading, indexes ...int) (all []event.Refused) {
	for _, i := range indexes {
		all = append(all, event.Refused{Index: i, Rejection: event.Conflict(batch[i])})
	}
	return all
}

// counts is what a sink says of the readings that it was given.
type counts struct{ Received, Stored, Conflict, Rejected, Released, InFlight int }

func (b *backend) counts(t *testing.T) (c counts) {
	t.Helper()
	families, err := b.metrics.Gather()
	if err != nil {
		t.Fatal(err)
	}
	outcomes := map[string]*int{"stored": &c.Stored, "conflict": &c.Conflict, "rejected": &c.Rejected, "released": &c.Released}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			switch f.GetName() {
			case "telltale_test_readings_received_total":
				c.Received = int(m.GetCounter().GetValue())
			case "telltale_test_readings_in_flight":
				c.InFlight = int(m.GetGauge().GetValue())
			case "telltale_test_readings_total":
				*outcomes[m.GetLabel()[0].GetValue()] = int(m.GetCounter().GetValue())
			}
		}
	}
	return c
}

// batch is records of one partition: a protobuf reading, bytes that are none, and a legacy batch.
func batch() []kafka.Record {
	records := []kafka.Record{
		event.Record("raw-data", reading()),
		{Value: []byte("junk"), Key: []byte("7")},
		{Value: []byte(`[{"device_id":1,"x":1}, {"device_id":2,"x":NaN}, [{"device_id":9,"x":9}], {"device_id":3,"x":3}]`)},
	}
	for i := range records {
		records[i].Topic, records[i].Partition, records[i].Offset, records[i].Timestamp = "raw-data", 3, int64(100+i), noon
	}
	return records
}

// readingValues is the reading of batch as a dead letter shows it.
const readingValues = `{"device_id":42,"timestamp":"2026-01-02T12:00:00.678Z","humidity":40.25,"temperature":21.5}`

// deadLetters is what remains of dead letters without what is for people.
func deadLetters(in []event.DeadLetter) []event.DeadLetter {
	out := slices.Clone(in)
	for i := range out {
		out[i].Detail, out[i].Index = "", 0
	}
	return out
}

func deadLetter(reason iot.Reason, device iot.DeviceID, bytes, source string) event.DeadLetter {
	return event.DeadLetter{DeadLetter: iot.DeadLetter{
		Rejection: iot.Rejection{Reason: reason, Device: device, Bytes: []byte(bytes)},
		Source:    source,
		Received:  noon,
	}}
}

func TestSink(t *testing.T) {
	junk := deadLetter(iot.ReasonInvalidJSON, 7, "junk", "raw-data/3/101")
	junk.Key = []byte("7")
	notANumber := deadLetter(iot.ReasonNotANumber, 2, `{"device_id":2,"x":NaN}`, "raw-data/3/102")
	notAnObject := deadLetter(iot.ReasonNotAnObject, 0, `[{"device_id":9,"x":9}]`, "raw-data/3/102")

	t.Run("readings are stored in order, and what is none is a dead letter", func(t *testing.T) {
		var b backend
		if err := b.sink().Handle(t.Context(), batch()); err != nil {
			t.Fatal(err)
		}
		var devices []iot.DeviceID
		for _, r := range b.stored {
			devices = append(devices, r.Device)
		}
		if diff := cmp.Diff([]iot.DeviceID{42, 1, 3}, devices); diff != "" {
			t.Errorf("stored devices (-want +got):\n%s", diff)
		}
		if diff := cmp.Diff([]event.DeadLetter{junk, notANumber, notAnObject}, deadLetters(b.deadLetters)); diff != "" {
			t.Errorf("dead letters (-want +got):\n%s", diff)
		}
		if diff := cmp.Diff(counts{Received: 6, Stored: 3, Rejected: 3}, b.counts(t)); diff != "" {
			t.Errorf("counts (-want +got):\n%s", diff)
		}
	})

	t.Run("a conflict is a dead letter with the values of that reading alone", func(t *testing.T) {
		b := backend{conflicts: []int{0, 2}}
		if err := b.sink().Handle(t.Context(), batch()); err != nil {
			t.Fatal(err)
		}
		conflict := deadLetter(iot.ReasonConflict, 42, readingValues, "raw-data/3/100")
		conflict.Key, conflict.ContentType = []byte("42"), "application/json"
		want := []event.DeadLetter{
			junk, notANumber, notAnObject, conflict,
			deadLetter(iot.ReasonConflict, 3, `{"device_id":3,"x":3}`, "raw-data/3/102"),
		}
		if diff := cmp.Diff(want, deadLetters(b.deadLetters)); diff != "" {
			t.Errorf("dead letters (-want +got):\n%s", diff)
		}
		if diff := cmp.Diff(counts{Received: 6, Stored: 1, Conflict: 2, Rejected: 3}, b.counts(t)); diff != "" {
			t.Errorf("counts (-want +got):\n%s", diff)
		}
	})

	t.Run("a store may refuse a reading for any reason, and those who look at readings only have no other dead letters", func(t *testing.T) {
		b := backend{}
		s := b.sink()
		s.ReadingsOnly = true
		s.Store = func(_ context.Context, batch []iot.Reading) (event.Stored, error) {
			why := iot.Rejection{Reason: iot.ReasonIDCollision, Device: batch[0].Device}
			return event.Stored{Outcomes: []int{len(batch) - 1, 1}, Refused: []event.Refused{{Rejection: why}}}, nil
		}
		if err := s.Handle(t.Context(), batch()); err != nil {
			t.Fatal(err)
		}
		want := deadLetter(iot.ReasonIDCollision, 42, readingValues, "raw-data/3/100")
		want.Key, want.ContentType = []byte("42"), "application/json"
		if diff := cmp.Diff([]event.DeadLetter{want}, deadLetters(b.deadLetters)); diff != "" {
			t.Errorf("dead letters (-want +got):\n%s", diff)
		}
		if diff := cmp.Diff(counts{Received: 6, Stored: 2, Conflict: 1, Rejected: 3}, b.counts(t)); diff != "" {
			t.Errorf("counts (-want +got):\n%s", diff)
		}
	})

	t.Run("where a reading came from is in its dead letter, whatever the reason", func(t *testing.T) {
		from := event.NewSource("sensors/kitchen-1/data", "a client")
		r := reading()
		r.Key, r.Device = "kitchen-1", iot.KeyID("kitchen-1")
		conflict := event.RecordFrom("raw-data", r, from)
		r.Device = 42 // which is not that of its key
		invalid := event.RecordFrom("raw-data", r, from)
		b := backend{conflicts: []int{0}}
		records := []kafka.Record{conflict, invalid}
		for i := range records {
			records[i].Partition, records[i].Offset, records[i].Timestamp = 3, int64(100+i), noon
		}
		if err := b.sink().Handle(t.Context(), records); err != nil {
			t.Fatal(err)
		}
		wantInvalid := deadLetter(iot.ReasonInvalidProtobuf, 42, string(invalid.Value), "sensors/kitchen-1/data")
		wantConflict := deadLetter(iot.ReasonConflict, 7380597148161619, strings.Replace(readingValues, "42", `"kitchen-1"`, 1), "sensors/kitchen-1/data")
		wantInvalid.Key, wantInvalid.ContentType = []byte("42"), "application/x-protobuf"
		wantConflict.Key, wantConflict.ContentType = []byte("7380597148161619"), "application/json"
		wantInvalid.Client, wantConflict.Client = "a client", "a client"
		if diff := cmp.Diff([]event.DeadLetter{wantInvalid, wantConflict}, deadLetters(b.deadLetters)); diff != "" {
			t.Errorf("dead letters (-want +got):\n%s", diff)
		}
		for i, want := range []string{"(record raw-data/3/101)", "other values are stored for 2026-01-02T12:00:00.678Z, or too many (record raw-data/3/100)"} {
			if d := b.deadLetters[i].Detail; !strings.HasSuffix(d, want) {
				t.Errorf("detail %q, want one that ends with %q", d, want)
			}
		}
	})

	t.Run("10,000 conflicts in one record each have their own bytes", func(t *testing.T) {
		var value bytes.Buffer
		var b backend
		for i := range 10_000 {
			fmt.Fprintf(&value, `,{"device_id":1,"x":%d}`, i)
			b.conflicts = append(b.conflicts, i)
		}
		value.Bytes()[0] = '['
		value.WriteByte(']')
		if err := b.sink().Handle(t.Context(), []kafka.Record{{Value: value.Bytes(), Timestamp: noon}}); err != nil {
			t.Fatal(err)
		}
		if last := b.deadLetters[len(b.deadLetters)-1]; len(b.deadLetters) != 10_000 || string(last.Bytes) != `{"device_id":1,"x":9999}` {
			t.Errorf("%d dead letters, the last of them %s", len(b.deadLetters), last.Bytes)
		}
	})

	t.Run("while the store is away the batch is in flight, counted once, and no dead letter is sent", func(t *testing.T) {
		away := errors.New("away")
		b := backend{storeErr: away}
		s, batch := b.sink(), batch()
		for range 3 {
			if err := s.Handle(t.Context(), batch); !errors.Is(err, away) {
				t.Errorf("error %v, want %v", err, away)
			}
		}
		if len(b.deadLetters) > 0 {
			t.Errorf("dead letters %+v", b.deadLetters)
		}
		if diff := cmp.Diff(counts{Received: 6, InFlight: 6}, b.counts(t)); diff != "" {
			t.Errorf("counts (-want +got):\n%s", diff)
		}
		b.storeErr = nil
		if err := s.Handle(t.Context(), batch); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(counts{Received: 6, Stored: 3, Rejected: 3}, b.counts(t)); diff != "" {
			t.Errorf("counts (-want +got):\n%s", diff)
		}
	})

	t.Run("while dead letters cannot be sent nothing is resolved, and what is stored is not stored again", func(t *testing.T) {
		away := errors.New("away")
		b := backend{deadLetterErr: away, conflicts: []int{0}}
		s, batch := b.sink(), batch()
		if err := s.Handle(t.Context(), batch); !errors.Is(err, away) {
			t.Errorf("error %v, want %v", err, away)
		}
		if diff := cmp.Diff(counts{Received: 6, InFlight: 6}, b.counts(t)); diff != "" {
			t.Errorf("counts (-want +got):\n%s", diff)
		}
		b.deadLetterErr = nil
		if err := s.Handle(t.Context(), batch); err != nil {
			t.Fatal(err)
		}
		if len(b.stored) != 3 || len(b.deadLetters) != 4 {
			t.Errorf("stored %d readings, sent %d dead letters; want 3 and 4", len(b.stored), len(b.deadLetters))
		}
		if diff := cmp.Diff(counts{Received: 6, Stored: 2, Conflict: 1, Rejected: 3}, b.counts(t)); diff != "" {
			t.Errorf("counts (-want +got):\n%s", diff)
		}
	})

	t.Run("a batch that is let go is released, and begins anew if it comes again", func(t *testing.T) {
		b := backend{storeErr: errors.New("away")}
		s, batch := b.sink(), batch()
		if err := s.Handle(t.Context(), batch); err == nil {
			t.Error("no error")
		}
		s.Release(batch)
		if diff := cmp.Diff(counts{Received: 6, Released: 6}, b.counts(t)); diff != "" {
			t.Errorf("counts (-want +got):\n%s", diff)
		}
		b.storeErr = nil
		if err := s.Handle(t.Context(), batch); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(counts{Received: 12, Released: 6, Stored: 3, Rejected: 3}, b.counts(t)); diff != "" {
			t.Errorf("counts (-want +got):\n%s", diff)
		}
	})

	t.Run("a batch of nothing but rejections does not reach the store", func(t *testing.T) {
		b := backend{storeErr: errors.New("away")}
		if err := b.sink().Handle(t.Context(), batch()[1:2]); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff([]event.DeadLetter{junk}, deadLetters(b.deadLetters)); diff != "" {
			t.Errorf("dead letters (-want +got):\n%s", diff)
		}
	})

	t.Run("without a place for dead letters they are passed over and counted", func(t *testing.T) {
		b := backend{conflicts: []int{0}}
		s := b.sink()
		s.DeadLetter = nil
		if err := s.Handle(t.Context(), batch()); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(counts{Received: 6, Stored: 2, Conflict: 1, Rejected: 3}, b.counts(t)); diff != "" {
			t.Errorf("counts (-want +got):\n%s", diff)
		}
	})

	t.Run("partitions handled at the same time do not mix", func(t *testing.T) {
		var b backend
		s := b.sink()
		const partitions, batches = 8, 50
		var wg sync.WaitGroup
		for p := range partitions {
			wg.Go(func() {
				for n := range batches {
					r := reading()
					r.Device, r.At = iot.DeviceID(p+1), r.At.Add(time.Duration(n)*time.Second)
					if err := s.Handle(t.Context(), []kafka.Record{event.Record("raw-data", r)}); err != nil {
						t.Error(err)
					}
				}
			})
		}
		wg.Wait()
		last := make(map[iot.DeviceID]time.Time)
		for _, r := range b.stored {
			if !r.At.After(last[r.Device]) {
				t.Errorf("device %d: %v after %v", r.Device, r.At, last[r.Device])
			}
			last[r.Device] = r.At
		}
		if len(b.stored) != partitions*batches || len(last) != partitions {
			t.Errorf("%d readings of %d devices", len(b.stored), len(last))
		}
	})
}
