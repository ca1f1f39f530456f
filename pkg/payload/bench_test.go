package payload_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/telltale-iot/telltale/pkg/iot"
	"github.com/telltale-iot/telltale/pkg/payload"
)

const legacy = `{"device_id": 42, "temperature": 21.5, "humidity": 40.25, "timestamp": "2026-01-02T03:04:05.678Z"}`

func BenchmarkDecodeLegacy(b *testing.B) {
	benchmarkDecode(b, 1, payload.Message{Payload: []byte(legacy)})
}

// 298 bytes of a device with more to tell.
func BenchmarkDecodeLong(b *testing.B) {
	benchmarkDecode(b, 1, payload.Message{Payload: []byte(`{"device_id": 42, "temperature": 21.5, "humidity": 40.25, "pressure": 1013.25, "co2": 417, "battery": 3.71, ` +
		`"illuminance": 120, "noise": 38.5, "door": false, "motion": true, "rssi": -71, "voltage": 231.4, "current": 0.07, "power": 4.1, ` +
		`"energy": 17.02, "timestamp": "2026-01-02T03:04:05.678901+00:00"}`)})
}

func BenchmarkDecodeBatch(b *testing.B) {
	elements := make([]string, 100)
	for i := range elements {
		elements[i] = strings.Replace(legacy, "05.678Z", fmt.Sprintf("05.%03dZ", i), 1)
	}
	benchmarkDecode(b, len(elements), payload.Message{Payload: []byte("[" + strings.Join(elements, ",\n") + "]")})
}

func BenchmarkDecodeThingsBoard(b *testing.B) {
	benchmarkDecode(b, 1, payload.Message{
		DeviceID: "42",
		Payload:  []byte(`{"ts":1767323045678,"values":{"temperature":21.5,"humidity":40.25,"battery":3.71,"firmware":"1.4.2"}}`),
	})
}

// benchmarkDecode decodes m, which holds n readings, and reports the readings per second, and what the standard library
// needs to see that it is JSON (valid-ns/op), which tells how busy the machine is.
func benchmarkDecode(b *testing.B, n int, m payload.Message) {
	m.Received = time.Date(2026, 1, 2, 3, 4, 6, 0, time.UTC)
	out := payload.Result{Readings: make([]iot.Reading, 0, n)}
	b.SetBytes(int64(len(m.Payload)))
	b.ReportAllocs()
	for b.Loop() {
		out.Readings = out.Readings[:0]
		payload.Decode(m, &out)
		if len(out.Readings) != n || len(out.Rejected)+len(out.Omitted) > 0 {
			b.Fatalf("%+v", out)
		}
	}
	b.ReportMetric(float64(n*b.N)/b.Elapsed().Seconds(), "readings/s")
	start := time.Now()
	for range b.N {
		json.Valid(m.Payload)
	}
	b.ReportMetric(float64(time.Since(start).Nanoseconds())/float64(b.N), "valid-ns/op")
}
