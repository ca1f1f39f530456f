package replay_test

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/telltale-iot/telltale/pkg/event"
	"github.com/telltale-iot/telltale/pkg/iot"
	"github.com/telltale-iot/telltale/pkg/kafka"
	"github.com/telltale-iot/telltale/pkg/mapping"
	"github.com/telltale-iot/telltale/services/query-api/replay"
)

// TestReplayByANewRule: who publishes first, and writes the rule afterwards, has everything, once, with the times that the
// messages have or arrived at.
func TestReplayByANewRule(t *testing.T) {
	const (
		deadLetters = 2_000
		devices     = 100
		perCall     = 1000 // what one request replays
	)
	rules, err := mapping.Parse("site.yaml", []byte(`
- name: site
  topic: plant/{device}/state
  time: {at: when, zone: Europe/Berlin}
  values: {flatten: "", separator: _, numbers_in_strings: true, drop: [unit]}
`), time.UTC)
	if err != nil {
		t.Fatal(err)
	}
	w := newWorld(t)
	w.startKafka(t)
	kept := make([]iot.DeadLetter, deadLetters)
	at := func(i int) time.Time { return noon.Add(time.Duration(i/devices) * time.Minute) }
	for i := range kept { // each second one has a time of its own, an hour before its arrival
		when := ""
		if i%2 == 0 {
			when = at(i).Format(`, "when": "2006-01-02 15:04:05"`) // which is in UTC an hour earlier
		}
		rec := event.DeadLetter{DeadLetter: iot.DeadLetter{
			Rejection: iot.Rejection{Reason: iot.ReasonInvalidMember, Bytes: fmt.Appendf(nil, `{"probe": {"t": "%d.5"}, "unit": "C"%s}`, i, when)},
			Source:    fmt.Sprintf("plant/device-%d/state", i%devices), Received: at(i), TopicDevice: "plant",
		}}.Record("raw-data.dlq")
		kept[i] = event.ReadDeadLetter(&rec)
	}
	if n, err := w.deadLetters.InsertDeadLetters(t.Context(), kept); err != nil || n != deadLetters {
		t.Fatalf("%d are kept, %v", n, err)
	}
	replayAll := func(r *replay.Replayer, kept []iot.DeadLetter) (replayed int) {
		for kept = slices.Clone(kept); len(kept) > 0; {
			now := kept[:min(perCall, len(kept))]
			kept = kept[len(now):]
			outcomes, err := r.Replay(t.Context(), now)
			if err != nil {
				t.Fatal(err)
			}
			for i, o := range outcomes {
				switch o.Result {
				case replay.Replayed:
					replayed += o.Readings
				case replay.Unavailable: // Kafka is slow: it is asked for again
					kept = append(kept, now[i])
				}
			}
		}
		return replayed
	}
	if n := replayAll(w.replayer, kept[:perCall]); n != 0 {
		t.Errorf("%d readings before there is a rule", n)
	}
	w.rules = rules
	r := w.newReplayer(w.deadLetters)
	begin := time.Now()
	first := replayAll(r, kept)
	t.Logf("%d dead letters became %d readings in %v", deadLetters, first, time.Since(begin))
	again := replayAll(r, kept[:perCall])

	inserted := w.store(t, deadLetters, again)
	if first != deadLetters || inserted.New != deadLetters || again != perCall || inserted.Duplicates < again || inserted.Merged != 0 || len(inserted.Conflicts) != 0 {
		t.Errorf("%d readings, then %d; the store says: %+v", first, again, inserted)
	}
	for i := range devices {
		page, err := w.readings.FindReadings(t.Context(), iot.ReadingQuery{Devices: []iot.DeviceID{iot.KeyID(fmt.Sprintf("device-%d", i))}, Limit: 2 * deadLetters / devices})
		if err != nil || len(page.Readings) != deadLetters/devices {
			t.Fatalf("device %d has %d readings, %v", i, len(page.Readings), err)
		}
		seen := map[string]bool{}
		for _, r := range page.Readings {
			n := int(r.Metrics[0].Value)
			want := at(n)
			if n%2 == 0 {
				want = want.Add(-time.Hour)
			}
			if !r.At.Equal(want) || r.Metrics[0].Name != "probe_t" || seen[fmt.Sprint(n)] {
				t.Fatalf("%+v, want it at %v", r, want)
			}
			seen[fmt.Sprint(n)] = true
		}
	}
}

// store stores the readings on the topic until so many were new and others are there already, and returns what became of
// them.
func (w *world) store(t *testing.T, different, duplicates int) (sum iot.Inserted) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	consumer := kafka.NewConsumer(kafka.GroupConfig{Config: w.kafka, Group: t.Name(), MaxBatch: 1000, MaxWait: time.Millisecond},
		func(ctx context.Context, batch []kafka.Record) error {
			var decoded []iot.Reading
			for i := range batch {
				decoded, _ = event.Decode(&batch[i], decoded)
			}
			got, err := w.readings.InsertReadings(ctx, decoded)
			sum.New += got.New
			sum.Merged += got.Merged
			sum.Duplicates += got.Duplicates
			sum.Conflicts = append(sum.Conflicts, got.Conflicts...)
			if sum.New >= different && sum.New+sum.Merged+sum.Duplicates+len(sum.Conflicts) >= different+duplicates {
				cancel()
			}
			return err
		}, quiet, prometheus.NewRegistry())
	var wait sync.WaitGroup
	wait.Go(func() { _ = consumer.Run(ctx) })
	wait.Wait()
	return sum
}
