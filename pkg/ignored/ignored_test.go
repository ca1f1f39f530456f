package ignored

import (
	"bytes"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/telltale-iot/telltale/pkg/iot"
	"github.com/telltale-iot/telltale/pkg/kafka"
)

// testList is a list whose Kafka is away. tell is what is done each second.
func testList() (l *List, tell func(), log *bytes.Buffer) {
	log = new(bytes.Buffer)
	cfg := kafka.Config{Topic: "raw-data"}
	l = New(cfg, "bridge-1", func(topic string) string { return "hint for " + topic }, slog.New(slog.NewTextHandler(log, nil)))
	return l, func() { l.due(time.Now()) }, log
}

// Messages on a topic that nobody reads leave a line a minute in the log.
func TestLog(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, tell, log := testList()
		for range 150 { // one a second
			l.Message("sensor/data", "misled", []byte("{}"))
			l.Member("sensors/data", "well", iot.Omitted{Member: "x", Why: "it is no number", Example: "NaN"})
			tell()
			time.Sleep(time.Second)
		}
		lines := strings.Split(strings.TrimSpace(log.String()), "\n")
		want := []string{"count=1", "count=60", "count=60"}
		if len(lines) != len(want) {
			t.Fatalf("logged %q, want %d lines", lines, len(want))
		}
		for i, line := range lines {
			if !strings.Contains(line, "topic=sensor/data client_id=misled "+want[i]+` hint="hint for sensor/data"`) {
				t.Errorf("logged %q, want %s", line, want[i])
			}
		}
	})
}

// TestReports: what is told of an entry is all of its count, and the latest of the rest.
func TestReports(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, _, _ := testList()
		l.Message("a", "first", []byte("1"))
		l.Message("a", "second", bytes.Repeat([]byte("ä"), 1000))
		l.Member("a", "third", iot.Omitted{Member: "x", Why: "why", Example: "NaN"})
		now := time.Now()
		got, more := l.tally.Due(now)
		if len(got) != 2 || more {
			t.Fatalf("%+v, more %v", got, more)
		}
		if a := got[0].What; a.Topic != "a" || a.Member != "" || a.ClientID != "second" || got[0].Count != 2 || a.Replica != "bridge-1" ||
			a.Example != strings.Repeat("ä", 256) || !a.Last.Equal(now.Truncate(time.Millisecond)) {
			t.Errorf("of the topic: %+v", a)
		}
		if x := got[1].What; x.Topic != "a" || x.Member != "x" || got[1].Count != 1 || x.Example != "NaN" || x.Hint != "why" {
			t.Errorf("of the member: %+v", x)
		}
		l.Message("a", "fourth", nil)
		if got, more := l.tally.Due(now.Add(tellEvery - 1)); len(got) != 0 || !more {
			t.Errorf("within a minute: %+v, more %v", got, more)
		}
		if got, _ := l.tally.Due(now.Add(tellEvery)); len(got) != 1 || got[0].Count != 3 || got[0].Since != 1 {
			t.Errorf("after a minute: %+v", got)
		}
	})
}

// TestBounds: whatever strangers publish.
func TestBounds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, tell, log := testList()
		const minutes = 5
		for i := range minutes * 60 {
			for j := range 100 {
				l.Message(fmt.Sprint(i, "/", j, strings.Repeat("x", 2000)), strings.Repeat("c", 2000), bytes.Repeat([]byte("p"), 2000))
			}
			tell()
			time.Sleep(time.Second)
		}
		if n := l.tally.Len(); n != maxEntries {
			t.Errorf("%d entries", n)
		}
		for told, more := l.tally.Due(time.Now()); more; told, more = l.tally.Due(time.Now()) {
			e := told[0]
			if len(e.What.Topic) > maxText || len(e.What.ClientID) > maxText || len(e.What.Example) > maxExample {
				t.Fatalf("an entry of %d, %d and %d bytes", len(e.What.Topic), len(e.What.ClientID), len(e.What.Example))
			}
		}
		if n := strings.Count(log.String(), "\n"); n > 200*minutes || n < 100*minutes {
			t.Errorf("%d lines in %d minutes", n, minutes)
		}
	})
}
