package contract

import (
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"
)

func TestDeadLetters(t *testing.T) {
	for _, test := range []struct{ name, payload, reason string }{
		{"an empty payload", ``, "invalid_json"},
		{"no JSON", `temperature=21`, "invalid_json"},
		{"the end inside a value", `{"temperature": 1`, "invalid_json"},
		{"a comma too many", `{"temperature": 1,}`, "invalid_json"},
		{"a leading zero", `{"temperature": 01}`, "invalid_json"},
		{"a byte order mark behind a space", " \ufeff" + `{"temperature": 1}`, "invalid_json"},
		{"bytes of zero", "\x00\x00", "invalid_json"},
		{"bytes behind the value", `{"temperature": 1} x`, "trailing_bytes"},
		{"a byte of zero, and more, behind the value", `{"temperature": 1}` + "\x00x", "trailing_bytes"},
		{"two objects", `{"temperature": 1}{"temperature": 2}`, "trailing_bytes"},
		{"bytes that are not UTF-8", "{\"temperature\": 1, \"site\": \"Z\xfcrich\"}", "invalid_utf8"},
		{"half a surrogate pair", `{"temperature": 1, "site": "\ud83c"}`, "invalid_utf8"},
		{"a name twice", `{"temperature": 1, "temperature": 2}`, "duplicate_key"},
		{"a name twice, once in metrics", `{"temperature": 1, "metrics": {"temperature": 2}}`, "duplicate_key"},
		{"a name twice, once with an escape", `{"temperature": 1, "temper\u0061ture": 1}`, "duplicate_key"},
		{"a deep object", strings.Repeat(`{"a":`, 10_000) + "1" + strings.Repeat("}", 10_000), "too_deep"},
		{"NaN", `{"temperature": NaN}`, "not_a_number"},
		{"Infinity", `{"temperature": -Infinity}`, "not_a_number"},
		{"Infinity as text, and nothing else that is a number", `{"pressure": "Infinity", "site": "x"}`, "not_a_number"},
		{"a number beyond floats", `{"temperature": 1e400}`, "number_out_of_range"},
		{"a number", `21.5`, "not_an_object"},
		{"a string", `"21.5"`, "not_an_object"},
		{"null", `null`, "not_an_object"},
		{"an array in a member, and no metric", `{"position": [1, 2]}`, "invalid_member"},
		{"an object in a member, and no metric", `{"position": {"x": 1}, "site": "x"}`, "invalid_member"},
		{"an empty name alone", `{"": 1}`, "invalid_member"},
		{"a temperature that is a string", `{"temperature": "warm"}`, "invalid_member"},
		{"a temperature that is an array", `{"temperature": [21]}`, "invalid_member"},
		{"a device id of 0", `{"device_id": 0, "temperature": 1}`, "invalid_device_id"},
		{"a negative device id", `{"device_id": -1, "temperature": 1}`, "invalid_device_id"},
		{"a device id with a fraction", `{"device_id": 1.5, "temperature": 1}`, "invalid_device_id"},
		{"a device id of 2^53", `{"device_id": 9007199254740992, "temperature": 1}`, "invalid_device_id"},
		{"a device id that is a boolean", `{"device_id": true, "temperature": 1}`, "invalid_device_id"},
		{"an empty device id", `{"device_id": "", "temperature": 1}`, "invalid_device_id"},
		{"another device than the topic's", `{"device_id": 7, "temperature": 1}`, "device_id_mismatch"},
		{"another device than the topic's, as a string", `{"device_id": "7", "temperature": 1}`, "device_id_mismatch"},
		{"the key of a device, and the topic's id", `{"device_id": "kitchen", "temperature": 1}`, "device_id_mismatch"},
		{"an empty object", `{}`, "no_metrics"},
		{"attributes alone", `{"firmware": "1.2"}`, "no_metrics"},
		{"nulls alone", `{"temperature": null, "humidity": null}`, "no_metrics"},
		{"empty metrics", `{"metrics": {}}`, "no_metrics"},
		{"a time alone", `{"time": 1709164801}`, "no_metrics"},
		{"ThingsBoard form with no values", `{"ts": 1709164801000, "values": {}}`, "no_metrics"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			device := newDevice()
			publish(t, topicOf(device), test.payload)
			checkDeadLetter(t, waitForDeadLetters(t, topicOf(device), 1)[0], test.payload, test.reason)
			waitForConsumers(t)
			if got := readingsOf(t, device); len(got) != 0 {
				t.Errorf("it became a reading: %v", got)
			}
		})
	}
	t.Run("a topic with a device key of 256 bytes", func(t *testing.T) {
		t.Parallel()
		topic, payload := "sensors/"+strings.Repeat("k", 256)+"/data", fmt.Sprintf(`{"mark": %d}`, newDevice())
		publish(t, topic, payload)
		checkDeadLetter(t, findDeadLetter(t, payload), payload, "invalid_device_id")
	})
	t.Run("no device id at all", func(t *testing.T) {
		t.Parallel()
		payload := fmt.Sprintf(`{"mark": %d}`, newDevice())
		publish(t, "sensors/data", payload)
		rec := findDeadLetter(t, payload)
		checkDeadLetter(t, rec, payload, "missing_device_id")
		if rec.headers["source"] != "sensors/data" {
			t.Errorf("source %q", rec.headers["source"])
		}
	})
	t.Run("the key is the source's, where known", func(t *testing.T) {
		t.Parallel()
		device := newDevice()
		publish(t, "sensors/data", fmt.Sprintf(`{"device_id": %d, "site": "x"}`, device), fmt.Sprintf(`{"device_id": %d}`, device))
		eventually(t, func() error {
			key := strconv.FormatInt(device, 10)
			if n := len(sut.tail.find(sut.topic+".dlq", func(r record) bool { return string(r.Key) == key })); n != 2 {
				return fmt.Errorf("%d dead letters with key %s, want 2", n, key)
			}
			return nil
		})
	})
}

// findDeadLetter waits for the one dead letter of these bytes.
func findDeadLetter(t *testing.T, value string) (rec record) {
	t.Helper()
	eventually(t, func() error {
		found := sut.tail.find(sut.topic+".dlq", func(r record) bool { return string(r.Value) == value })
		if len(found) != 1 {
			return fmt.Errorf("%d dead letters %.200q, want 1", len(found), value)
		}
		rec = found[0]
		return nil
	})
	return rec
}

func checkDeadLetter(t *testing.T, rec record, value, reason string) {
	t.Helper()
	if string(rec.Value) != value {
		t.Errorf("value %.200q, want the exact bytes %.200q", rec.Value, value)
	}
	if rec.headers["reason"] != reason {
		t.Errorf("reason %s (%s), want %s", rec.headers["reason"], rec.headers["detail"], reason)
	}
	if rec.headers["detail"] == "" {
		t.Error("no detail")
	}
	at, err := time.Parse(time.RFC3339, rec.headers["received_at"])
	if age := time.Since(at); err != nil || age < -time.Minute || age > 2*time.Minute {
		t.Errorf("received_at %q, want about now in RFC 3339", rec.headers["received_at"])
	}
}

func TestBatchIsolation(t *testing.T) {
	for _, test := range []struct{ name, bad, reason string }{
		{"one that is no object", `21.5`, "not_an_object"},
		{"one that is null", `null`, "not_an_object"},
		{"one that is a batch itself", `[{"temperature": 5}]`, "not_an_object"},
		{"one without a metric", `{ "firmware" : "1.2" }`, "no_metrics"},
		{"one with a wrong device id", `{"device_id": -1,  "temperature": 1}`, "invalid_device_id"},
		{"one of another device", `{"device_id": 7, "temperature": 1}`, "device_id_mismatch"},
		{"one with nothing but an array in a member", `{"position": [1, 2]}`, "invalid_member"},
		{"one with a number beyond floats", `{"temperature": 1e400}`, "number_out_of_range"},
		{"one with a name twice", `{"temperature": 1, "temperature": 1}`, "duplicate_key"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			device := newDevice()
			publish(t, topicOf(device), fmt.Sprintf(`[{"temperature": 1, "timestamp": %q}, %s , {"temperature": 2, "timestamp": %q}]`, at(1), test.bad, at(2)))
			produced(t, device, 2)
			checkDeadLetter(t, waitForDeadLetters(t, topicOf(device), 1)[0], test.bad, test.reason)
			waitForConsumers(t)
			if got := readingsOf(t, device); len(got) != 2 {
				t.Errorf("%d readings, want both neighbours", len(got))
			}
		})
	}
	t.Run("a poisonous message does not block those behind it", func(t *testing.T) {
		t.Parallel()
		device := newDevice()
		publish(t, topicOf(device), `{`, `{"temperature": 1}`, "\x00", `[[[`, `{"temperature": 2}`)
		produced(t, device, 2)
		waitForDeadLetters(t, topicOf(device), 3)
	})
}
