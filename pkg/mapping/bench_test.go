package mapping_test

import (
	"encoding/json"
	"fmt"
	"testing"

	"github.com/telltale-iot/telltale/pkg/mapping"
)

// message is 300 bytes of a device with several sensors.
const message = `{"Time":"2026-11-27T01:30:00","AHT2X":{"Temperature":21.4,"Humidity":44.1,"DewPoint":8.7},"BMP280":{"Temperature":21.9,"Pressure":1013.2},` +
	`"ENERGY":{"TotalStartTime":"2026-01-01T00:00:00","Total":17.02,"Power":[4,11],"Voltage":231,"Current":0.07},"Switch1":"OFF","PressureUnit":"hPa","TempUnit":"C"}`

func BenchmarkDecode(b *testing.B) {
	set := load(b)
	m := mapping.Message{Payload: []byte(message), Received: received}
	var d mapping.Decoder
	var result mapping.Result
	b.SetBytes(int64(len(message)))
	b.ReportAllocs()
	for b.Loop() {
		route, _ := set.Match("tele/boiler_room/SENSOR")
		result.Readings, result.Rejected = result.Readings[:0], result.Rejected[:0]
		for d.Start(route, m); d.More(); {
			d.Next(&result)
		}
		if len(result.Readings) != 1 || len(result.Omitted) > 0 {
			b.Fatalf("%+v", result)
		}
	}
}

// BenchmarkValid is what the standard library takes to see that the same message is JSON.
func BenchmarkValid(b *testing.B) {
	b.SetBytes(int64(len(message)))
	for b.Loop() {
		if !json.Valid([]byte(message)) {
			b.Fatal("invalid")
		}
	}
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
