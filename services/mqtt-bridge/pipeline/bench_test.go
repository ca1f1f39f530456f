package pipeline

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/telltale-iot/telltale/services/mqtt-bridge/budget"
)

// BenchmarkHandle takes the time of a message from its receipt to the producer's queue, and that of json.Valid for its
// payload (valid-ns/op), which tells how busy the machine is.
func BenchmarkHandle(b *testing.B) {
	for _, bench := range []struct{ name, topic, text string }{
		{"legacy", "sensors/data", `{"device_id": 42, "temperature": 21.5, "humidity": 40.25, "timestamp": "2026-01-02T03:04:05.678Z"}`},
		{"device in the topic", "sensors/42/data", `{"temperature": 21.5, "humidity": 40.25, "timestamp": "2026-01-02T03:04:05.678Z"}`},
	} {
		b.Run(bench.name, func(b *testing.B) {
			payload := []byte(bench.text)
			b.ReportAllocs()
			p, n := testPipeline(b, budget.NewShare(1<<40)), 0
			for b.Loop() {
				if n++; n%10_000 == 0 { // what waits for Kafka is no part of it
					b.StopTimer()
					p = testPipeline(b, budget.NewShare(1<<40))
					b.StartTimer()
				}
				m := p.Message(bench.topic, Sender{Client: "client"}, payload, false)
				if _, ok := p.Reserve(m); !ok {
					b.Fatal("there is no room")
				}
				p.Handle(m, func(error) {})
			}
			start := time.Now()
			for range b.N {
				json.Valid(payload)
			}
			b.ReportMetric(float64(time.Since(start).Nanoseconds())/float64(b.N), "valid-ns/op")
		})
	}
}
