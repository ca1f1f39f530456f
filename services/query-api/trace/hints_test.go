package trace

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/telltale-iot/telltale/pkg/event"
	"github.com/telltale-iot/telltale/pkg/iot"
)

var now = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

func ago(d time.Duration) time.Time { return now.Add(-d) }

// stored is a reading that arrived at a time, and that its device stamped with another one.
func stored(received, at time.Time) *iot.Reading {
	return &iot.Reading{Device: 42, At: at, Received: received, Stamped: iot.StampDevice}
}

func letter(reason iot.Reason, detail string, received time.Time) iot.DeadLetter {
	return iot.DeadLetter{Rejection: iot.Rejection{Reason: reason, Detail: detail}, Source: "sensors/42/data", Received: received}
}

// A device that does not appear has hints, the likeliest first.
func TestHints(t *testing.T) {
	listening := Seen{Running: true, Listens: true}
	message := func(d event.SeenDevice, c ...Connection) Seen {
		s := listening
		d.Device = 42
		s.Last, s.Connections = d, c
		return s
	}
	client := func(since, until time.Time, refused string) Connection {
		return Connection{event.SeenClient{ID: "thermo", Since: since, Until: until, Refused: refused}, "bridge-1"}
	}
	connected := func(c ...Connection) Seen { return Seen{Running: true, Listens: true, Connections: c} }
	const hour = time.Hour
	unregistered := "No device is registered as 42: it will be with its first reading."
	for _, tt := range []struct {
		name string
		e    Evidence
		want []string
	}{
		{"nothing is known, and devices connect to Telltale", Evidence{Seen: listening}, []string{
			"No message that names it is known.",
			"No client is known whose id or user is 42: is it connected to this address and port?",
			unregistered,
		}},
		{"nothing is known, and Telltale reads from a broker", Evidence{Seen: Seen{Running: true}, Registered: true}, []string{
			"No message that names it is known.",
			"Telltale reads from a broker, which knows whether the device is connected, and what it publishes.",
		}},
		{"no bridge runs", Evidence{Registered: true}, []string{
			"No mqtt-bridge has said within 3 min that it runs: what is published over MQTT is not taken then.",
			"No message that names it is known.",
		}},
		{"it is connected, and says nothing", Evidence{Seen: connected(client(ago(hour), time.Time{}, "")), Registered: true}, []string{
			"Its client thermo is connected since 2026-03-01T11:00:00Z, and has published nothing that names it.",
			"No message that names it is known.",
		}},
		{"it is connected, and publishes on a topic that nobody reads", Evidence{
			Seen: connected(client(ago(hour), time.Time{}, "")), Registered: true,
			NearMisses: []event.Ignored{{Topic: "sensor/42/data", Last: ago(time.Minute), Hint: "did you mean sensors/42/data?"}},
		}, []string{"It publishes on sensor/42/data, which nobody reads: did you mean sensors/42/data? (60 s ago)."}},
		{"it published where nobody reads, and is read now", Evidence{
			Registered: true, Online: true, LastSeen: ago(time.Second), Stored: stored(ago(time.Second), ago(2*time.Second)),
			Seen:       message(event.SeenDevice{Topic: "sensors/42/data", At: ago(time.Second)}),
			NearMisses: []event.Ignored{{Topic: "sensor/42/data", Last: ago(hour)}},
		}, []string{"Nothing is wrong that Telltale knows of: its last reading arrived 1 s ago."}},
		{"a stranger's junk does not hide what became of its messages", Evidence{
			Registered: true, Seen: message(event.SeenDevice{Topic: "sensors/42/data", At: ago(hour), DeadLetter: true}),
			DeadLetters: []iot.DeadLetter{letter(iot.ReasonNoMetrics, "no number", ago(hour))},
			NearMisses:  []event.Ignored{{Topic: "junk/42", Last: ago(time.Second)}},
		}, []string{
			"Its last message, on sensors/42/data 60 min ago, became a dead letter: no_metrics (no number).",
			"It publishes on junk/42, which nobody reads (1 s ago).",
		}},
		{"a dead letter that is not stored yet", Evidence{
			Registered: true, Seen: message(event.SeenDevice{Topic: "sensors/42/data", At: now, DeadLetter: true}),
			DeadLetters: []iot.DeadLetter{letter(iot.ReasonNoMetrics, "no number", ago(hour))},
		}, []string{"Its last message, on sensors/42/data just now, became a dead letter."}},
		{"dead letters of before do not count", Evidence{
			Registered: true, Online: true, LastSeen: now, Seen: message(event.SeenDevice{Topic: "sensors/42/data", At: now}),
			DeadLetters: []iot.DeadLetter{letter(iot.ReasonNoMetrics, "no number", ago(hour))},
		}, []string{"Nothing is wrong that Telltale knows of: its last reading arrived just now."}},
		{"readings that are too old", Evidence{
			Registered:  true,
			Seen:        message(event.SeenDevice{Topic: "sensors/42/data", At: ago(time.Minute), Clock: ago(9000 * 24 * hour)}),
			DeadLetters: []iot.DeadLetter{letter(iot.ReasonTooOld, "before 2025-03-01", ago(time.Minute))},
		}, []string{
			"Its readings are rejected as too old (before 2025-03-01): its clock may be wrong, or it sends what it kept for longer than readings are.",
			"Its clock is 8999 days behind, or it sent what it had kept.",
		}},
		{"a clock ahead", Evidence{
			Registered: true, Online: true, LastSeen: now, Seen: listening,
			Stored: &iot.Reading{At: now, Received: now, Stamped: iot.StampServer, Said: "2026-03-01T14:30:00Z"},
		}, []string{"Its clock is 2 h ahead: its readings are stored under the time at which they came."}},
		{"a clock that was never set", Evidence{
			Registered: true, Online: true, LastSeen: now, Stored: stored(ago(hour), ago(hour)),
			Seen: message(event.SeenDevice{Topic: "t", At: now, Clock: time.Unix(5, 0)}),
		}, []string{"Its clock is 20513 days behind: its readings are stored under the time at which they came."}},
		{"a clock that was never set, after the bridge was started again", Evidence{
			Registered: true, Online: true, LastSeen: now, Seen: listening,
			Stored: &iot.Reading{At: now, Received: now, Stamped: iot.StampServer, Said: "1970-01-01T00:00:05Z"},
		}, []string{"Its clock is 20513 days behind: its readings are stored under the time at which they came."}},
		{"a clock behind, and nobody stored it yet", Evidence{
			Registered: true, Online: true, LastSeen: now, Seen: message(event.SeenDevice{Topic: "t", At: now, Clock: ago(3 * hour)}), Stored: stored(ago(hour), ago(hour)),
		}, []string{"Its clock is 3 h behind, or it sent what it had kept: its readings are stored under its own times."}},
		{"a client that is refused", Evidence{Registered: true, Seen: connected(client(ago(hour), ago(time.Minute), "client id too long"))}, []string{
			"Its client thermo was refused 60 s ago: client id too long.",
			"No message that names it is known.",
		}},
		{"silent, and its client has left", Evidence{
			Registered: true, OfflineAfter: time.Minute, LastSeen: ago(3 * hour), Stored: stored(ago(3*hour), ago(3*hour)),
			Seen: message(event.SeenDevice{Topic: "t", At: ago(3 * hour)}, client(ago(4*hour), ago(2*hour), "")),
		}, []string{"It is silent: its last reading arrived 3 h ago, which counts as offline after 60 s, and its client thermo left 2 h ago."}},
		{"silent, behind a broker", Evidence{Registered: true, OfflineAfter: time.Minute, LastSeen: ago(3 * hour), Seen: Seen{Running: true}}, []string{
			"It is silent: its last reading arrived 3 h ago, which counts as offline after 60 s.",
			"Telltale reads from a broker, which knows whether the device is connected, and what it publishes.",
		}},
		{"known from a file only", Evidence{Registered: true, OfflineAfter: time.Minute, Seen: listening, Stored: stored(ago(50*hour), ago(50*hour))}, []string{
			"It has sent nothing itself since Telltale notes that: what is stored of it is older, or is from a file or a dead letter.",
		}},
		{"silent, and deleted", Evidence{OfflineAfter: time.Minute, Seen: listening, Stored: stored(ago(50*hour), ago(50*hour))}, []string{
			"It is silent: its last reading arrived 2 days ago, which counts as offline after 60 s.",
			"No device is registered as 42, though there are readings of it: it will be again with the next one.",
		}},
		{"a member that is left out", Evidence{
			Registered: true, Online: true, LastSeen: now, Seen: message(event.SeenDevice{Topic: "sensors/42/data", At: now}),
			NearMisses: []event.Ignored{{Topic: "sensors/42/data", Member: "temperature", Hint: "it is no number", Last: now}},
		}, []string{"Its readings are kept without the member temperature: it is no number."}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			tt.e.Now, tt.e.Device.ID = now, 42
			if got := tt.e.Hints(); !slices.Equal(got, tt.want) {
				t.Errorf("it says\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(tt.want, "\n"))
			}
		})
	}

	t.Run("another name", func(t *testing.T) {
		e := Evidence{
			Now: now, Device: Name{ID: iot.KeyID("kitchen-1"), Key: "kitchen-1"}, Registered: true,
			Seen:       Seen{Running: true, Similar: []string{"sensors/kitchne-1/data"}},
			NearMisses: []event.Ignored{{Topic: "sensor/kitchn-1/data", Last: ago(time.Minute), Hint: "did you mean sensors/kitchn-1/data?"}},
		}
		want := []string{
			"Somebody publishes on sensor/kitchn-1/data, which nobody reads: did you mean sensors/kitchn-1/data? (60 s ago).",
			"Messages of a device with almost the same name come on sensors/kitchne-1/data.",
		}
		if got := e.Hints(); !slices.Equal(got[:2], want) {
			t.Errorf("it says\n%s", strings.Join(got, "\n"))
		}
	})
}

// The last message is the newest that was read; one that nobody reads only where there is no other.
func TestLastMessage(t *testing.T) {
	junk := event.Ignored{Topic: "junk/42", ClientID: "stranger", Last: now}
	seen := event.SeenDevice{Device: 42, Topic: "sensors/42/data", At: ago(time.Hour), Clients: []string{"thermo", "before"}}
	for _, tt := range []struct {
		name string
		e    Evidence
		want *Message
	}{
		{"none", Evidence{}, nil},
		{"that of a bridge", Evidence{Seen: Seen{Last: seen}, NearMisses: []event.Ignored{junk}}, &Message{"sensors/42/data", "thermo", ago(time.Hour), "reading"}},
		{"a later dead letter, which the store made", Evidence{Seen: Seen{Last: seen}, DeadLetters: []iot.DeadLetter{letter(iot.ReasonConflict, "", ago(time.Hour))}},
			&Message{"sensors/42/data", "", ago(time.Hour), "dead_letter"}},
		{"an ignored one", Evidence{NearMisses: []event.Ignored{{Topic: "junk/43", Last: now}, junk}}, &Message{"junk/42", "stranger", now, "ignored"}},
		{"none on a topic that is only similar", Evidence{NearMisses: []event.Ignored{{Topic: "junk/43", Last: now}}}, nil},
	} {
		tt.e.Device.ID = 42
		if got := tt.e.LastMessage(); (got == nil) != (tt.want == nil) || got != nil && *got != *tt.want {
			t.Errorf("%s: %+v, want %+v", tt.name, got, tt.want)
		}
	}
}

func TestNames(t *testing.T) {
	device := func(name string) Name {
		id, key, err := iot.ParseDevice(name)
		if err != nil {
			t.Fatal(err)
		}
		return Name{id, key}
	}
	for _, tt := range []struct {
		name, topic  string
		names, alike bool
	}{
		{"42", "sensors/42/data", true, true},
		{"42", "sensors/421/data", false, false},
		{"42", "sensors/24/data", false, false},
		{"kitchen-1", "tele/kitchen-1/SENSOR", true, true},
		{"kitchen-1", "tele/Kitchen_1/SENSOR", false, true},
		{"kitchen-1", "tele/kitchne-1/SENSOR", false, true},
		{"kitchen-1", "tele/kitchen-2/SENSOR", false, false}, // which is another one
		{"kitchen-1", "tele/ktchn-1x/SENSOR", false, false},
		{"room", "tele/rom/SENSOR", false, true},
		{"lab", "tele/lib/SENSOR", false, false}, // short names are similar to all
		{"a/b", "x/a/b/y", true, false},
		{"a/b", "xa/by", false, false},
		{"", "//", false, false},
	} {
		n := Name{}
		if tt.name != "" {
			n = device(tt.name)
		}
		if got := n.Names(tt.topic); got != tt.names {
			t.Errorf("that %s names %s is %v", tt.topic, tt.name, got)
		}
		if got := n.likeOneIn(tt.topic); got != tt.alike {
			t.Errorf("that %s is like %s is %v", tt.topic, tt.name, got)
		}
	}
	hinted := []event.Ignored{{Topic: "dat/x", Hint: "did you mean sensors/42/data?"}, {Topic: "dat/y", Hint: "did you mean sensors/43/data?"}}
	if got := device("42").NearMisses(hinted); len(got) != 1 || got[0].Topic != "dat/x" {
		t.Errorf("by its hint: %+v", got)
	}
}

// A device is asked for by the name in its topic or by that in its messages, where these differ.
func TestSent(t *testing.T) {
	const long = 1<<52 + 1 // in a float64 it has an exponent
	for _, tt := range []struct {
		name   Name
		reason iot.Reason
		bytes  string
		want   bool
	}{
		{Name{ID: 42}, iot.ReasonInvalidJSON, `{`, true}, // by the topic
		{Name{ID: 7}, iot.ReasonDeviceIDMismatch, `{"device_id": 7, "x": 1}`, true},
		{Name{ID: long}, iot.ReasonDeviceIDMismatch, `{"device_id": 4503599627370497}`, true},
		{Name{ID: 9, Key: "gardenx"}, iot.ReasonDeviceIDMismatch, `{"device_id": "gardenx"}`, true},
		{Name{ID: 9, Key: "garden"}, iot.ReasonDeviceIDMismatch, `{"device_id": "gardenx"}`, false},
		{Name{ID: 7}, iot.ReasonDeviceIDMismatch, "\xa1", false},
		{Name{ID: 7}, iot.ReasonNoMetrics, `{"device_id": 7}`, false},
	} {
		d := letter(tt.reason, "", ago(0))
		d.Bytes = []byte(tt.bytes)
		if got := tt.name.Sent(d); got != tt.want {
			t.Errorf("%s of %s (%s): %t", tt.name, tt.bytes, tt.reason, got)
		}
	}
}
