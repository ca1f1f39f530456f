package live_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/telltale-iot/telltale/pkg/embedded"
	"github.com/telltale-iot/telltale/pkg/embedded/embeddedtest"
	"github.com/telltale-iot/telltale/pkg/event"
	"github.com/telltale-iot/telltale/pkg/iot"
	"github.com/telltale-iot/telltale/pkg/kafka"
	"github.com/telltale-iot/telltale/pkg/kafka/kafkatest"
	"github.com/telltale-iot/telltale/pkg/kafka/producer"
	"github.com/telltale-iot/telltale/services/query-api/live"
)

// world is a Kafka, devices, and one who publishes.
type world struct {
	cfg     kafka.Config
	devices *registry
	sender  *producer.Producer
	sent    []iot.DeviceID // the device of each reading that was published: their values are 0, 1, …
}

func newWorld(t testing.TB, partitions int32) *world {
	t.Helper()
	return worldOn(t, embeddedtest.Start(t), partitions)
}

func worldOn(t testing.TB, server *embedded.Kafka, partitions int32) *world {
	t.Helper()
	w := &world{
		cfg:     kafka.Config{Brokers: []string{server.Addr()}, Topic: "raw-data", Partitions: partitions, ClientID: "query-api"},
		devices: &registry{devices: map[iot.DeviceID]iot.Device{}},
	}
	if err := kafka.EnsureTopics(t.Context(), w.cfg, kafkatest.Discard()); err != nil {
		t.Fatal(err)
	}
	w.sender = producer.New(w.cfg, kafkatest.Discard(), nil)
	kafkatest.Start(t, w.sender.Run)
	return w
}

// hub returns a replica.
func (w *world) hub(t testing.TB) (*live.Hub, *prometheus.Registry) {
	t.Helper()
	metrics := prometheus.NewRegistry()
	return live.New(w.cfg, w.devices.source(), kafkatest.Logger(t), metrics), metrics
}

// publish puts n readings on Kafka, of devices 1 to 5 in turn.
func (w *world) publish(t testing.TB, n int) {
	t.Helper()
	var records []kafka.Record
	for range n {
		id := iot.DeviceID(len(w.sent)%5 + 1)
		records = append(records, event.Record(w.cfg.Topic, reading(id, len(w.sent))))
		w.sent = append(w.sent, id)
	}
	w.send(t, records...)
}

func (w *world) send(t testing.TB, records ...kafka.Record) {
	t.Helper()
	if err := kafkatest.Send(t.Context(), w.sender, records...); err != nil {
		t.Fatal(err)
	}
}

// reading returns the reading of a number.
func reading(id iot.DeviceID, n int) iot.Reading {
	return iot.Reading{
		Device: id, At: time.UnixMilli(1_700_000_000_000 + int64(n)).UTC(), Stamped: iot.StampDevice,
		Metrics: []iot.Metric{{Name: "n", Value: float64(n)}},
	}
}

// registry is the devices of a world.
type registry struct {
	mu      sync.Mutex
	away    error
	devices map[iot.DeviceID]iot.Device
	looks   int
}

func (r *registry) source() live.Devices {
	appendName := func(dst []byte, d iot.Device) []byte { return fmt.Appendf(dst, `{"id":%d,"name":%q}`, d.ID, d.Name) }
	return live.Devices{List: r.list, Append: appendName, Compared: appendName}
}

func (r *registry) list(_ context.Context, q iot.DeviceQuery) (page []iot.Device, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if q.After == 0 {
		r.looks++
	}
	for _, id := range slices.Sorted(maps.Keys(r.devices)) {
		if id > q.After && len(page) < q.Limit {
			page = append(page, r.devices[id])
		}
	}
	return page, r.away
}

func (r *registry) set(id iot.DeviceID, name string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.devices[id] = (iot.Device{ID: id, Name: name}); name == "" {
		delete(r.devices, id)
	}
}

// fail has the registry be away, or with nil come back.
func (r *registry) fail(err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.away = err
}

// event is what a client got.
type got struct{ kind, data, id string }

// client is one who follows what happens, and comes back where it was cut off.
type client struct {
	t       testing.TB
	filter  live.Filter
	network string

	mu     sync.Mutex
	text   []byte // of an event that did not come whole
	at     string // the id of the last event
	events []got  // that have data
	beats  int
	budget int // bytes until the connection breaks; 0: it does not
	broken bool
	hold   chan struct{}
}

var errCut = errors.New("the connection broke")

// listen follows a hub until the returned function is called, which returns why it ended.
func (c *client) listen(h *live.Hub) (stop func() error) {
	c.mu.Lock()
	c.text = nil
	from := c.at
	c.mu.Unlock()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	var err error
	go func() {
		defer close(done)
		err = h.Listen(ctx, live.Client{Filter: c.filter, From: from, Network: c.network, Send: c.take(ctx), Cut: cancel})
	}()
	stop = sync.OnceValue(func() error { cancel(); <-done; return err })
	c.t.Cleanup(func() { _ = stop() })
	return stop
}

// take takes what is sent, until the connection breaks.
func (c *client) take(ctx context.Context) func(text []byte) error {
	return func(text []byte) error {
		if c.hold != nil {
			select {
			case <-c.hold:
			case <-ctx.Done():
				return errCut
			}
		}
		c.mu.Lock()
		defer c.mu.Unlock()
		var err error
		if c.budget > 0 {
			if c.budget -= len(text); c.budget <= 0 {
				text, err, c.budget, c.broken = text[:len(text)+c.budget], errCut, 0, true
			}
		}
		c.text = append(c.text, text...)
		for {
			block, rest, whole := bytes.Cut(c.text, []byte("\n\n"))
			if !whole {
				return err
			}
			c.text = rest
			c.read(block)
		}
	}
}

func (c *client) read(block []byte) {
	var e got
	for line := range bytes.Lines(block) {
		name, value, _ := bytes.Cut(bytes.TrimSuffix(line, []byte("\n")), []byte(": "))
		switch string(name) {
		case "event":
			e.kind = string(value)
		case "data":
			e.data = string(value)
		case "id":
			e.id = string(value)
		case "":
			c.beats++
		default:
			c.t.Errorf("line %q", line)
		}
	}
	if e.id == "" {
		c.t.Errorf("without a place: %q", block)
	}
	c.at = e.id
	if e.kind != "" {
		c.events = append(c.events, e)
	}
}

// place waits until the client knows a place.
func (c *client) place() string {
	c.t.Helper()
	at := ""
	kafkatest.Eventually(c.t, kafkatest.Timeout, "a place", func() bool {
		c.mu.Lock()
		defer c.mu.Unlock()
		at = c.at
		return at != ""
	})
	return at
}

// wait waits until so many events of a kind came, and returns the data of all that did.
func (c *client) wait(kind string, n int) []string {
	c.t.Helper()
	var data []string
	kafkatest.Eventually(c.t, kafkatest.Timeout, fmt.Sprintf("%d events %s", n, kind), func() bool {
		data = c.data(kind)
		return len(data) >= n
	})
	return data
}

// data returns the data of all events of a kind.
func (c *client) data(kind string) (data []string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, e := range c.events {
		if e.kind == kind {
			data = append(data, e.data)
		}
	}
	return data
}

// numbers returns the values of all readings that came.
func (c *client) numbers() (ns []int) {
	for _, data := range c.data("reading") {
		var r struct {
			Metrics struct{ N int }
		}
		if err := json.Unmarshal([]byte(data), &r); err != nil {
			c.t.Errorf("%s: %v", data, err)
		}
		ns = append(ns, r.Metrics.N)
	}
	return ns
}

// wantAll checks that each reading from a number on that was published came once, those of a device in their order.
func (w *world) wantAll(t testing.TB, c *client, from int) {
	t.Helper()
	c.wait("reading", len(w.sent)-from)
	last := map[iot.DeviceID]int{}
	seen := make([]int, len(w.sent))
	for _, n := range c.numbers() {
		seen[n]++
		id := w.sent[n]
		if n < last[id] {
			t.Errorf("reading %d of device %d came after %d", n, id, last[id])
		}
		last[id] = n
	}
	for n, times := range seen {
		want := 1
		if n < from {
			want = 0
		}
		if times != want {
			t.Errorf("reading %d came %d times", n, times)
		}
	}
}

// between returns what is between two texts in the data of so many events of a kind, sorted.
func (c *client) between(kind string, n int, left, right string) (all []string) {
	for _, data := range c.wait(kind, n) {
		_, text, _ := strings.Cut(data, left)
		text, _, _ = strings.Cut(text, right)
		all = append(all, text)
	}
	slices.Sort(all)
	return all
}

// breakAfter has the connection break after so many bytes; 0: not.
func (c *client) breakAfter(bytes int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.budget, c.broken = bytes, false
}

func (c *client) isCut() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.broken
}

// wantResyncs checks how often the client was told to ask anew.
func (c *client) wantResyncs(n int) {
	c.t.Helper()
	if got := len(c.data("resync")); got != n {
		c.t.Errorf("%d times told to ask anew, want %d", got, n)
	}
}

// looked waits until a hub has looked at all devices as they are now.
func (r *registry) looked(t testing.TB) {
	t.Helper()
	looks := func() int {
		r.mu.Lock()
		defer r.mu.Unlock()
		return r.looks
	}
	before := looks()
	kafkatest.Eventually(t, kafkatest.Timeout, "a look at the devices", func() bool { return looks() >= before+2 })
}
