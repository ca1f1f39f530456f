package report

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"

	"github.com/telltale-iot/telltale/pkg/accounting"
	"github.com/telltale-iot/telltale/pkg/compacted"
	"github.com/telltale-iot/telltale/pkg/daemon"
	"github.com/telltale-iot/telltale/pkg/embedded/embeddedtest"
	"github.com/telltale-iot/telltale/pkg/event"
	"github.com/telltale-iot/telltale/pkg/kafka"
	"github.com/telltale-iot/telltale/pkg/kafka/kafkatest"
)

var (
	quiet = slog.New(slog.DiscardHandler)
	noon  = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
)

// newProcess returns a process without dependencies.
func newProcess() *daemon.Process {
	metrics := prometheus.NewRegistry()
	return &daemon.Process{Log: quiet, Metrics: metrics, Health: daemon.NewHealth(quiet, metrics)}
}

type dependency struct{ err error }

func (d dependency) Check(context.Context) error { return d.err }

func TestReports(t *testing.T) {
	p := newProcess()
	readings := accounting.New(p.Metrics, "telltale_part_readings", "Readings", "stored", "rejected")
	replayed := promauto.With(p.Metrics).NewCounter(prometheus.CounterOpts{Name: "telltale_replay_readings_total"})
	gauge := func(name string, labels prometheus.Labels, value float64) {
		promauto.With(p.Metrics).NewGauge(prometheus.GaugeOpts{Name: name, ConstLabels: labels}).Set(value)
	}
	for partition, lag := range map[string]float64{"0": 3, "1": 4} {
		labels := prometheus.Labels{"group": "writer", "topic": "raw-data", "partition": partition}
		gauge("telltale_kafka_consumer_lag_records", labels, lag)
		gauge("telltale_kafka_consumer_lag_seconds", labels, lag/10)
		gauge("telltale_kafka_consumer_in_flight_records", labels, 1)
	}
	gauge("telltale_kafka_consumer_lag_records", prometheus.Labels{"group": "other", "topic": "raw-data", "partition": "0"}, 99)
	gauge("telltale_store_size_bytes", nil, 1000)
	gauge("telltale_store_free_bytes", nil, 5000)
	p.Health.Expect("kafka (part)")

	r := newReporter(p, kafka.Config{Topic: "raw-data"}, []Service{
		{
			Name: "part", Accounts: []string{"part_readings", "replay_readings"}, Groups: []string{"writer", "absent"},
			Stores: []Store{{"readings", "store"}, {"absent", "no_store"}}, MQTT: &event.Endpoint{Address: "broker:1883"},
		},
		{Name: "other"},
	})
	r.started, r.past.started = noon, noon
	readings.Receive(10)
	readings.Finish(8, 7, 1)
	replayed.Add(2)
	want := map[string]event.Report{
		"part": {
			Service: "part", Version: daemon.Version(), Started: noon, Problems: []string{"kafka (part): not started yet"},
			Accounts: []event.Account{
				{Name: "part_readings", Received: 10, Outcomes: map[string]int64{"stored": 7, "rejected": 1}, InFlight: 2, Rate: 2, Moved: 8},
				{Name: "replay_readings", Received: 2, Outcomes: map[string]int64{"produced": 2}, Rate: 0.4, Moved: 2},
			},
			Groups: []event.Group{
				{Group: "writer", Topic: "raw-data", Partitions: 2, Lag: 7, LagSeconds: 0.4, Handled: 2}, {Group: "absent"},
			},
			Stores: []event.Store{{Name: "readings", Bytes: 1000, BytesPerDay: -1, FreeBytes: 5000, DaysUntilFull: -1}},
			MQTT:   &event.Endpoint{Address: "broker:1883"},
		},
		"other": {Service: "other", Version: daemon.Version(), Started: noon, Problems: []string{"kafka (part): not started yet"}},
	}
	instances := cmpopts.IgnoreFields(event.Report{}, "Instance")
	if diff := cmp.Diff(want, r.reports(noon.Add(5*time.Second)), instances); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}

	t.Run("rates are of the last half a minute, and what moves counts once", func(t *testing.T) {
		readings.Finish(2, 2, 0)
		for seconds := 10; seconds <= 60; seconds += 5 {
			got := r.reports(noon.Add(time.Duration(seconds) * time.Second))["part"].Accounts[0]
			wantRate, wantMoved := 0.0, int64(0)
			if seconds <= 30 {
				wantRate = 10 / float64(seconds)
			}
			if seconds == 10 {
				wantMoved = 2
			}
			if d := got.Rate - wantRate; d > 0.001 || d < -0.001 || got.Moved != wantMoved || !got.AddsUp() {
				t.Errorf("after %d s: %+v, want a rate of %v, and %d moved", seconds, got, wantRate, wantMoved)
			}
		}
		if n := len(r.past.counts["part_readings"]); n > 8 {
			t.Errorf("%d counts are kept", n)
		}
	})
	t.Run("what a process waits for is named without its error", func(t *testing.T) {
		p := newProcess()
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		p.Health.Register(ctx, "mongodb", dependency{errors.New("dial tcp 10.1.2.3:27017: connection refused")})
		got := newReporter(p, kafka.Config{}, []Service{{Name: "part"}}).reports(noon)["part"]
		if got.Ready || len(got.Problems) != 1 || !strings.HasPrefix(got.Problems[0], "mongodb: not available since ") || strings.Contains(got.Problems[0], "10.1.2.3") {
			t.Errorf("%+v", got)
		}
	})
}

// world is a broker, and what processes have said on it.
type world struct{ kafka kafka.Config }

func newWorld(t *testing.T) *world {
	t.Helper()
	broker := embeddedtest.Start(t)
	return &world{kafka.Config{Brokers: []string{broker.Addr()}, Topic: "raw-data", Partitions: 1, ClientID: "report"}}
}

// table is what is on the topic.
func (w *world) table() func(*testing.T) map[string]event.Report {
	cfg := w.kafka
	cfg.Topic = cfg.SystemTopic()
	table := compacted.NewTable(compacted.Table{Topic: cfg, What: "reports", MaxBytes: 1 << 20, MaxRecord: 8 << 10, Log: quiet})
	return func(t *testing.T) map[string]event.Report {
		t.Helper()
		all := map[string]event.Report{}
		err := table.Rows(t.Context(), 0, func(rows map[string]compacted.Row) error {
			for _, row := range rows {
				r, err := event.ReadReport(row.Value)
				if err != nil {
					return err
				}
				all[r.Service] = r
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		return all
	}
}

func TestRun(t *testing.T) {
	w := newWorld(t)
	if err := kafka.EnsureTopics(t.Context(), w.kafka, quiet); err != nil {
		t.Fatal(err)
	}
	p := newProcess()
	readings := accounting.New(p.Metrics, "telltale_part_readings", "Readings", "stored")
	ctx, cancel := context.WithCancel(t.Context())
	var wait sync.WaitGroup
	wait.Go(func() {
		if err := Run(ctx, p, w.kafka, Service{Name: "one", Accounts: []string{"part_readings"}}, Service{Name: "two"}); err != nil {
			t.Error(err)
		}
	})
	said := w.table()
	kafkatest.Eventually(t, kafkatest.Timeout, "both services are told of", func() bool { return len(said(t)) == 2 })
	readings.Receive(7)
	kafkatest.Eventually(t, kafkatest.Timeout, "what is counted since is told", func() bool { return said(t)["one"].Accounts[0].Received == 7 })
	cancel()
	wait.Wait()
	if all := said(t); len(all) != 0 {
		t.Errorf("the process has ended without a farewell of %+v", all)
	}
}

// TestDue: reports that say the same are rarer.
func TestDue(t *testing.T) {
	p := newProcess()
	readings := accounting.New(p.Metrics, "telltale_part_readings", "Readings", "stored")
	r := newReporter(p, kafka.Config{Topic: "raw-data"}, []Service{{Name: "part", Accounts: []string{"part_readings"}}})
	var told []int
	for second := range 40 {
		if second == 17 {
			readings.Receive(3)
		}
		now := r.started.Add(time.Duration(second) * time.Second)
		if records, more := r.due(now); len(records) > 0 {
			told = append(told, second)
			if said, err := event.ReadReport(records[0].Value); err != nil || !said.Counted.Equal(now) {
				t.Errorf("at %v: counted at %v (%v)", now, said.Counted, err)
			}
		} else if !more {
			t.Fatal("there is nothing more to come")
		}
	}
	// At 20 s it has received 3, at 25 s nothing since, and until 30 s its rate falls.
	if diff := cmp.Diff([]int{0, 15, 20, 25, 30}, told); diff != "" {
		t.Errorf("it tells at these seconds (-want +got):\n%s", diff)
	}
}
