package contract

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestPayload publishes a payload and compares what the API shows, oldest first, without the device and the time.
func TestPayload(t *testing.T) {
	type members map[string]any
	temperature := func(v float64) members { return members{"temperature": v} }
	for _, test := range []struct {
		name, payload string // D is the device
		want          []members
	}{
		{"a JSON object", `{"device_id": D, "temperature": 21.5, "humidity": 40}`, []members{{"temperature": 21.5, "humidity": 40.0}}},
		{"white space around it", " \r\n\t{ \"temperature\" : 1 }\n ", []members{temperature(1)}},
		{"a byte order mark before it", "\ufeff" + `{"temperature": 1}`, []members{temperature(1)}},
		{"NUL bytes after it", `{"temperature": 1}` + "\x00\x00", []members{temperature(1)}},
		{"NUL bytes and white space after it", `[{"temperature": 1}]` + "\x00 \r\n\x00", []members{temperature(1)}},
		{"NaN among good ones", `{"temperature": NaN, "humidity": 3}`, []members{{"humidity": 3.0}}},
		{"nan and Infinity among good ones", `{"humidity": 3, "a": nan, "b": Infinity, "c": -Infinity, "d": -inf}`, []members{{"humidity": 3.0}}},
		{"NaN and Infinity as text among good ones", `{"humidity": 3, "a": "NaN", "b": "nan", "c": "Infinity", "d": "-inf"}`, []members{{"humidity": 3.0}}},
		{"a number beyond floats among good ones", `{"humidity": 3, "a": 1e400}`, []members{{"humidity": 3.0}}},
		{"objects and arrays among good ones", `{"humidity": 3, "position": {"lat": 1, "lon": 2}, "history": [1, 2, 3]}`, []members{{"humidity": 3.0}}},
		{"objects and arrays among the metrics", `{"metrics": {"co2": 400, "position": {"lat": 1}, "history": [1, 2, 3], "x": NaN}}`,
			[]members{{"metrics": map[string]float64{"co2": 400}}}},
		{"a deep array among good ones", `{"humidity": 3, "deep": ` + strings.Repeat("[", 1000) + strings.Repeat("]", 1000) + `}`, []members{{"humidity": 3.0}}},
		{"an empty name among good ones", `{"humidity": 3, "": 1}`, []members{{"humidity": 3.0}}},
		{"a name of 256 bytes among good ones", `{"humidity": 3, "` + strings.Repeat("n", 256) + `": 1}`, []members{{"humidity": 3.0}}},
		{"a temperature that is a string, and a humidity", `{"temperature": "warm", "humidity": 3}`, []members{{"humidity": 3.0}}},
		{"a number written as a text is an attribute", `{"temperature": 1, "level": "52.6"}`,
			[]members{{"temperature": 1.0, "attributes": map[string]string{"level": "52.6"}}}},
		{"an array of objects is a batch", `[{"temperature": 1, "timestamp": 1709164801}, {"temperature": 2, "timestamp": 1709164802}]`,
			[]members{temperature(1), temperature(2)}},
		{"an array of one", `[{"temperature": 1}]`, []members{temperature(1)}},
		{"temperature alone", `{"temperature": -40}`, []members{temperature(-40)}},
		{"humidity alone", `{"humidity": 0}`, []members{{"humidity": 0.0}}},
		{"a number is a further metric", `{"temperature": 1, "pressure": 1013.25}`, []members{{"temperature": 1.0, "metrics": map[string]float64{"pressure": 1013.25}}}},
		{"a further metric alone is enough", `{"pressure": 1013.25}`, []members{{"metrics": map[string]float64{"pressure": 1013.25}}}},
		{"a boolean is a metric, 1 or 0", `{"door": true, "window": false}`, []members{{"metrics": map[string]float64{"door": 1, "window": 0}}}},
		{"a string is an attribute", `{"temperature": 1, "firmware": "1.2"}`, []members{{"temperature": 1.0, "attributes": map[string]string{"firmware": "1.2"}}}},
		{"a string of digits is an attribute", `{"temperature": 1, "serial": "007"}`, []members{{"temperature": 1.0, "attributes": map[string]string{"serial": "007"}}}},
		{"an empty string is an attribute", `{"temperature": 1, "note": ""}`, []members{{"temperature": 1.0, "attributes": map[string]string{"note": ""}}}},
		{"an object under metrics is read the same way", `{"metrics": {"temperature": 1, "co2": 400, "open": true, "unit": "C", "none": null}}`,
			[]members{{"temperature": 1.0, "metrics": map[string]float64{"co2": 400, "open": 1}, "attributes": map[string]string{"unit": "C"}}}},
		{"members beside an object under metrics", `{"temperature": 1, "metrics": {"co2": 400}, "site": "x"}`,
			[]members{{"temperature": 1.0, "metrics": map[string]float64{"co2": 400}, "attributes": map[string]string{"site": "x"}}}},
		{"null is ignored", `{"temperature": null, "humidity": 3, "pressure": null, "timestamp": null, "metrics": null}`, []members{{"humidity": 3.0}}},
		{"ThingsBoard form", `{"ts": 1709164801000, "values": {"temperature": 1, "co2": 400, "open": true, "unit": "C"}}`,
			[]members{{"temperature": 1.0, "metrics": map[string]float64{"co2": 400, "open": 1}, "attributes": map[string]string{"unit": "C"}}}},
		{"a batch in ThingsBoard form", `[{"ts": 1709164801000, "values": {"temperature": 1}}, {"ts": 1709164802000, "values": {"temperature": 2}}]`,
			[]members{temperature(1), temperature(2)}},
		{"numbers with exponents", `{"temperature": 1.5e1, "small": 1E-300, "large": 1e300}`,
			[]members{{"temperature": 15.0, "metrics": map[string]float64{"small": 1e-300, "large": 1e300}}}},
		{"an integer over 2^53", `{"count": 9007199254740993}`, []members{{"metrics": map[string]float64{"count": 9007199254740992}}}},
		{"text in UTF-8 and in escapes", `{"temperature": 1, "site": "Zürich \ud83c\udf21 \"x\"", "größe": 2}`,
			[]members{{"temperature": 1.0, "metrics": map[string]float64{"größe": 2}, "attributes": map[string]string{"site": "Zürich 🌡 \"x\""}}}},
		{"an escape in a member's name", `{"temper\u0061ture": 1}`, []members{temperature(1)}},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			device := newDevice()
			publish(t, topicOf(device), strings.ReplaceAll(test.payload, "D", strconv.FormatInt(device, 10)))
			produced(t, device, len(test.want))
			waitForConsumers(t)
			var got []members
			for _, r := range get[[]members](t, fmt.Sprintf("/api/readings/?device_id=%d", device)) {
				delete(r, "device_id")
				delete(r, "timestamp")
				delete(r, "timestamp_source")
				got = append(got, r)
			}
			slices.Reverse(got)
			if diff := cmp.Diff(withNulls(test.want), got, jsonMaps); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// withNulls adds what every reading has.
func withNulls[M ~map[string]any](readings []M) []M {
	for _, r := range readings {
		for _, name := range []string{"temperature", "humidity"} {
			if _, ok := r[name]; !ok {
				r[name] = nil
			}
		}
	}
	return readings
}

// jsonMaps makes maps equal to what they are after a way through JSON.
var jsonMaps = cmp.FilterValues(func(a, b any) bool { return asMap(a) != nil && asMap(b) != nil },
	cmp.Comparer(func(a, b any) bool { return cmp.Equal(asMap(a), asMap(b)) }))

func asMap(v any) map[string]any {
	m := map[string]any{}
	switch v := v.(type) {
	case map[string]any:
		return v
	case map[string]float64:
		for k, x := range v {
			m[k] = x
		}
	case map[string]string:
		for k, x := range v {
			m[k] = x
		}
	default:
		return nil
	}
	return m
}

func TestDeviceIDs(t *testing.T) {
	for _, test := range []struct {
		name, id string
		want     int64
	}{
		{"the least is 1", "1", 1},
		{"the greatest is 2^53-1", "9007199254740991", 1<<53 - 1},
		{"the greatest as a numeric string", `"9007199254740991"`, 1<<53 - 1},
	} {
		// One after the other: two readings of a device in the same millisecond are a conflict.
		t.Run(test.name, func(t *testing.T) {
			mark := newDevice() // distinguishes this reading from those of other runs
			publish(t, "sensors/data", fmt.Sprintf(`{"device_id": %s, "mark": %d}`, test.id, mark))
			eventually(t, func() error {
				path := fmt.Sprintf("/api/readings/?device_id=%d&limit=50", test.want)
				if !slices.ContainsFunc(get[[]reading](t, path), func(r reading) bool {
					return r.Device == test.want && r.Metrics["mark"] == float64(mark)
				}) {
					return fmt.Errorf("no reading with mark %d", mark)
				}
				return nil
			})
		})
	}
	t.Run("one batch may hold readings of many devices", func(t *testing.T) {
		t.Parallel()
		devices := []int64{newDevice(), newDevice(), newDevice()}
		var batch []string
		for _, d := range devices {
			batch = append(batch, fmt.Sprintf(`{"device_id": %d, "temperature": 1}`, d))
		}
		publish(t, "sensors/data", "["+strings.Join(batch, ",")+"]")
		for _, d := range devices {
			produced(t, d, 1)
		}
		waitForConsumers(t)
		for _, d := range devices {
			if got := readingsOf(t, d); len(got) != 1 || got[0].Device != d {
				t.Errorf("device %d has %v", d, got)
			}
		}
	})
}
