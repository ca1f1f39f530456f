package refused_test

import (
	"log/slog"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/telltale-iot/telltale/pkg/embedded/embeddedtest"
	"github.com/telltale-iot/telltale/pkg/event"
	"github.com/telltale-iot/telltale/pkg/kafka"
	"github.com/telltale-iot/telltale/pkg/kafka/kafkatest"
	"github.com/telltale-iot/telltale/pkg/kafka/producer"
	"github.com/telltale-iot/telltale/services/query-api/refused"
)

var (
	quiet = slog.New(slog.DiscardHandler)
	noon  = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
)

func TestList(t *testing.T) {
	broker := embeddedtest.Start(t)
	cfg := kafka.Config{Brokers: []string{broker.Addr()}, Topic: "raw-data", Partitions: 1, ClientID: "query-api"}
	if err := kafka.EnsureTopics(t.Context(), cfg, quiet); err != nil {
		t.Fatal(err)
	}
	sender := producer.New(cfg, quiet, prometheus.NewRegistry())
	kafkatest.Start(t, sender.Run)
	refusal := event.Refusal{
		Surface: "mqtt", Denied: true, Why: "wrong_password", Principal: "42", Address: "192.0.2.7",
		Example: "first", Count: 2, First: noon, Last: noon.Add(time.Minute), Replica: "bridge-1",
	}
	elsewhere, warned := refusal, refusal
	elsewhere.Replica, elsewhere.Example, elsewhere.Count = "bridge-2", "second", 3
	elsewhere.First, elsewhere.Last = noon.Add(-time.Minute), noon.Add(2*time.Minute)
	warned.Denied, warned.Why = false, "no_credentials"
	var records []kafka.Record
	for _, r := range []event.Refusal{refusal, elsewhere, warned} {
		rec, err := r.Record(cfg.RefusedTopic())
		if err != nil {
			t.Fatal(err)
		}
		records = append(records, rec)
	}
	records = append(records, kafka.Record{Topic: cfg.RefusedTopic(), Key: []byte("other"), Value: []byte("no JSON")})
	if err := kafkatest.Send(t.Context(), sender, records...); err != nil {
		t.Fatal(err)
	}

	list := refused.New(cfg, sender, quiet)
	both := elsewhere
	both.Count = 5
	for denied, want := range map[bool][]event.Refusal{true: {both}, false: {warned}} {
		got, err := list.All(t.Context(), denied)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("denied %v (-want +got):\n%s", denied, diff)
		}
	}
	if err := list.Forget(t.Context(), true); err != nil {
		t.Fatal(err)
	}
	for _, l := range []*refused.List{list, refused.New(cfg, sender, quiet)} {
		if got, err := l.All(t.Context(), true); err != nil || len(got) != 0 {
			t.Errorf("%+v, %v after they were forgotten", got, err)
		}
		if got, err := l.All(t.Context(), false); err != nil || len(got) != 1 {
			t.Errorf("%+v, %v of others", got, err)
		}
	}
}
