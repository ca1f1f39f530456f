package event_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/telltale-iot/telltale/pkg/event"
)

func TestIgnored(t *testing.T) {
	topic := event.Ignored{
		Topic: "/sensors/42/data", ClientID: "misled", Count: 3, Last: time.Date(2026, 1, 2, 3, 4, 5, 678e6, time.UTC),
		Example: `{"x": 1}`, Hint: "is sensors/42/data meant?", Replica: "bridge-1",
	}
	member, later, other := topic, topic, topic
	member.Member = "signal"
	later.Count, later.Hint = 4, ""
	other.Replica = "bridge-2"
	keys := map[string]event.Ignored{}
	for _, i := range []event.Ignored{topic, member, other, later} {
		rec, err := i.Record("raw-data.ignored")
		if err != nil {
			t.Fatal(err)
		}
		got, err := event.ReadIgnored(rec.Value)
		if diff := cmp.Diff(i, got); diff != "" || err != nil {
			t.Errorf("err %v (-want +got):\n%s", err, diff)
		}
		keys[string(rec.Key)] = i
	}
	want := map[string]event.Ignored{
		"topic\x00/sensors/42/data\x00\x00bridge-1":        later,
		"topic\x00/sensors/42/data\x00\x00bridge-2":        other,
		"member\x00/sensors/42/data\x00signal\x00bridge-1": member,
	}
	if diff := cmp.Diff(want, keys); diff != "" {
		t.Errorf("a later record does not take the place of the one before, or takes that of another (-want +got):\n%s", diff)
	}

	if _, err := event.ReadIgnored([]byte("x")); err == nil {
		t.Error("what is no JSON is read without an error")
	}
}
