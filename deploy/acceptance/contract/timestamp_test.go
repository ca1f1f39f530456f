package contract

import (
	"fmt"
	"maps"
	"strings"
	"testing"
	"time"
)

func TestTimestamps(t *testing.T) {
	for _, test := range []struct{ name, timestamp, want string }{
		{"RFC 3339 in UTC", `"2024-02-29T12:34:56Z"`, "2024-02-29T12:34:56.000Z"},
		{"a zone east", `"2024-02-29T12:34:56+02:00"`, "2024-02-29T10:34:56.000Z"},
		{"a zone west with minutes, over midnight", `"2024-02-29T23:34:56-03:30"`, "2024-03-01T03:04:56.000Z"},
		{"a zone in the basic form of ISO 8601", `"2024-02-29T12:34:56+0200"`, "2024-02-29T10:34:56.000Z"},
		{"a zone in hours", `"2024-02-29T12:34:56+02"`, "2024-02-29T10:34:56.000Z"},
		{"no zone is UTC", `"2024-02-29T12:34:56"`, "2024-02-29T12:34:56.000Z"},
		{"a space for the T", `"2024-02-29 12:34:56Z"`, "2024-02-29T12:34:56.000Z"},
		{"a space and no zone", `"2024-02-29 12:34:56.5"`, "2024-02-29T12:34:56.500Z"},
		{"as Python's isoformat() writes it", `"2024-02-29T12:34:56.123456"`, "2024-02-29T12:34:56.123Z"},
		{"one fraction digit", `"2024-02-29T12:34:56.1Z"`, "2024-02-29T12:34:56.100Z"},
		{"nine fraction digits", `"2024-02-29T12:34:56.123400000Z"`, "2024-02-29T12:34:56.123Z"},
		{"twenty fraction digits", `"2024-02-29T12:34:56.12300000000000000000+01:00"`, "2024-02-29T11:34:56.123Z"},
		{"a comma before the fraction, as in ISO 8601", `"2024-02-29T12:34:56,123Z"`, "2024-02-29T12:34:56.123Z"},
		{"epoch seconds", `1709210096`, "2024-02-29T12:34:56.000Z"},
		{"epoch seconds with a fraction", `1709210096.25`, "2024-02-29T12:34:56.250Z"},
		{"epoch milliseconds", `1709210096123`, "2024-02-29T12:34:56.123Z"},
		{"epoch microseconds", `1709210096123400`, "2024-02-29T12:34:56.123Z"},
		{"epoch nanoseconds", `1709210096123400000`, "2024-02-29T12:34:56.123Z"},
		{"an epoch number with an exponent", `1.709210096123e12`, "2024-02-29T12:34:56.123Z"},
		{"the first moment of 2000", `"2000-01-01T00:00:00Z"`, "2000-01-01T00:00:00.000Z"},
		{"the first moment of 2000 in epoch seconds", `946684800`, "2000-01-01T00:00:00.000Z"},
		{"the first moment of 2000 in epoch nanoseconds", `946684800000000000`, "2000-01-01T00:00:00.000Z"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			got := stamped(t, fmt.Sprintf(`, "timestamp": %s`, test.timestamp))
			if got.Time != test.want || got.Source != "device" {
				t.Errorf("timestamp %s of the %s, want %s of the device", got.Time, got.Source, test.want)
			}
		})
	}
	t.Run("under 5 minutes ahead", func(t *testing.T) {
		t.Parallel()
		want := time.Now().Add(4 * time.Minute).UTC().Format("2006-01-02T15:04:05.000Z")
		got := stamped(t, fmt.Sprintf(`, "timestamp": %q`, want))
		if got.Time != want || got.Source != "device" {
			t.Errorf("timestamp %s of the %s, want %s of the device", got.Time, got.Source, want)
		}
	})
}

// TestOtherTimestamps gives a time under the other names that are read as timestamp where there is none.
func TestOtherTimestamps(t *testing.T) {
	const early, late = "2024-02-29T12:34:56.000Z", "2024-02-29T12:34:57.000Z"
	for _, test := range []struct {
		name, members, want string
		metrics             map[string]float64
	}{
		{"time", `, "time": "2024-02-29T12:34:56Z"`, early, nil},
		{"Time", `, "Time": "2024-02-29T12:34:56"`, early, nil},
		{"ts", `, "ts": 1709210096000`, early, nil},
		{"datetime", `, "datetime": "2024-02-29 12:34:56"`, early, nil},
		{"last_seen", `, "last_seen": 1709210096`, early, nil},
		{"a number as text", `, "time": "1709210096"`, early, nil},
		{"beside a null", `, "timestamp": null, "time": 1709210096`, early, nil},
		{"beside a timestamp", `, "time": 1709210096, "timestamp": 1709210097`, late, map[string]float64{"time": 1709210096}},
		{"the first of two", `, "last_seen": 1709210097, "time": 1709210096`, early, map[string]float64{"last_seen": 1709210097}},
		{"what does not look like a time", `, "time": 17, "last_seen": 1709210096`, early, map[string]float64{"time": 17}},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			got := stamped(t, test.members)
			if got.Time != test.want || got.Source != "device" {
				t.Errorf("timestamp %s of the %s, want %s of the device", got.Time, got.Source, test.want)
			}
			if !maps.Equal(got.Metrics, test.metrics) || got.Attributes != nil {
				t.Errorf("metrics %v and attributes %v, want metrics %v", got.Metrics, got.Attributes, test.metrics)
			}
		})
	}
}

func TestTimestampsThatCannotBeUsed(t *testing.T) {
	ahead := time.Now().Add(7 * time.Minute)
	for _, test := range []struct{ name, members string }{
		{"no timestamp", ``},
		{"null", `, "timestamp": null`},
		{"an empty string", `, "timestamp": ""`},
		{"a string that is no time", `, "timestamp": "yesterday"`},
		{"a day that does not exist", `, "timestamp": "2023-02-29T12:34:56Z"`},
		{"an hour that does not exist", `, "timestamp": "2023-02-28T25:34:56Z"`},
		{"a boolean", `, "timestamp": true`},
		{"an array", `, "timestamp": [2024, 2, 29]`},
		{"NaN", `, "timestamp": NaN`},
		{"a clock that was never set, by another name", `, "time": "1970-01-01T00:00:12"`},
		{"an object", `, "timestamp": {"$date": 1709210096123}`},
		{"zero", `, "timestamp": 0`},
		{"a negative number", `, "timestamp": -1709210096`},
		{"the uptime of a device without a clock", `, "timestamp": 86400`},
		{"a number beyond nanoseconds", `, "timestamp": 1e30`},
		{"the last moment of 1999", `, "timestamp": "1999-12-31T23:59:59.999Z"`},
		{"the last moment of 1999 in epoch ms", `, "timestamp": 946684799999`},
		{"over 5 minutes ahead", fmt.Sprintf(`, "timestamp": %q`, ahead.Format(time.RFC3339))},
		{"over 5 minutes ahead in epoch seconds", fmt.Sprintf(`, "timestamp": %d`, ahead.Unix())},
		{"over 5 minutes ahead in epoch nanoseconds", fmt.Sprintf(`, "timestamp": %d`, ahead.UnixNano())},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			const skew = time.Minute // between this clock and that of the deployment
			before := time.Now().Add(-skew)
			got := stamped(t, test.members)
			after := time.Now().Add(skew)
			if at := instant(t, got.Time); got.Source != "server" || at.Before(before) || at.After(after) {
				t.Errorf("timestamp %s of the %s, want now, of the server", got.Time, got.Source)
			}
			none := !strings.Contains(test.members, ":") || strings.HasSuffix(test.members, "null") || strings.HasSuffix(test.members, `""`)
			if none != (got.Said == "") || !strings.Contains(test.members, got.Said) {
				t.Errorf("device_timestamp %q of%s", got.Said, test.members)
			}
			if got.Attributes != nil || got.Metrics != nil {
				t.Errorf("what the timestamp held became part of the reading: %+v", got)
			}
		})
	}
}

// stamped publishes a reading with further members, and returns what is stored.
func stamped(t *testing.T, members string) reading {
	t.Helper()
	device := newDevice()
	publish(t, topicOf(device), fmt.Sprintf(`{"temperature": 1%s}`, members))
	produced(t, device, 1)
	waitForConsumers(t)
	got := readingsOf(t, device)
	if len(got) != 1 {
		t.Fatalf("%d readings, want 1: %v", len(got), got)
	}
	return got[0]
}
