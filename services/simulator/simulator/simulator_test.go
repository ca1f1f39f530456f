package simulator

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/telltale-iot/telltale/pkg/daemon"
)

func TestReadingsReachTheBroker(t *testing.T) {
	b := startBroker(t, &broker{})
	path := ledgerFile(t)
	s := newSimulator(t, Config{URL: b.url, Devices: 5, FirstDevice: 40, Connections: 2, Count: 1003, Ledger: path})
	if err := s.Run(t.Context()); err != nil {
		t.Fatal(err)
	}
	messages := b.messages()

	t.Run("each once", func(t *testing.T) {
		if len(messages) != 1003 {
			t.Errorf("%d messages were received, want 1003", len(messages))
		}
	})
	t.Run("a device stays on one connection and on its topic, and its timestamps increase", func(t *testing.T) {
		client := map[int64]string{}
		last := map[int64]time.Time{}
		count := map[int64]int{}
		for _, m := range messages {
			r := parseReading(t, m.payload)
			if want := fmt.Sprintf("sensors/%d/data", r.Device); m.topic != want {
				t.Fatalf("topic %s, want %s", m.topic, want)
			}
			if c, ok := client[r.Device]; ok && c != m.client {
				t.Fatalf("device %d came from %s and %s", r.Device, c, m.client)
			}
			if !r.Timestamp.After(last[r.Device]) {
				t.Fatalf("device %d: %v after %v", r.Device, r.Timestamp, last[r.Device])
			}
			client[r.Device], last[r.Device] = m.client, r.Timestamp
			count[r.Device]++
		}
		want := map[int64]int{40: 201, 41: 201, 42: 201, 43: 200, 44: 200}
		if diff := cmp.Diff(want, count); diff != "" {
			t.Errorf("readings per device (-want +got):\n%s", diff)
		}
	})
	t.Run("the ledger holds what the broker received and acknowledged", func(t *testing.T) {
		sent, acknowledged := readLedger(t, path)
		if diff := cmp.Diff(sorted(payloads(messages)), sorted(sent)); diff != "" {
			t.Errorf("sent (-broker +ledger):\n%s", diff)
		}
		if diff := cmp.Diff(sorted(payloads(messages)), sorted(acknowledged)); diff != "" {
			t.Errorf("acknowledged (-broker +ledger):\n%s", diff)
		}
	})
	t.Run("the report adds up", func(t *testing.T) {
		r := s.Report()
		if r.Published != 1003 || r.Acknowledged != 1003 || r.Resent != 0 || r.Errors != 0 || r.Reconnects != 0 {
			t.Errorf("report:\n%s", r)
		}
		if p50, p99 := r.Latency(0.5), r.Latency(0.99); p50 <= 0 || p99 < p50 {
			t.Errorf("latency p50 %v, p99 %v", p50, p99)
		}
	})
}

func TestConnectionLostBeforeAcknowledgement(t *testing.T) {
	b := startBroker(t, &broker{decide: func(n int) decision {
		if n%40 == 39 {
			return cut
		}
		return acknowledge
	}})
	path := ledgerFile(t)
	s := newSimulator(t, Config{URL: b.url, Devices: 3, InFlight: 10, Count: 200, Ledger: path})
	if err := s.Run(t.Context()); err != nil {
		t.Fatal(err)
	}

	first := map[string]received{}
	var inOrder []string
	for _, m := range b.messages() {
		original, again := first[m.payload]
		if again {
			if !m.dup || m.id != original.id {
				t.Errorf("sent again with id %d and DUP %v, was %d: %s", m.id, m.dup, original.id, m.payload)
			}
			continue
		}
		first[m.payload] = m
		inOrder = append(inOrder, m.payload)
	}
	sent, acknowledged := readLedger(t, path)

	t.Run("every reading arrives, under the timestamp of its first sending", func(t *testing.T) {
		if len(inOrder) != 200 {
			t.Errorf("%d different readings arrived, want 200", len(inOrder))
		}
	})
	t.Run("readings arrive in the order in which they were sent", func(t *testing.T) {
		if diff := cmp.Diff(sent, inOrder); diff != "" {
			t.Errorf("(-sent +arrived):\n%s", diff)
		}
	})
	t.Run("each is once in the ledger, though sent more often", func(t *testing.T) {
		if diff := cmp.Diff(sorted(inOrder), sorted(acknowledged)); diff != "" {
			t.Errorf("(-arrived +acknowledged):\n%s", diff)
		}
	})
	t.Run("the report shows it", func(t *testing.T) {
		r := s.Report()
		if r.Reconnects < 4 || r.Errors < 4 || r.Resent < r.Reconnects || r.Acknowledged != 200 || r.Published != 200 {
			t.Errorf("report:\n%s", r)
		}
	})
}

func TestBrokerThatDoesNotAcknowledge(t *testing.T) {
	path := ledgerFile(t)
	b := &broker{}
	b.decide = func(n int) decision {
		if ledger, err := os.ReadFile(path); err != nil || !strings.Contains(string(ledger), b.received[n].payload) {
			t.Errorf("reading %d is at the broker and not in the ledger (error %v)", n, err)
		}
		if n < 5 {
			return acknowledge
		}
		return ignore
	}
	startBroker(t, b)
	s := newSimulator(t, Config{URL: b.url, Devices: 1, InFlight: 10, Duration: 200 * time.Millisecond, Ledger: path})
	err := s.Run(t.Context())

	missing := len(b.messages()) - 5
	t.Run("what is missing at the end is an error", func(t *testing.T) {
		if err == nil || err.Error() != fmt.Sprintf("%d messages were not acknowledged", missing) {
			t.Errorf("error %v, %d are missing", err, missing)
		}
	})
	t.Run("no more is in flight than allowed", func(t *testing.T) {
		if missing < 8 || missing > 10 { // for a place or two it does not wake up
			t.Errorf("%d are in flight, want about 10", missing)
		}
	})
	t.Run("the ledger distinguishes sent from acknowledged", func(t *testing.T) {
		sent, acknowledged := readLedger(t, path)
		if diff := cmp.Diff(payloads(b.messages()), sent); diff != "" {
			t.Errorf("sent (-broker +ledger):\n%s", diff)
		}
		if diff := cmp.Diff(payloads(b.messages()[:5]), acknowledged); diff != "" {
			t.Errorf("acknowledged (-broker +ledger):\n%s", diff)
		}
	})
}

func TestSlowBrokerShowsInTheLatency(t *testing.T) {
	const service = 2 * time.Millisecond
	b := startBroker(t, &broker{decide: func(int) decision {
		time.Sleep(service) // the broker can take 500 messages/s
		return acknowledge
	}})
	s := newSimulator(t, Config{URL: b.url, Devices: 10, Rate: 200, Count: 200, InFlight: 10}) // 2,000/s for 0.1 s
	if err := s.Run(t.Context()); err != nil {
		t.Fatal(err)
	}
	r := s.Report()
	// The last reading is due after 0.1 s, and acknowledged after 200 times the service time. Counting from
	// the moment of sending would hide that: with 10 in flight it is at most 10 times the service time.
	if got, want := r.Latency(1), 200*service-150*time.Millisecond; got < want {
		t.Errorf("greatest latency %v, want over %v", got, want)
	}
	if r.Acknowledged != 200 || r.Rate() > 600 || r.Asked != 2000 {
		t.Errorf("%d acknowledged at %.0f/s of %.0f asked", r.Acknowledged, r.Rate(), r.Asked)
	}
}

func TestStopping(t *testing.T) {
	t.Run("a cancelled run ends without an error when all is acknowledged", func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		b := startBroker(t, &broker{decide: func(n int) decision {
			if n == 20 {
				cancel()
			}
			return acknowledge
		}})
		s := newSimulator(t, Config{URL: b.url, Devices: 2, Rate: 500})
		s.drain = time.Minute // it does not come to that
		if err := s.Run(ctx); err != nil {
			t.Error(err)
		}
		if r := s.Report(); r.Acknowledged != int64(len(b.messages())) || r.Unacknowledged() != 0 {
			t.Errorf("report:\n%s", r)
		}
	})
	t.Run("a cancelled run does not wait for a broker that is away", func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		s := newSimulator(t, Config{URL: "tcp://127.0.0.1:1", Devices: 2, Rate: 500})
		time.AfterFunc(10*time.Millisecond, cancel)
		if err := s.Run(ctx); err != nil {
			t.Error(err)
		}
	})
	t.Run("a ledger that cannot be opened is a configuration error", func(t *testing.T) {
		s := newSimulator(t, Config{URL: "tcp://127.0.0.1:1", Devices: 2, Ledger: t.TempDir()})
		if err := s.Run(t.Context()); !errors.As(err, new(*daemon.ConfigError)) {
			t.Errorf("error %v", err)
		}
	})
}

func TestCredentials(t *testing.T) {
	b := startBroker(t, &broker{user: "field", password: "p:w"})
	at := func(userinfo string) string { return strings.Replace(b.url, "tcp://", "mqtt://"+userinfo+"@", 1) }
	t.Run("user and password are taken from the URL", func(t *testing.T) {
		s := newSimulator(t, Config{URL: at("field:p%3Aw"), Devices: 1, Count: 3})
		if err := s.Run(t.Context()); err != nil || s.Report().Acknowledged != 3 {
			t.Errorf("error %v, report:\n%s", err, s.Report())
		}
	})
	t.Run("a refusal is counted and tried again", func(t *testing.T) {
		s := newSimulator(t, Config{URL: at("field:wrong"), Devices: 1, Count: 3, Duration: 300 * time.Millisecond})
		if err := s.Run(t.Context()); err != nil {
			t.Error(err)
		}
		if r := s.Report(); r.Errors < 2 || r.Published != 0 {
			t.Errorf("report:\n%s", r)
		}
	})
}

func TestValidate(t *testing.T) {
	good := Config{URL: "tcp://localhost", Devices: 10}.withDefaults()
	if err := good.Validate(); err != nil {
		t.Fatalf("a good configuration: %v", err)
	}
	for variable, spoil := range map[string]func(*Config){
		"MQTT_URL":         func(c *Config) { c.URL = "http://localhost" },
		"SIM_FAMILY":       func(c *Config) { c.Families = []string{"tasmota", "tassimo"} },
		"SIM_DEVICES":      func(c *Config) { c.Devices = 0 },
		"SIM_FIRST_DEVICE": func(c *Config) { c.FirstDevice = 1<<53 - 5 },
		"SIM_CONNECTIONS":  func(c *Config) { c.Connections = 11 },
		"SIM_IN_FLIGHT":    func(c *Config) { c.InFlight = 65536 },
		"SIM_TOPIC_STYLE":  func(c *Config) { c.TopicStyle = "both" },
		"SIM_TOPIC_PREFIX": func(c *Config) { c.TopicPrefix = "a/+" },
		"SIM_RATE":         func(c *Config) { c.Rate = math.NaN() },
		"SIM_COUNT":        func(c *Config) { c.Count = -1 },
		"SIM_DURATION":     func(c *Config) { c.Duration = -1 },
		"SIM_LATE":         func(c *Config) { c.Late = 101 },
		"SIM_JUNK":         func(c *Config) { c.Junk = math.NaN() },
	} {
		t.Run(variable, func(t *testing.T) {
			c := good
			spoil(&c)
			var wrong *daemon.ConfigError
			if err := c.Validate(); !errors.As(err, &wrong) || wrong.Variable != variable {
				t.Errorf("error %v does not name %s", err, variable)
			}
		})
	}
}

func TestTopic(t *testing.T) {
	for want, cfg := range map[string]Config{
		"sensors/7/data":      {},
		"sensors/data":        {TopicStyle: "shared"},
		"site/a/7/data":       {TopicPrefix: "site/a"},
		"site/a/sensors/data": {TopicPrefix: "site/a/sensors", TopicStyle: "shared"},
	} {
		if got := cfg.withDefaults().topic(7); got != want {
			t.Errorf("topic %s, want %s", got, want)
		}
	}
}

func TestReport(t *testing.T) {
	t.Run("latencies are exact to 3 %", func(t *testing.T) {
		var h histogram
		var all []time.Duration
		for d := time.Microsecond; d < 3*time.Hour; d += d/7 + time.Microsecond {
			h.record(d)
			all = append(all, d)
		}
		var r Report
		for i := range h {
			r.latency[i] = h[i].Load()
		}
		for _, q := range []float64{0.001, 0.25, 0.5, 0.9, 0.99, 1} {
			exact := all[int(math.Ceil(q*float64(len(all))))-1]
			if got := r.Latency(q); got < exact-time.Microsecond || float64(got) > 1.04*float64(exact) {
				t.Errorf("quantile %v is %v, want %v", q, got, exact)
			}
		}
	})
	t.Run("of one latency every quantile is that", func(t *testing.T) {
		var r Report
		r.latency[bucketOf(20*time.Microsecond)] = 1
		if r.Latency(0) != 20*time.Microsecond || r.Latency(1) != 20*time.Microsecond {
			t.Errorf("got %v and %v", r.Latency(0), r.Latency(1))
		}
	})
	t.Run("durations beyond all buckets count in the last", func(t *testing.T) {
		if got := bucketOf(math.MaxInt64); got != buckets-1 {
			t.Errorf("bucket %d", got)
		}
	})
	t.Run("the difference of two reports is what was done between them", func(t *testing.T) {
		earlier := Report{Elapsed: time.Second, Acknowledged: 10, Published: 12}
		earlier.latency[5] = 10
		later := Report{Elapsed: 3 * time.Second, Acknowledged: 50, Published: 52, Errors: 1}
		later.latency[5], later.latency[9] = 10, 40
		d := later.Since(&earlier)
		if d.Rate() != 20 || d.Unacknowledged() != 0 || d.Errors != 1 || d.Latency(0.01) != bucketEnd(9) {
			t.Errorf("rate %v, difference:\n%s", d.Rate(), d)
		}
	})
	t.Run("JSON has the rates and latencies", func(t *testing.T) {
		r := Report{Elapsed: 2 * time.Second, Asked: 5, Published: 10, Acknowledged: 8, Late: 3}
		r.latency[bucketOf(1500*time.Microsecond)] = 8
		text, err := json.Marshal(&r)
		if err != nil {
			t.Fatal(err)
		}
		for _, member := range []string{`"acknowledged_rate":4,`, `"asked_rate":5,`, `"unacknowledged":2,`, `"puback_p99_ms":1.5`, `"late":3,`} {
			if !strings.Contains(string(text), member) {
				t.Errorf("%s has no %s", text, member)
			}
		}
	})
}

func TestLedgerGoesOnBehindItsLastWholeLine(t *testing.T) {
	path := ledgerFile(t)
	for i, torn := range []string{"", `{"event":"sent","rea`, strings.Repeat("x", 10_000)} {
		l, err := openLedger(path)
		if err != nil {
			t.Fatal(err)
		}
		l.add(eventSent, fmt.Appendf(nil, "%d", i))
		l.buf = append(l.buf, torn...)
		if err := l.close(); err != nil {
			t.Fatal(err)
		}
	}
	l, err := openLedger(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := l.close(); err != nil {
		t.Fatal(err)
	}
	if sent, _ := readLedger(t, path); !slices.Equal(sent, []string{"0", "1", "2"}) {
		t.Errorf("ledger has %v", sent)
	}
}
