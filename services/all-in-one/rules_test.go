package main

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"testing"
	"time"

	mqtt "github.com/eclipse/paho.mqtt.golang"
)

// TestRuleAfterwards publishes what no rule reads, writes the rule for it, starts with that, and replays: everything is
// there once, with the times that the messages have or arrived at. Nothing of it is lost or changed meanwhile.
func TestRuleAfterwards(t *testing.T) {
	const n = 10_000
	s, dir := freeAddrs(t), t.TempDir()
	s["MQTT_TOPICS"] = "plant/+/state"
	p := start(t, dir, s)
	begin := time.Now().Truncate(time.Millisecond)
	publishStates(t, s["MQTT_LISTEN_ADDR"], n)
	published := time.Now()
	type stats struct {
		Total, Replayed int
		Topics          []struct {
			Topic string
			Count int
			Hint  *string
		} `json:"by_topic"`
	}
	var counts stats
	eventually(t, time.Minute, "all dead letters are stored", func() bool {
		_, err := p.get("/api/dead-letters/stats/", &counts)
		return err == nil && counts.Total == n
	})
	if len(counts.Topics) != 1 || counts.Topics[0].Count != n || counts.Topics[0].Topic != "plant/+/state" || counts.Topics[0].Hint != nil {
		t.Errorf("they are counted as %+v", counts.Topics)
	}
	if err := p.Stop(); err != nil {
		t.Fatal(err)
	}
	rules := filepath.Join(t.TempDir(), "plant.yaml")
	rule := "- name: plant\n  topic: plant/{device}/state\n  time: {at: at, zone: Europe/Berlin}\n  values: {numbers_in_strings: true, drop: [unit]}\n"
	if err := os.WriteFile(rules, []byte(rule), 0o600); err != nil {
		t.Fatal(err)
	}
	s["MAPPINGS"] = rules
	p = start(t, dir, s)
	eventually(t, time.Minute, "the example is read by the rule", func() bool {
		_, err := p.get("/api/dead-letters/stats/", &counts)
		return err == nil && len(counts.Topics) == 1 && counts.Topics[0].Hint != nil
	})
	replaying := time.Now()
	for remaining := n; remaining > 0; {
		var answer struct{ Remaining int }
		eventually(t, time.Minute, "a thousand are replayed", func() bool {
			status, err := p.post("/api/dead-letters/replay/?limit=1000", &answer)
			return err == nil && status == http.StatusOK // and 503 while the producer connects
		})
		remaining = answer.Remaining
	}
	replayed := time.Since(replaying)
	var readings struct {
		Total int `json:"total_readings"`
	}
	eventually(t, time.Minute, "all readings are stored", func() bool {
		_, err := p.get("/api/readings/stats/", &readings)
		return err == nil && readings.Total >= n
	})
	t.Logf("%d dead letters replayed in %v, and stored %v after the first request", n, replayed, time.Since(replaying))

	// Once more, those of which nobody knows that they were replayed: no reading is there twice.
	var some []struct{ ID string }
	if _, err := p.get("/api/dead-letters/?limit=20", &some); err != nil {
		t.Fatal(err)
	}
	for _, d := range some {
		eventually(t, time.Minute, "one is replayed again", func() bool {
			status, err := p.post("/api/dead-letters/"+d.ID+"/replay/", new(any))
			return err == nil && status == http.StatusOK
		})
	}
	publish(t, s["MQTT_LISTEN_ADDR"], "plant/end/state", `{"x": 1}`)
	eventually(t, time.Minute, "what came behind them is stored", func() bool {
		_, err := p.get("/api/readings/stats/", &readings)
		return err == nil && readings.Total >= n+1
	})
	if readings.Total != n+1 {
		t.Errorf("%d readings, want %d", readings.Total, n+1)
	}
	var got []struct {
		Timestamp time.Time
		Source    string `json:"timestamp_source"`
		Metrics   map[string]float64
	}
	if _, err := p.get("/api/devices/pump-0/readings/?limit=10000", &got); err != nil || len(got) != n/10 {
		t.Fatalf("%d readings of a device, %v", len(got), err)
	}
	for _, r := range got {
		i := int(r.Metrics["x"])
		if stated := time.Date(2026, 1, 2, 11, 0, 0, 0, time.UTC).Add(time.Duration(i) * time.Millisecond); i%20 == 0 && (!r.Timestamp.Equal(stated) || r.Source != "device") {
			t.Fatalf("reading %d has the time %v, of its %s", i, r.Timestamp, r.Source)
		}
		if i%20 != 0 && (r.Timestamp.Before(begin) || r.Timestamp.After(published.Add(time.Second)) || r.Source != "server") {
			t.Fatalf("reading %d has the time %v, of the %s; it arrived between %v and %v", i, r.Timestamp, r.Source, begin, published)
		}
	}
}

// publishStates publishes n states of ten pumps, of which Telltale's own form makes nothing. Every second one of the first pump has a time.
func publishStates(t *testing.T, addr string, n int) {
	t.Helper()
	c := connect(t, addr, t.Name())
	defer c.Disconnect(100)
	var tokens []mqtt.Token
	for i := range n {
		at := ""
		if i%20 == 0 {
			at = time.Date(2026, 1, 2, 12, 0, 0, 0, time.UTC).Add(time.Duration(i) * time.Millisecond).Format(`, "at": "2006-01-02 15:04:05.000"`)
		}
		tokens = append(tokens, c.Publish(fmt.Sprintf("plant/pump-%d/state", i%10), 1, false, fmt.Sprintf(`{"x": "%d", "unit": "C"%s}`, i, at)))
		if len(tokens) == 500 || i == n-1 {
			for _, token := range tokens {
				if !token.WaitTimeout(20*time.Second) || token.Error() != nil {
					t.Fatalf("no PUBACK: %v", token.Error())
				}
			}
			tokens = tokens[:0]
		}
	}
}
