package main

import (
	"bytes"
	"errors"
	"log/slog"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/telltale-iot/telltale/pkg/daemon"
	"github.com/telltale-iot/telltale/pkg/event"
	"github.com/telltale-iot/telltale/pkg/iot"
	"github.com/telltale-iot/telltale/pkg/readings/mongo"
)

func TestDeadLettersOfARepair(t *testing.T) {
	at := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	reading := iot.Reading{
		Device: 7, At: at, Received: at.Add(time.Second), Stamped: iot.StampDevice,
		Metrics: []iot.Metric{{Name: iot.Temperature, Value: 21}}, Attributes: []iot.Attribute{{Name: "site", Value: "roof"}},
	}
	legacy := reading
	legacy.Received = time.Time{}
	surplus := []mongo.Surplus{
		{ID: "a", JSON: []byte(`{"_id":"a"}`), Reading: reading},
		{ID: "b", JSON: []byte(`{"_id":"b"}`), Reading: legacy},
		{ID: "c", JSON: []byte(`{"_id":"c"}`)},
	}
	deadLetters, again := deadLettersOf(surplus), deadLettersOf(surplus)

	t.Run("a reading can be replayed as it was", func(t *testing.T) {
		for i, received := range []time.Time{reading.Received, at} {
			want := reading
			want.Received = received
			var d event.Decoder
			d.StartReplay(deadLetters[i], nil)
			got, rejected := d.Next(nil, nil)
			if diff := cmp.Diff([]iot.Reading{want}, got); diff != "" || len(rejected) > 0 {
				t.Errorf("dead letter %d (-want +got):\n%s%v", i, diff, rejected)
			}
			if deadLetters[i].Reason != iot.ReasonConflict || deadLetters[i].Device != 7 {
				t.Errorf("dead letter %d: %+v", i, deadLetters[i])
			}
		}
	})
	t.Run("what is no reading is kept as it was", func(t *testing.T) {
		if l := deadLetters[2]; !bytes.Equal(l.Bytes, surplus[2].JSON) || l.Reason != iot.ReasonConflict || time.Since(l.Received) > time.Minute {
			t.Errorf("%+v", l)
		}
	})
	t.Run("a document has the same dead letter when it comes again, and another one has another", func(t *testing.T) {
		for i := range deadLetters {
			if deadLetters[i].ID != again[i].ID || deadLetters[i].ID == deadLetters[(i+1)%3].ID {
				t.Errorf("dead letter %d has the ids %v and %v", i, deadLetters[i].ID, again[i].ID)
			}
		}
	})
}

func TestRepairSettingsThatCannotWork(t *testing.T) {
	log, metrics := slog.New(slog.DiscardHandler), prometheus.NewRegistry()
	err := (&repair{MongoDBURI: "http://localhost"}).Run(t.Context(), &daemon.Process{Log: log, Metrics: metrics, Health: daemon.NewHealth(log, metrics)})
	var config *daemon.ConfigError
	if !errors.As(err, &config) || config.Variable != "MONGODB_URI" {
		t.Errorf("got %v, want an error of MONGODB_URI", err)
	}
}
