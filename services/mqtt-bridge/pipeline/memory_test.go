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

	"github.com/telltale-iot/telltale/pkg/kafka"
	"github.com/telltale-iot/telltale/pkg/kafka/producer"
	"github.com/telltale-iot/telltale/services/mqtt-bridge/budget"
)

// testPipeline is one whose Kafka never answers.
func testPipeline(share *budget.Share) *Pipeline {
	log, registry := slog.New(slog.DiscardHandler), prometheus.NewRegistry()
	cfg := kafka.Config{Topic: "raw-data"}
	filters := Filters{SplitFilter("sensors/data")}
	return New(cfg, producer.New(cfg, log, registry), filters, share, log, registry)
}

// What waits for Kafka takes no more memory than the budget says.
func TestMemoryInFlight(t *testing.T) {
	client := strings.Repeat("c", 256) // of a connection
	repeat := func(element string, n int) string { return "[" + strings.Repeat(element+",", n-1) + element + "]" }
	for name, text := range map[string]string{
		"a reading":                  `{"device_id": 1, "temperature": 21.5, "humidity": 40, "timestamp": "2026-01-02T03:04:05.678Z"}`,
		"a small reading":            `{"device_id":1,"a":1}`,
		"junk":                       "x",
		"a batch of readings":        repeat(`{"device_id": 1, "temperature": 21.5, "humidity": 40, "room": "lab"}`, 5000),
		"a batch of small readings":  repeat(`{"device_id":1,"a":1}`, 10_000),
		"a batch of junk":            repeat("1", 10_000),
		"a batch of many metrics":    repeat(`{"device_id":1`+strings.Repeat(`,"a":1`, 50)+`}`, 500),
		"a batch of long rejections": repeat(`{"device_id":"`+strings.Repeat("x", 100)+`"}`, 5000),
	} {
		t.Run(name, func(t *testing.T) {
			share := budget.NewShare(4 << 20)
			p := testPipeline(share)
			heap := func() int {
				runtime.GC()
				runtime.GC()
				var m runtime.MemStats
				runtime.ReadMemStats(&m)
				return int(m.HeapAlloc)
			}
			before, n := heap(), 0
			for {
				m := Message{Topic: "sensors/data", Client: client, Payload: []byte(text)}
				if _, ok := p.Reserve(m); !ok {
					break
				}
				p.Metrics.Receive(1)
				p.Handle(m, func(error) {})
				n++
			}
			took, counted := heap()-before, share.Used()
			if took > counted*5/4 {
				t.Errorf("%d messages take %d bytes, and %d are counted", n, took, counted)
			}
			runtime.KeepAlive(p)
		})
	}
}

// A long batch waits for Kafka a part at a time, where its source may be kept waiting.
func TestLongBatch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		share := budget.NewShare(1 << 20)
		p := testPipeline(share)
		p.MayBlock = true
		m := Message{Topic: "sensors/data", Payload: []byte("[" + strings.Repeat("1,", 9999) + "1]")}
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
		if state := p.producer.State(); !strings.HasPrefix(state, fmt.Sprint(batchWindow, " records")) {
			t.Errorf("the producer has %s, want %d", state, batchWindow)
		}
		if n, most := share.Used(), len(m.Topic)+len(m.Payload)+batchWindow*deadLetterBytes; n != most {
			t.Errorf("%d bytes are taken, want %d", n, most)
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
}
