package event_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/telltale-iot/telltale/pkg/event"
)

func TestReport(t *testing.T) {
	first := event.Report{
		Service: "mqtt-bridge", Instance: "host-1", Version: "v1", Started: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC), Ready: true,
		Problems: []string{"mqtt: not available"},
		Accounts: []event.Account{{Name: "bridge_readings", Received: 3, Outcomes: map[string]int64{"produced": 2}, InFlight: 1, Rate: 0.5, Moved: 3}},
		Groups:   []event.Group{{Group: "g", Topic: "raw-data", Partitions: 2, Lag: 1, LagSeconds: 0.5, Handled: 1}},
		Stores:   []event.Store{{Name: "readings", Bytes: 1, BytesPerDay: -1, FreeBytes: 3, DaysUntilFull: 4}},
		MQTT:     &event.Endpoint{Listens: true, Address: ":1883", TLS: true, WebSocket: ":8083"},
	}
	later, other, sibling := first, first, first
	later.Ready, other.Service, sibling.Instance = false, "query-api", "host-2"
	said := map[string]event.Report{}
	for _, r := range []event.Report{first, other, sibling, later} {
		rec, err := r.Record("raw-data.system")
		if err != nil || rec.Topic != "raw-data.system" {
			t.Fatal(rec.Topic, err)
		}
		got, err := event.ReadReport(rec.Value)
		if diff := cmp.Diff(r, got); diff != "" || err != nil {
			t.Errorf("err %v (-want +got):\n%s", err, diff)
		}
		said[string(rec.Key)] = got
	}
	want := map[string]event.Report{"mqtt-bridge\x00host-1": later, "query-api\x00host-1": other, "mqtt-bridge\x00host-2": sibling}
	if diff := cmp.Diff(want, said); diff != "" {
		t.Errorf("a later record does not take the place of the one before, or takes that of another (-want +got):\n%s", diff)
	}

	rec := first.Farewell("raw-data.system")
	if _, told := said[string(rec.Key)]; !told || len(rec.Value) > 0 || rec.Topic != "raw-data.system" {
		t.Errorf("a farewell ends nothing: %+v", rec)
	}
	for _, value := range []string{"x", "{}", `{"service":"a"}`} {
		if _, err := event.ReadReport([]byte(value)); err == nil {
			t.Errorf("%s is read without an error", value)
		}
	}
}

func TestAccountAddsUp(t *testing.T) {
	for _, tt := range []struct {
		account event.Account
		want    bool
	}{
		{event.Account{}, true},
		{event.Account{Received: 5, Outcomes: map[string]int64{"a": 2, "b": 1}, InFlight: 2}, true},
		{event.Account{Received: 5, Outcomes: map[string]int64{"a": 2, "b": 1}, InFlight: 1}, false},
		{event.Account{Received: 5, Outcomes: map[string]int64{"a": 6}}, false},
	} {
		if got := tt.account.AddsUp(); got != tt.want {
			t.Errorf("%+v adds up: %v", tt.account, got)
		}
	}
}
