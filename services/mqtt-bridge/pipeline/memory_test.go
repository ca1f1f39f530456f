package pipeline

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/telltale-iot/telltale/pkg/ignored"
	"github.com/telltale-iot/telltale/pkg/kafka"
	"github.com/telltale-iot/telltale/pkg/kafka/producer"
	"github.com/telltale-iot/telltale/pkg/mapping"
	"github.com/telltale-iot/telltale/services/mqtt-bridge/budget"
	"github.com/telltale-iot/telltale/services/mqtt-bridge/trace"
)

// testPipeline is one whose Kafka never answers.
func testPipeline(t testing.TB, share *budget.Share) *Pipeline {
	t.Helper()
	mappings, err := mapping.Config{}.Load()
	if err != nil {
		t.Fatal(err)
	}
	log, registry := slog.New(slog.DiscardHandler), prometheus.NewRegistry()
	cfg := kafka.Config{Topic: "raw-data"}
	return New(cfg, producer.New(cfg, log, registry), mappings, ignored.New(cfg, "", mappings.Hint, log), trace.New(cfg, "", false, log), share, log, registry)
}

// numbered returns n texts with commas between them.
func numbered(format string, n int) string {
	parts := make([]string, n)
	for i := range parts {
		parts[i] = fmt.Sprintf(format, i)
	}
	return strings.Join(parts, ",")
}

// What waits for Kafka takes no more memory than the budget says.
func TestMemoryInFlight(t *testing.T) {
	client := strings.Repeat("c", 256) // of a connection
	repeat := func(element string, n int) string { return "[" + strings.Repeat(element+",", n-1) + element + "]" }
	nested := `{"` + strings.Repeat("n", 200) + `":{%s}}`
	for name, text := range map[string]string{
		"a reading":                  `{"device_id": 1, "temperature": 21.5, "humidity": 40, "timestamp": "2026-01-02T03:04:05.678Z"}`,
		"a small reading":            `{"device_id":1,"a":1}`,
		"junk":                       "x",
		"a batch of readings":        repeat(`{"device_id": 1, "temperature": 21.5, "humidity": 40, "room": "lab"}`, 5000),
		"a batch of small readings":  repeat(`{"device_id":1,"a":1}`, 10_000),
		"a batch of junk":            repeat("1", 10_000),
		"a batch of many metrics":    repeat(`{"device_id":1,`+numbered(`"%d":1`, 50)+`}`, 500),
		"a batch of long rejections": repeat(`{"device_id":"`+strings.Repeat("x", 100)+`"}`, 5000),

		"an object of devices":        `{"ZbReceived":{` + numbered(`"%d":{"LinkQuality":1}`, 5000) + `}}`,
		"an object with junk in it":   `{"ZbReceived":{"0x":{"LinkQuality":1},` + numbered(`"%d":1`, 5000) + `}}`,
		"names repeated":              fmt.Sprintf(nested, numbered(`"%d":1`, 900)),
		"names repeated, few":         fmt.Sprintf(nested, numbered(`"%d":1`, 3)),
		"a batch with names repeated": repeat(fmt.Sprintf(nested, numbered(`"%d":1`, 100)), 100),
	} {
		t.Run(name, func(t *testing.T) {
			topic := "sensors/data"
			if strings.Contains(text, "ZbReceived") || strings.Contains(text, "nnn") {
				topic = "tele/bridge/SENSOR"
			}
			share := budget.NewShare(4 << 20)
			p := testPipeline(t, share)
			heap := func() int {
				runtime.GC()
				runtime.GC()
				var m runtime.MemStats
				runtime.ReadMemStats(&m)
				return int(m.HeapAlloc)
			}
			before, n := heap(), 0
			for {
				m := p.Message(topic, Sender{Client: client}, []byte(text), false)
				if _, ok := p.Reserve(m); !ok {
					break
				}
				p.Metrics.Receive(1)
				p.Handle(m, func(error) {})
				n++
			}
			took, counted := heap()-before, share.Used()
			t.Logf("%d messages take %d KiB, and %d are counted", n, took>>10, counted>>10)
			if took > counted*5/4 {
				t.Errorf("%d messages take %d bytes, and %d are counted", n, took, counted)
			}
			runtime.KeepAlive(p)
		})
	}
}

// The records of a long message wait for Kafka a part at a time, where its source may be kept waiting: as many as have room
// in the window, of which long ones take more.
func TestLongMessages(t *testing.T) {
	const long = 20 * placeBytes
	for _, tt := range []struct {
		name, topic, text string
		records           int // in flight
	}{
		{"many dead letters", "sensors/data", "[" + strings.Repeat("1,", 9999) + "1]", windowPlaces},
		{"many devices in an object", "tele/bridge/SENSOR", `{"ZbReceived":{` + numbered(`"%d":{"LinkQuality":1}`, 5000) + `}}`, windowPlaces},
		{"long readings", "sensors/1/data", "[" + numbered(`{"x":%d,"t":"`+strings.Repeat("t", long)+`"}`, 90) + "]", windowPlaces/21 + 1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				share := budget.NewShare(1 << 20)
				p := testPipeline(t, share)
				p.MayBlock = true
				m := p.Message(tt.topic, Sender{}, []byte(tt.text), false)
				if _, ok := p.Reserve(m); !ok {
					t.Fatal("there is no room")
				}
				p.Metrics.Receive(1)
				ctx, stop := context.WithCancel(t.Context())
				handled, done := make(chan struct{}), make(chan error, 1)
				go func() {
					p.Handle(m, func(err error) { done <- err })
					close(handled)
				}()
				synctest.Wait()
				if state := p.producer.State(); !strings.HasPrefix(state, fmt.Sprint(tt.records, " records")) {
					t.Errorf("the producer has %s, want %d", state, tt.records)
				}
				if n := share.Used(); n != m.cost() || n > len(tt.text)+stepBytes+windowBytes+len(tt.topic) {
					t.Errorf("%d bytes are taken", n)
				}
				stop() // the producer ends, and answers for all
				_ = p.producer.Run(ctx)
				<-handled
				if err := <-done; !errors.Is(err, producer.ErrClosed) {
					t.Errorf("done with %v", err)
				}
				if n := share.Used(); n != 0 {
					t.Errorf("%d bytes are taken when all is done", n)
				}
			})
		})
	}
}
