package mapping_test

import (
	"encoding/json"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/tools/txtar"
	"google.golang.org/protobuf/encoding/protowire"

	"github.com/telltale-iot/telltale/pkg/mapping"
)

// message is 300 bytes of a device with several sensors.
const message = `{"Time":"2026-11-27T01:30:00","AHT2X":{"Temperature":21.4,"Humidity":44.1,"DewPoint":8.7},"BMP280":{"Temperature":21.9,"Pressure":1013.2},` +
	`"ENERGY":{"TotalStartTime":"2026-01-01T00:00:00","Total":17.02,"Power":[4,11],"Voltage":231,"Current":0.07},"Switch1":"OFF","PressureUnit":"hPa","TempUnit":"C"}`

// BenchmarkDecode takes the time of messages as devices send them, the length of each, and what the standard library
// needs to see that it is JSON (valid-ns/op), which tells how busy the machine is.
func BenchmarkDecode(b *testing.B) {
	set := load(b)
	b.Run("300 bytes", func(b *testing.B) { benchmarkDecode(b, set, "tele/boiler_room/SENSOR", message) })
	if first := decodeOrdered(set, "homeassistant/sensor/attic/config", []byte(`{"dev":{"ids":"attic"},"stat_t":"my/attic","val_tpl":"{{ value_json.t }}"}`)); len(first.Rejected) > 0 {
		b.Fatal(first)
	}
	b.Run("my/attic", func(b *testing.B) { benchmarkDecode(b, set, "my/attic", `{"t":21.5,"battery":90}`) })
	b.Run("spBv1.0", func(b *testing.B) {
		birth := nbirth(1, metric("Temperature", 1, 10).double(13, 1), metric("count", 2, 3).varint(10, 5), metric("mode", 3, 12).bytes(15, "auto"))
		data := sparkplug(-1, metric("", 1, 0).double(13, 21.5), metric("", 2, 0).varint(10, 7), metric("", 3, 0).bytes(15, "auto"))
		decodeOrdered(set, "spBv1.0/plant/NBIRTH/press", birth)
		route, _ := set.Match("spBv1.0/plant/NDATA/press")
		var d mapping.Decoder
		var result mapping.Result
		b.ReportAllocs()
		for i := 1; b.Loop(); i++ {
			m := protowire.AppendVarint(append(data[:len(data):len(data)], 3<<3), uint64(i%256))
			result.Readings = result.Readings[:0]
			for d.Start(route, mapping.Message{Payload: m, Received: received, Ordered: true}); d.More(); {
				d.Next(&result)
			}
			if len(result.Readings) != 1 || len(result.Rejected) > 0 {
				b.Fatalf("%+v", result)
			}
		}
	})
	for _, name := range []string{"senml", "tasmota", "zigbee2mqtt", "shelly", "lorawan", "gateways"} {
		archive, err := txtar.ParseFile(filepath.Join("testdata", name+".txtar"))
		if err != nil {
			b.Fatal(err)
		}
		for _, section := range archive.Files {
			line, _, _ := strings.Cut(string(section.Data), "\n")
			if result, _ := decode(set, section.Name, mapping.Message{Payload: []byte(line), Received: received}); len(result.Readings) > 0 && len(result.Rejected)+len(result.Omitted) == 0 {
				b.Run(section.Name, func(b *testing.B) { benchmarkDecode(b, set, section.Name, line) })
			}
		}
	}
}

func decodeOrdered(set *mapping.Set, topic string, payload []byte) mapping.Result {
	result, _ := decode(set, topic, mapping.Message{Payload: payload, Received: received, Ordered: true})
	return result
}

func benchmarkDecode(b *testing.B, set *mapping.Set, topic, text string) {
	m := mapping.Message{Payload: []byte(text), Received: received}
	var d mapping.Decoder
	var result mapping.Result
	b.SetBytes(int64(len(text)))
	b.ReportAllocs()
	for b.Loop() {
		route, _ := set.Match(topic)
		result.Readings, result.Rejected = result.Readings[:0], result.Rejected[:0]
		for d.Start(route, m); d.More(); {
			d.Next(&result)
		}
		if len(result.Readings) == 0 || len(result.Rejected)+len(result.Omitted) > 0 {
			b.Fatalf("%+v", result)
		}
	}
	start := time.Now()
	for range b.N {
		json.Valid(m.Payload)
	}
	b.ReportMetric(float64(time.Since(start).Nanoseconds())/float64(b.N), "valid-ns/op")
}

// BenchmarkMatch finds the rule for a topic among hundreds.
func BenchmarkMatch(b *testing.B) {
	text := ""
	for i := range 500 {
		text += fmt.Sprintf("- {name: r%d, topic: 'plant/{line}/machine%d/{device}/+'}\n", i, i)
	}
	set := loadText(b, text)
	b.ReportAllocs()
	for b.Loop() {
		if _, ok := set.Match("plant/3/machine499/press/temperature"); !ok {
			b.Fatal("no match")
		}
	}
}
