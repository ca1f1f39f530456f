package live_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/telltale-iot/telltale/pkg/embedded"
	"github.com/telltale-iot/telltale/pkg/embedded/embeddedtest"
	"github.com/telltale-iot/telltale/pkg/event"
	"github.com/telltale-iot/telltale/pkg/iot"
	"github.com/telltale-iot/telltale/pkg/kafka"
	"github.com/telltale-iot/telltale/pkg/kafka/kafkatest"
	"github.com/telltale-iot/telltale/services/query-api/live"
)

func TestListen(t *testing.T) {
	t.Run("a client gets what comes from now on, each reading once", func(t *testing.T) {
		w := newWorld(t, 3)
		w.publish(t, 10)
		h, _ := w.hub(t)
		c := &client{t: t}
		c.listen(h)
		c.place()
		w.publish(t, 500)
		w.wantAll(t, c, 10)
	})
	t.Run("one that comes back goes on where it was, on another replica, after nobody listened", func(t *testing.T) {
		w := newWorld(t, 3)
		h, _ := w.hub(t)
		c := &client{t: t}
		stop := c.listen(h)
		c.place()
		w.publish(t, 100)
		w.wantAll(t, c, 0)
		_ = stop()
		w.publish(t, 5000)
		other, _ := w.hub(t)
		c.listen(other)
		w.publish(t, 100)
		w.wantAll(t, c, 0)
		c.wantResyncs(0)
	})
	t.Run("one that is ahead of a replica is told of nothing twice, nor another time when it comes back from there", func(t *testing.T) {
		w := newWorld(t, 3)
		behind, _ := w.hub(t)
		ahead, _ := w.hub(t)
		late, c := &client{t: t, hold: make(chan struct{})}, &client{t: t}
		late.listen(behind)
		stop := c.listen(ahead)
		c.place()
		w.publish(t, 100)
		w.wantAll(t, c, 0)
		for range 5 {
			_ = stop()
			stop = c.listen(behind)
			w.publish(t, 50)
			_ = stop()
			stop = c.listen(ahead)
			w.publish(t, 50)
		}
		w.wantAll(t, c, 0)
		close(late.hold)
		c.wantResyncs(0)
	})
	t.Run("Kafka is away for a while, and clients are told of all that comes then", func(t *testing.T) {
		kafkaConfig := embedded.KafkaConfig{Dir: t.TempDir()}
		server := embeddedtest.StartWith(t, kafkaConfig)
		kafkaConfig.Addr = server.Addr()
		w := worldOn(t, server, 3)
		h, _ := w.hub(t)
		connected, back := &client{t: t}, &client{t: t}
		connected.listen(h)
		connected.place()
		stop := back.listen(h)
		back.place()
		w.publish(t, 100)
		w.wantAll(t, back, 0)
		_ = stop()
		if err := server.Close(context.Background()); err != nil {
			t.Fatal(err)
		}
		back.listen(h)
		embeddedtest.StartWith(t, kafkaConfig)
		w.publish(t, 100)
		w.wantAll(t, connected, 0)
		w.wantAll(t, back, 0)
		connected.wantResyncs(0)
		back.wantResyncs(0)
	})
	t.Run("while Kafka is away nobody can begin", func(t *testing.T) {
		w := newWorld(t, 1)
		w.cfg.Brokers = []string{"127.0.0.1:1"}
		h, _ := w.hub(t)
		if err := h.Listen(t.Context(), live.Client{Send: func([]byte) error { return nil }, Cut: func() {}}); !errors.Is(err, live.ErrAway) {
			t.Errorf("got %v, want %v", err, live.ErrAway)
		}
	})
	t.Run("partitions are added", func(t *testing.T) {
		w := newWorld(t, 1)
		h, _ := w.hub(t)
		connected, back := &client{t: t}, &client{t: t}
		connected.listen(h)
		connected.place()
		stop := back.listen(h)
		back.place()
		w.publish(t, 10)
		w.wantAll(t, back, 0)
		_ = stop()
		kafkatest.AddPartitions(t, w.cfg.Brokers, w.cfg.Topic, 4)
		for id := iot.DeviceID(1); id <= 5; id++ { // of their own order: devices have moved
			w.sent = append(w.sent, id+10)
			w.send(t, event.Record(w.cfg.Topic, reading(id+10, len(w.sent)-1)))
		}
		back.listen(h)
		w.wantAll(t, connected, 0)
		w.wantAll(t, back, 0)
		connected.wantResyncs(0)
		back.wantResyncs(0)
	})
	t.Run("a record of many readings is told of in parts", func(t *testing.T) {
		w := newWorld(t, 1)
		h, _ := w.hub(t)
		c := &client{t: t}
		stop := c.listen(h)
		c.place()
		var many []string
		for n := range 5000 {
			many = append(many, fmt.Sprintf(`{"device_id":1,"n":%d,"timestamp":%d}`, n, 1_700_000_000_000+n))
			w.sent = append(w.sent, 1)
		}
		c.breakAfter(100_000)
		w.send(t, kafka.Record{Topic: w.cfg.Topic, Key: []byte("1"), Value: []byte("[" + strings.Join(many, ",") + "]")})
		for len(c.numbers()) < len(w.sent) {
			kafkatest.Eventually(t, kafkatest.Timeout, "a cut", func() bool { return c.isCut() || len(c.numbers()) == len(w.sent) })
			_ = stop()
			c.breakAfter(100_000)
			stop = c.listen(h)
		}
		w.wantAll(t, c, 0)
		c.wantResyncs(0)
	})
}

func TestResync(t *testing.T) {
	// listened returns a client that is away, and was told of ten readings.
	listened := func(t *testing.T, w *world) *client {
		h, _ := w.hub(t)
		c := &client{t: t}
		stop := c.listen(h)
		c.place()
		w.publish(t, 10)
		w.wantAll(t, c, 0)
		_ = stop()
		return c
	}
	// wantOne checks that c is told once to ask anew, and then of what comes.
	wantOne := func(t *testing.T, w *world, c *client) {
		t.Helper()
		c.wait("resync", 1)
		before := len(w.sent)
		w.publish(t, 10)
		kafkatest.Eventually(t, kafkatest.Timeout, "what comes then", func() bool {
			ns := c.numbers()
			slices.Sort(ns)
			return len(ns) >= 10 && ns[len(ns)-10] == before
		})
		c.wantResyncs(1)
	}
	t.Run("the log does not reach back", func(t *testing.T) {
		w := newWorld(t, 1)
		c := listened(t, w)
		w.publish(t, 10)
		if err := kafkatest.Admin(t, w.cfg.Brokers).DeleteRecords(w.cfg.Topic, map[int32]int64{0: 15}); err != nil {
			t.Fatal(err)
		}
		h, _ := w.hub(t)
		c.listen(h)
		wantOne(t, w, c)
	})
	t.Run("it reaches back just so far", func(t *testing.T) {
		w := newWorld(t, 1)
		c := listened(t, w)
		w.publish(t, 10)
		if err := kafkatest.Admin(t, w.cfg.Brokers).DeleteRecords(w.cfg.Topic, map[int32]int64{0: 10}); err != nil {
			t.Fatal(err)
		}
		h, _ := w.hub(t)
		c.listen(h)
		w.wantAll(t, c, 0)
		c.wantResyncs(0)
	})
	for _, when := range []string{"while a client listens", "while it is away", "while it is away and another listens"} {
		t.Run("a topic is made again "+when, func(t *testing.T) {
			w := newWorld(t, 2)
			h, _ := w.hub(t)
			c := listened(t, w)
			switch when {
			case "while a client listens":
				c.listen(h)
				w.publish(t, 1)
				w.wantAll(t, c, 0)
			case "while it is away and another listens":
				other := &client{t: t}
				other.listen(h)
				other.place()
				defer wantOne(t, w, other)
			}
			if err := kafkatest.Admin(t, w.cfg.Brokers).DeleteTopic(w.cfg.Topic); err != nil {
				t.Fatal(err)
			}
			kafkatest.Eventually(t, kafkatest.Timeout, "the topic is there again", func() bool {
				return kafka.EnsureTopics(t.Context(), w.cfg, kafkatest.Discard()) == nil
			})
			if when != "while a client listens" {
				w.publish(t, 50) // it is longer than it was
				c.listen(h)
			}
			wantOne(t, w, c)
		})
	}
	for name, id := range map[string]string{
		"no place": "nonsense", "that of a later version": "AgAAAAAAAAAAAAAAAAAA", "one that ends early": "AQAAAAAAAAAAAAAAAAAP",
	} {
		t.Run("the id is "+name, func(t *testing.T) {
			w := newWorld(t, 1)
			h, _ := w.hub(t)
			c := &client{t: t, at: id}
			c.listen(h)
			wantOne(t, w, c)
		})
	}
	t.Run("the log was never so far", func(t *testing.T) {
		w := newWorld(t, 1)
		c := listened(t, w)
		c.at = live.Ahead(t, c.at, 1000)
		h, _ := w.hub(t)
		c.listen(h)
		wantOne(t, w, c)
	})
}

func TestFilter(t *testing.T) {
	w := newWorld(t, 2)
	w.devices.set(1, "one")
	w.devices.set(2, "two")
	h, _ := w.hub(t)
	all := &client{t: t}
	one := &client{t: t, filter: live.Filter{Devices: map[iot.DeviceID]bool{1: true}}}
	hot := &client{t: t, filter: live.Filter{Metrics: map[string]bool{"temperature": true, "heat": true}}}
	for _, c := range []*client{all, one, hot} {
		c.listen(h)
		c.place()
	}
	w.devices.looked(t)
	for id, metric := range map[iot.DeviceID]string{1: "n", 2: "temperature", 3: "heat"} {
		r := reading(id, int(id))
		r.Metrics = []iot.Metric{{Name: "a", Value: 1}, {Name: metric, Value: 1}}
		slices.SortFunc(r.Metrics, func(a, b iot.Metric) int { return strings.Compare(a.Name, b.Name) })
		w.send(t, event.Record(w.cfg.Topic, r))
	}
	for id := range iot.DeviceID(3) { // 0 is of no device
		d := event.DeadLetter{DeadLetter: iot.DeadLetter{
			Rejection: iot.Rejection{Reason: iot.ReasonInvalidJSON, Detail: fmt.Sprint(id), Device: id, Bytes: []byte("x")},
			Source:    "sensors/data", Received: reading(1, 0).At,
		}}
		w.send(t, d.Record(w.cfg.DeadLetterTopic()))
	}
	w.devices.set(1, "uno")
	w.devices.set(2, "")
	for _, tt := range []struct {
		c                              *client
		readings, deadLetters, devices []string
	}{
		{all, []string{"1", "2", "3"}, []string{"0", "1", "2"}, []string{`{"id":1,"name":"uno"}`, `{"id":2,"deleted":true}`}},
		{one, []string{"1"}, []string{"1"}, []string{`{"id":1,"name":"uno"}`}},
		{hot, []string{"2", "3"}, []string{"0", "1", "2"}, []string{`{"id":1,"name":"uno"}`, `{"id":2,"deleted":true}`}},
	} {
		if diff := cmp.Diff(tt.devices, tt.c.wait("device", len(tt.devices))); diff != "" {
			t.Errorf("devices (-want +got):\n%s", diff)
		}
		if diff := cmp.Diff(tt.readings, tt.c.between("reading", len(tt.readings), `"device_id":`, ",")); diff != "" {
			t.Errorf("readings (-want +got):\n%s", diff)
		}
		if diff := cmp.Diff(tt.deadLetters, tt.c.between("dead_letter", len(tt.deadLetters), `"detail":"`, `"`)); diff != "" {
			t.Errorf("dead letters (-want +got):\n%s", diff)
		}
	}
	want := `{"reason":"invalid_json","detail":"1","source":"sensors/data","device_id":1,"received_at":"2023-11-14T22:13:20.000Z"}`
	if got := one.data("dead_letter")[0]; got != want {
		t.Errorf("dead letter %s, want %s", got, want)
	}
}

// TestCuts: a client whose connection breaks again and again while readings come, in the middle of an event or not, and
// that comes back to one replica or another, gets each reading once.
func TestCuts(t *testing.T) {
	w := newWorld(t, 3)
	var hubs [2]*live.Hub
	for i := range hubs {
		hubs[i], _ = w.hub(t)
	}
	other := &client{t: t} // so that one replica has what comes, and the other has to read it again
	other.listen(hubs[0])
	other.place()
	c := &client{t: t}
	for cut := range 100 {
		if cut > 0 {
			c.breakAfter(1 + rand.IntN(20_000))
		}
		stop := c.listen(hubs[rand.IntN(2)])
		c.place()
		w.publish(t, 1+rand.IntN(100))
		_ = stop()
	}
	c.breakAfter(0)
	c.listen(hubs[1])
	w.wantAll(t, c, 0)
	w.wantAll(t, other, 0)
	c.wantResyncs(0)
}
