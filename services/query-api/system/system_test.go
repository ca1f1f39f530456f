package system

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/telltale-iot/telltale/pkg/compacted"
	"github.com/telltale-iot/telltale/pkg/embedded/embeddedtest"
	"github.com/telltale-iot/telltale/pkg/event"
	"github.com/telltale-iot/telltale/pkg/kafka"
	"github.com/telltale-iot/telltale/pkg/kafka/kafkatest"
	"github.com/telltale-iot/telltale/pkg/kafka/producer"
	"github.com/telltale-iot/telltale/pkg/proxytest"
	"github.com/telltale-iot/telltale/pkg/report"
)

var quiet = slog.New(slog.DiscardHandler)

// world is a broker with the topic of reports.
type world struct {
	kafka    kafka.Config
	proxy    *proxytest.Proxy // in front of it
	producer *producer.Producer
	system   *System
}

func newWorld(t *testing.T) *world {
	t.Helper()
	broker := embeddedtest.Start(t)
	w := &world{
		kafka: kafka.Config{Brokers: []string{broker.Addr()}, Topic: "raw-data", Partitions: 1, ClientID: "query-api"},
		proxy: proxytest.New(t, broker.Addr()),
	}
	if err := kafka.EnsureTopics(t.Context(), w.kafka, quiet); err != nil {
		t.Fatal(err)
	}
	w.producer = producer.New(w.kafka, quiet, nil)
	kafkatest.Start(t, w.producer.Run)
	w.system = New(w.kafka, quiet)
	return w
}

func (w *world) send(t *testing.T, records ...kafka.Record) {
	t.Helper()
	if err := kafkatest.Send(t.Context(), w.producer, records...); err != nil {
		t.Fatal(err)
	}
}

func (w *world) say(t *testing.T, reports ...event.Report) {
	t.Helper()
	records := make([]kafka.Record, len(reports))
	for i, r := range reports {
		rec, err := r.Record(w.kafka.SystemTopic())
		if err != nil {
			t.Fatal(err)
		}
		records[i] = rec
	}
	w.send(t, records...)
}

// state returns what is said now: what was read a moment ago is read again.
func (w *world) state(t *testing.T) State {
	t.Helper()
	w.system.askedAt = time.Time{}
	s, err := w.system.State(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func (s State) names() (names []string) {
	for _, i := range s.Instances {
		names = append(names, i.Service+"/"+i.Instance+" "+i.Version)
	}
	return names
}

func TestState(t *testing.T) {
	w := newWorld(t)
	if got := w.state(t); len(got.Instances) != 0 || got.Err != nil {
		t.Errorf("%+v before anybody has said anything", got)
	}
	one, two, other := event.Report{Service: "b", Instance: "1", Version: "v1"}, event.Report{Service: "b", Instance: "2", Version: "v1"}, event.Report{Service: "a", Instance: "1", Version: "v1"}
	w.say(t, one, two, other)
	if got := fmt.Sprint(w.state(t).names()); got != "[a/1 v1 b/1 v1 b/2 v1]" {
		t.Error(got)
	}
	one.Version = "v2"
	w.say(t, one)
	w.say(t, event.Report{Service: "long", Instance: "1", Version: strings.Repeat("v", maxRecord)})
	w.send(t, two.Farewell(w.kafka.SystemTopic()), kafka.Record{Topic: w.kafka.SystemTopic(), Key: []byte("another's"), Value: []byte("x")})
	if got := fmt.Sprint(w.state(t).names()); got != "[a/1 v1 b/1 v2]" {
		t.Errorf("%s after a newer report, a farewell, and what is another program's", got)
	}
	w.system = New(w.kafka, quiet)
	if got := fmt.Sprint(w.state(t).names()); got != "[a/1 v1 b/1 v2]" {
		t.Errorf("%s after a start", got)
	}

	t.Run("one that is silent is gone, and forgotten after a day", func(t *testing.T) {
		seen := w.state(t).Instances[0].Seen
		if age := time.Since(seen); age < 0 || age > time.Minute {
			t.Errorf("it was seen %v ago", age)
		}
		rec, err := one.Record("")
		if err != nil {
			t.Fatal(err)
		}
		rows := map[string]compacted.Row{"b": {Value: rec.Value, At: seen}}
		for age, gone := range map[time.Duration]bool{0: false, report.GoneAfter: false, report.GoneAfter + 1: true} {
			if got := instances(rows, seen.Add(age)); len(got) != 1 || got[0].Gone != gone {
				t.Errorf("after %v: %+v, want gone %v", age, got, gone)
			}
		}
		if got := instances(rows, seen.Add(forgetAfter)); len(got) != 1 {
			t.Errorf("%+v is shown within a day", got)
		}
		if got := instances(rows, seen.Add(forgetAfter+time.Second)); len(got) != 0 {
			t.Errorf("%+v is shown after a day", got)
		}
	})
}

// TestAsked: those who ask at the same time read the topic once, and one that gives up does the others no harm.
func TestAsked(t *testing.T) {
	w := newWorld(t)
	w.say(t, event.Report{Service: "a", Instance: "1"})
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	var wait sync.WaitGroup
	for i := range 20 {
		wait.Go(func() {
			ctx := t.Context()
			if i%2 == 0 {
				ctx = ended
			}
			if got, err := w.system.State(ctx); ctx == t.Context() && (err != nil || len(got.Instances) != 1) {
				t.Errorf("%+v, %v", got, err)
			}
		})
	}
	wait.Wait()
}

func TestKafkaAway(t *testing.T) {
	w := newWorld(t)
	w.say(t, event.Report{Service: "a", Instance: "1"})
	cfg := w.kafka
	cfg.Brokers = []string{w.proxy.Addr()}
	w.system = New(cfg, quiet)
	w.proxy.Hang()
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	if s, err := w.system.State(ctx); err == nil {
		t.Errorf("nothing is known yet: %+v", s)
	}
	w.proxy.Resume()
	known := w.state(t)
	w.proxy.Hang()
	begin := time.Now()
	s := w.state(t)
	if s.Err == nil || len(s.Instances) != 1 || s.Instances[0].Gone || !s.ReadAt.Equal(known.ReadAt) || time.Since(begin) > 5*readWithin {
		t.Errorf("what was known is not shown with its age: %+v after %v", s, time.Since(begin))
	}
	w.proxy.Resume()
	if s := w.state(t); s.Err != nil || len(s.Instances) != 1 {
		t.Errorf("Kafka is there again: %+v", s)
	}
}

// TestRun: counting begins when all that count are there, without anybody asking.
func TestRun(t *testing.T) {
	w := newWorld(t)
	done := make(chan error, 1)
	go func() { done <- w.system.Run(t.Context()) }()
	for _, i := range (cluster{partitions: 1}).instances() {
		w.say(t, i.Report)
	}
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	since := w.state(t).Conservation.Since
	if since.IsZero() || !since.Equal(w.state(t).Conservation.Since) {
		t.Errorf("counted since %v", since)
	}
}
