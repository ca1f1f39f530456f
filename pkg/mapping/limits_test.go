package mapping_test

import (
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/telltale-iot/telltale/pkg/iot"
	"github.com/telltale-iot/telltale/pkg/mapping"
)

const plain = "- {name: plain, topic: 'x/{device}'}\n- {name: each, topic: 'each', each: '', device: '{key}'}\n"

// members is an object with n members, within others that have a name of a length.
func members(n, length int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, `,"%d":%d`, i, i)
	}
	inner := "{" + b.String()[1:] + "}"
	if length > 0 {
		return fmt.Sprintf(`{"%s":%s}`, strings.Repeat("n", length), inner)
	}
	return inner
}

func TestLimits(t *testing.T) {
	set := loadText(t, plain)
	note := func(size int) string {
		const frame = `{"x":1,"note":""}`
		return fmt.Sprintf(`{"x":1,"note":"%s"}`, strings.Repeat("n", size-len(frame)))
	}
	batch := func(n int) string { return "[" + strings.Repeat(`{"x":1},`, n-1) + `{"x":1}]` }
	devices := func(n int) string {
		var b strings.Builder
		for i := range n {
			fmt.Fprintf(&b, `,"d%d":[{"x":1}]`, i)
		}
		return "{" + b.String()[1:] + "}"
	}
	for _, tt := range []struct {
		name, topic, payload string
		readings             int
		reason               iot.Reason
		omitted              int
	}{
		{"almost 1 MiB is read", "x/d", note(1<<20 - 1), 1, "", 0},
		{"more are too large", "x/d", note(1<<20 + 1), 0, iot.ReasonTooLarge, 0},
		{"10,000 readings in a batch are read", "x/d", batch(10_000), 10_000, "", 0},
		{"more are too large", "x/d", batch(10_001), 0, iot.ReasonTooLarge, 0},
		{"10,000 devices are read", "each", devices(10_000), 10_000, "", 0},
		{"more are too large", "each", devices(10_001), 0, iot.ReasonTooLarge, 0},
		{"1,000 members are read", "x/d", members(1000, 0), 1, "", 0},
		{"more are too large", "x/d", members(1001, 0), 0, iot.ReasonTooLarge, 0},
		{"a neighbour of too many is read", "x/d", "[" + members(1001, 0) + `,{"x":1}]`, 1, iot.ReasonTooLarge, 0},
		{"a name of 255 bytes is read", "x/d", members(1, 253), 1, "", 0},
		{"a longer one is left out", "x/d", strings.TrimSuffix(members(1, 254), "}") + `,"y":1}`, 1, "", 1},
		{"not all that is left out is told", "x/d", `{"x":1,` + strings.Repeat(`"":1,`, 900) + `"y":1}`, 1, "", 16},
		{"names and texts of a reading are less than a million bytes", "x/d", strings.TrimSuffix(members(900, 250), "}") + `,"note":"` + strings.Repeat("n", 900_000) + `"}`, 0, iot.ReasonTooLarge, 0},
		{"half a million open brackets are an unfinished text", "x/d", strings.Repeat("[", 500_000), 0, iot.ReasonInvalidJSON, 0},
		{"and closed, no object", "x/d", strings.Repeat("[", 500_000) + strings.Repeat("]", 500_000), 0, iot.ReasonNotAnObject, 0},
		{"and behind a value, too deep", "x/d", `{"x":1,"y":` + strings.Repeat("[", 400_000) + strings.Repeat("]", 400_000) + `}`, 1, "", 1},
		{"and among devices, no objects", "each", `{"a":` + strings.Repeat("[", 400_000) + strings.Repeat("]", 400_000) + `,"b":{"x":1}}`, 1, iot.ReasonNotAnObject, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			result, _ := decode(set, tt.topic, mapping.Message{Payload: []byte(tt.payload), Received: received})
			if len(result.Readings) != tt.readings || len(result.Omitted) != tt.omitted {
				t.Errorf("%d readings, want %d; without %d, want %d", len(result.Readings), tt.readings, len(result.Omitted), tt.omitted)
			}
			var reason iot.Reason
			for _, r := range result.Rejected {
				reason = r.Reason
			}
			if reason != tt.reason || len(result.Rejected) > 1 {
				t.Errorf("%d rejections for %q, want %q", len(result.Rejected), reason, tt.reason)
			}
			for _, r := range result.Readings {
				if err := r.Validate(); err != nil {
					t.Fatal(err)
				}
			}
		})
	}
}

// What a step appends is in proportion to decode.StepBytes, whatever the length of the message.
func TestLongMessagesTakeSteps(t *testing.T) {
	set := loadText(t, plain)
	var b strings.Builder
	for b.Len() < 900_000 {
		b.WriteString(`,` + members(500, 250))
	}
	for _, tt := range []struct{ name, text string }{
		{"names that are repeated", "[" + b.String()[1:] + "]"},
		{"few bytes", "[" + strings.Repeat("1,", 9999) + "1]"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			route, _ := set.Match("x/d")
			var d mapping.Decoder
			steps, readings, rejected := 0, 0, 0
			for d.Start(route, mapping.Message{Payload: []byte(tt.text), Received: received}); d.More(); steps++ {
				var result mapping.Result
				d.Next(&result)
				size := len(result.Rejected)
				for _, r := range result.Readings {
					size += r.ContentBytes()
				}
				if size > 40*(64<<10) {
					t.Errorf("%d bytes in one step", size)
				}
				readings += len(result.Readings)
				rejected += len(result.Rejected)
			}
			if steps < 10 || readings+rejected < 100 {
				t.Errorf("%d readings and %d rejections in %d steps", readings, rejected, steps)
			}
		})
	}
	t.Run("a mistake at the end costs all of it, before any of it is handed out", func(t *testing.T) {
		for _, topic := range []string{"x/d", "each"} {
			text := "[" + strings.Repeat(`{"x":{"x":1}},`, 9000) + `{"x":{"x":1}}`
			result, _ := decode(set, topic, mapping.Message{Payload: []byte(text), Received: received})
			if len(result.Readings) > 0 || len(result.Rejected) != 1 || result.Rejected[0].Reason != iot.ReasonInvalidJSON {
				t.Errorf("%d readings, %d rejections", len(result.Readings), len(result.Rejected))
			}
		}
	})
}

// Readers are reused. What one message leaves behind must not be seen by the next, by whatever rule, on any goroutine.
func TestDecodingsDoNotDisturbEachOther(t *testing.T) {
	set := load(t)
	messages := []struct{ topic, text string }{
		{"tele/boiler_room/SENSOR", message},
		{"tele/boiler_room/SENSOR", message[:200]},
		{"tele/bridge/SENSOR", `{"ZbReceived":{"0x099F":{"Device":"0x099F","Temperature":8.1}}}`},
		{"zigbee2mqtt/kitchen/light", `{"temperature":"20.5","action":"\u0041","last_seen":"2026-11-27T01:00:00Z"}`},
		{"v1/gateway/telemetry", `{"A":[{"ts":1795742000000,"values":{"t":1}},{"values":2}],"B":7}`},
		{"shelly-1/events/rpc", `{"method":"NotifyStatus","params":{"ts":1795742000.5,"temperature:0":{"tC":NaN,"id":0}}}`},
		{"shelly-1/events/rpc", `{"method":"NotifyEvent"}`},
		{"home/g/BTtoMQTT/AA", `{"tempc":19.2,"hum":"52.6","":1}`},
		{"a/sensor/b/state", "21.5"},
		{"sensors/42/data", `[{"temperature":1},{"temperature":"x"}]`},
	}
	want := make([]mapping.Result, len(messages))
	for i, m := range messages {
		want[i], _ = decode(load(t), m.topic, mapping.Message{Payload: []byte(m.text), Received: received})
	}
	var wg sync.WaitGroup
	for g := range 8 {
		wg.Go(func() {
			for i := range 100 {
				n := (g + i) % len(messages)
				payload := []byte(messages[n].text)
				got, _ := decode(set, messages[n].topic, mapping.Message{Payload: payload, Received: received})
				if diff := cmp.Diff(want[n].Rejected, got.Rejected); diff != "" {
					t.Errorf("%s (-want +got):\n%s", messages[n].text, diff)
					return
				}
				clear(payload) // readings share no memory with it
				got.Rejected = want[n].Rejected
				if diff := cmp.Diff(want[n], got); diff != "" {
					t.Errorf("%s (-want +got):\n%s", messages[n].text, diff)
					return
				}
			}
		})
	}
	wg.Wait()
}
