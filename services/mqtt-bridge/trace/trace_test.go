package trace

import (
	"fmt"
	"log/slog"
	"net"
	"runtime"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/telltale-iot/telltale/pkg/event"
	"github.com/telltale-iot/telltale/pkg/heaptest"
	"github.com/telltale-iot/telltale/pkg/iot"
	"github.com/telltale-iot/telltale/pkg/kafka"
)

var noon = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

func newSeen() *Seen {
	return New(kafka.Config{Topic: "raw-data"}, "bridge-1", true, slog.New(slog.DiscardHandler))
}

// told returns what is told at a time, but for that the replica runs.
func told(t testing.TB, s *Seen, now time.Time) (devices []event.SeenDevice, clients []event.SeenClient) {
	t.Helper()
	records, _ := s.due(now)
	for _, rec := range records {
		seen, err := event.ReadSeen(rec.Value)
		if err != nil {
			t.Fatal(err)
		}
		if seen.Replica != "bridge-1" || !seen.Listens || !seen.Started.Equal(s.started) {
			t.Errorf("%+v", seen)
		}
		devices, clients = append(devices, seen.Devices...), append(clients, seen.Clients...)
	}
	return devices, clients
}

// What is new is told within seconds, that it goes on once a minute, and all of it again before it is over.
func TestTold(t *testing.T) {
	s := newSeen()
	start := time.Now()
	at := func(after time.Duration) []event.SeenDevice { d, _ := told(t, s, start.Add(after)); return d }
	if got := at(0); got != nil {
		t.Errorf("%+v of nothing", got)
	}
	s.Device(42, "sensors/42/data", "one", noon, 0, false)
	want := event.SeenDevice{Device: 42, Topic: "sensors/42/data", At: noon, Clients: []string{"one"}}
	if diff := cmp.Diff([]event.SeenDevice{want}, at(0)); diff != "" {
		t.Errorf("of a device (-want +got):\n%s", diff)
	}
	s.Device(42, "sensors/42/data", "one", noon.Add(time.Second), noon.UnixMilli(), false)
	if got := at(movedAfter - 1); got != nil {
		t.Errorf("that it goes on is told at once: %+v", got)
	}
	want.At, want.Clock = noon.Add(time.Second), noon
	if diff := cmp.Diff([]event.SeenDevice{want}, at(movedAfter)); diff != "" {
		t.Errorf("of one that goes on (-want +got):\n%s", diff)
	}
	s.Device(42, "tele/42/SENSOR", "two", noon.Add(2*time.Second), 0, true)
	if got := at(movedAfter + newsAfter - 1); got != nil {
		t.Errorf("what is new is told each moment: %+v", got)
	}
	want = event.SeenDevice{Device: 42, Topic: "tele/42/SENSOR", At: noon.Add(2 * time.Second), DeadLetter: true, Clients: []string{"two", "one"}}
	if diff := cmp.Diff([]event.SeenDevice{want}, at(movedAfter+newsAfter)); diff != "" {
		t.Errorf("of another topic (-want +got):\n%s", diff)
	}
	if got := at(movedAfter + newsAfter + againAfter - 1); got != nil {
		t.Errorf("what is old is told again too soon: %+v", got)
	}
	if diff := cmp.Diff([]event.SeenDevice{want}, at(movedAfter+newsAfter+againAfter)); diff != "" {
		t.Errorf("of one that is silent (-want +got):\n%s", diff)
	}
	if againAfter+time.Minute > event.SeenFor {
		t.Error("what is old is told too late for those who read")
	}
}

// However much is new, four records a second are told, and each part in its turn.
func TestPace(t *testing.T) {
	s := newSeen()
	now := time.Now()
	parts := map[int]int{}
	for second := range 32 {
		for id := range iot.DeviceID(2000) {
			s.Device(id+1, fmt.Sprint("sensors/", second), "one", noon, 0, false)
		}
		records, more := s.due(now.Add(time.Duration(second) * time.Second))
		if !more {
			t.Error("it is not asked again")
		}
		n := 0
		for _, rec := range records {
			seen, err := event.ReadSeen(rec.Value)
			if err != nil {
				t.Fatal(err)
			}
			if seen.Part > 0 {
				parts[seen.Part]++
				n++
			}
		}
		if n != perTick {
			t.Errorf("%d records in a second", n)
		}
	}
	if len(parts) != 64 || slices.Max(slices.Collect(func(yield func(int) bool) {
		for _, n := range parts {
			if !yield(n) {
				return
			}
		}
	})) != 2 {
		t.Errorf("%d parts are told: %v", len(parts), parts)
	}
}

func TestClients(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSeen()
		address := &net.TCPAddr{IP: net.IPv4(10, 0, 0, 7), Port: 1883}
		client := func() Client {
			time.Sleep(time.Second)
			return Client{ID: "thermo", User: "me", Protocol: "MQTT 5", Address: address, Since: time.Now()}
		}
		telling := time.Now()
		want := func(since, until time.Time, refused string) {
			t.Helper()
			telling = telling.Add(time.Hour)
			_, got := told(t, s, telling)
			want := event.SeenClient{ID: "thermo", User: "me", Address: "10.0.0.7:1883", Protocol: "MQTT 5", Since: millis(since), Refused: refused}
			if !until.IsZero() {
				want.Until = millis(until)
			}
			if diff := cmp.Diff([]event.SeenClient{want}, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		}
		first := client()
		s.Connected(first)
		want(first.Since, time.Time{}, "")
		second := client()
		s.Connected(second)
		s.Left(first, "") // it was replaced
		want(second.Since, time.Time{}, "")
		s.Left(client(), "too many connections") // it took the place of none
		want(second.Since, time.Time{}, "")
		s.Left(second, "packet too long")
		want(second.Since, time.Now(), "packet too long")
		third := client()
		s.Left(third, "client id too long")
		want(third.Since, third.Since, "client id too long")
	})
}

// TestAllocations: a message like the last of its device costs none.
func TestAllocations(t *testing.T) {
	s := newSeen()
	long := strings.Repeat("t", 60_000)
	for _, topic := range []string{"sensors/42/data", long} {
		message := func() { s.Device(42, topic, topic, noon, 1, false) }
		message()
		if n := testing.AllocsPerRun(100, message); n != 0 {
			t.Errorf("%v allocations for a topic of %d bytes", n, len(topic))
		}
	}
}

// TestBounds: whatever strangers publish, and whoever connects.
func TestBounds(t *testing.T) {
	address := &net.TCPAddr{IP: net.ParseIP("2001:db8::1234:5678:9abc:def0"), Port: 65535}
	for name, length := range map[string]int{"short texts": 12, "long texts": 60_000} {
		many := 20_000
		if length > 100 {
			many = 2000
		}
		t.Run(name, func(t *testing.T) {
			before := heaptest.InUse()
			s := newSeen()
			packet := strings.Repeat("x", length)
			for i := range many {
				text := fmt.Sprintf("%d/%s", i, packet) // of its own, as what is in a packet
				s.Device(iot.DeviceID(i+1), text, text[1:], noon.Add(time.Duration(i)*time.Millisecond), 1, i%2 == 0)
				s.Device(iot.DeviceID(i+1), text, text[2:], noon.Add(time.Duration(i)*time.Millisecond), 1, i%2 == 0)
				c := Client{ID: text, User: text, Protocol: "MQTT 5", Address: address, Since: noon}
				s.Connected(c)
				s.Left(c, text)
			}
			n := heaptest.InUse() - before
			if n > 2<<20+256<<10 {
				t.Errorf("it takes %d KiB", n>>10)
			}
			devices, clients, told := 0, 0, 0
			for i := range s.parts {
				p := &s.parts[i]
				in := 0
				for _, d := range p.devices {
					in += d.bytes()
				}
				if in != p.inDevices || in > maxBytes {
					t.Fatalf("%d bytes are counted for devices that take %d", p.inDevices, in)
				}
				in = 0
				for id, c := range p.clients {
					in += c.bytes(id)
				}
				if in != p.inClients || in > maxBytes {
					t.Fatalf("%d bytes are counted for clients that take %d", p.inClients, in)
				}
				devices, clients = devices+len(p.devices), clients+len(p.clients)
				rec, err := p.tell(noon).Record("t")
				if err != nil {
					t.Fatal(err)
				}
				told = max(told, len(rec.Value))
			}
			t.Logf("%d devices and %d clients take %d KiB; the longest record has %d bytes", devices, clients, n>>10, told)
			if told > event.MaxSeenBytes {
				t.Errorf("a record of %d bytes", told)
			}
			runtime.KeepAlive(s)
		})
	}
}

// What was seen longest ago makes room: of clients those that are gone before those that are there.
func TestForgotten(t *testing.T) {
	s := newSeen()
	address := &net.TCPAddr{IP: net.IPv4(10, 0, 0, 7), Port: 1883}
	stays := Client{ID: "stays", Address: address, Protocol: "MQTT 5", Since: noon}
	s.Connected(stays)
	const many = 10_000
	for i := range many {
		c := Client{ID: fmt.Sprint("client-", i), Address: address, Protocol: "MQTT 5", Since: noon.Add(time.Duration(i+1) * time.Second)}
		s.Connected(c)
		s.Left(c, "")
		s.Device(iot.DeviceID(i+1), "sensors/data", "client", c.Since, 0, false)
	}
	last, there := false, false
	for i := range s.parts {
		_, oldest := s.parts[i].devices[1]
		if oldest {
			t.Error("the device that was seen first is there")
		}
		_, newest := s.parts[i].devices[many]
		_, stays := s.parts[i].clients["stays"]
		last, there = last || newest, there || stays
	}
	if !last || !there {
		t.Errorf("the last device is there: %v; the client that has not left: %v", last, there)
	}
}

func BenchmarkDevice(b *testing.B) {
	s := newSeen()
	b.ReportAllocs()
	for b.Loop() {
		s.Device(42, "sensors/42/data", "client", noon, 1, false)
	}
}
