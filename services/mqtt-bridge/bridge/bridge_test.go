package bridge_test

import (
	"bytes"
	"log/slog"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/telltale-iot/telltale/pkg/auth"
	"github.com/telltale-iot/telltale/pkg/daemon"
	"github.com/telltale-iot/telltale/services/mqtt-bridge/bridge"
	"github.com/telltale-iot/telltale/services/mqtt-bridge/listen"
	"github.com/telltale-iot/telltale/services/mqtt-bridge/subscribe"
)

// testBridge is a running bridge, together with its producer.
type testBridge struct {
	*bridge.Bridge
	t       *testing.T
	metrics *prometheus.Registry
	addr    string // where it listens
	stop    func()
}

func defaults() bridge.Config {
	return bridge.Config{
		Topics: []string{"sensors/data", "sensors/+/data"},
		Auth:   auth.Config{Mode: auth.Off},
		Broker: subscribe.Config{ClientID: "telltale-bridge-test"},
		Listen: listen.Config{MaxConnections: 100, MaxPacketBytes: 1114112},
	}
}

// endpoint starts a bridge that devices connect to.
func endpoint(t *testing.T, k *testKafka, cfg bridge.Config) *testBridge {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	b := start(t, k, cfg, l)
	b.addr = l.Addr().String()
	return b
}

func start(t *testing.T, k *testKafka, cfg bridge.Config, l net.Listener) *testBridge {
	return startLogged(t, k, cfg, l, testLog(t))
}

func startLogged(t *testing.T, k *testKafka, cfg bridge.Config, l net.Listener, log *slog.Logger) *testBridge {
	b := &testBridge{t: t, metrics: prometheus.NewRegistry()}
	b.Bridge = &bridge.Bridge{
		Config: cfg, Kafka: k.cfg, Listener: l, Log: log, Metrics: b.metrics,
		Health: daemon.NewHealth(testLog(t), prometheus.NewRegistry()),
	}
	b.stop = background(t, b.Run)
	return b
}

// recorder keeps what is logged.
type recorder struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (r *recorder) Write(p []byte) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.text.Write(p)
}

func (r *recorder) String() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.text.String()
}

// count returns the sum of the metric telltale_bridge_<name> over its labels, or where name is
// <name>:<outcome> what has that outcome. A name that the bridge does not know fails the test.
func (b *testBridge) count(name string) float64 {
	b.t.Helper()
	name, outcome, _ := strings.Cut(name, ":")
	families, err := b.metrics.Gather()
	if err != nil {
		b.t.Fatal(err)
	}
	var sum float64
	known := name == "dead_letters_total" // has a value for each reason, once there was one
	for _, f := range families {
		if f.GetName() == "telltale_bridge_"+name {
			for _, m := range f.GetMetric() {
				if outcome != "" && m.GetLabel()[0].GetValue() != outcome {
					continue
				}
				known = true
				sum += m.GetCounter().GetValue() + m.GetGauge().GetValue()
			}
		}
	}
	if !known {
		b.t.Fatalf("the bridge has no metric %s with outcome %q", name, outcome)
	}
	return sum
}

// reaches waits until a metric has a value.
func (b *testBridge) reaches(name string, want float64) {
	b.t.Helper()
	deadline := time.Now().Add(testTimeout)
	for b.count(name) != want {
		if time.Now().After(deadline) {
			b.t.Fatalf("%s is %v, want %v", name, b.count(name), want)
		}
		time.Sleep(time.Millisecond)
	}
}

// conserved checks, once nothing is on its way, that every reading and message that came in went out.
func (b *testBridge) conserved() {
	b.t.Helper()
	for _, things := range []string{"readings", "messages"} {
		b.reaches(things+"_in_flight", 0)
		in, out := b.count(things+"_received_total"), b.count(things+"_total")
		if in != out {
			b.t.Errorf("received %v %s, and accounted for %v", in, things, out)
		}
	}
	if deadLetters := b.count("readings_total:dead_letter"); deadLetters != b.count("dead_letters_total") {
		b.t.Errorf("%v readings are dead letters, and %v dead letters were sent", deadLetters, b.count("dead_letters_total"))
	}
	if bytes := b.count("in_flight_bytes"); bytes != 0 {
		b.t.Errorf("%v bytes are in flight with nothing on its way", bytes)
	}
}

// checked waits until Check says something that contains text; "" for nil.
func (b *testBridge) checked(text string) {
	b.t.Helper()
	deadline := time.Now().Add(testTimeout)
	for {
		err := b.Check(b.t.Context())
		if (err == nil && text == "") || (err != nil && text != "" && strings.Contains(err.Error(), text)) {
			return
		}
		if time.Now().After(deadline) {
			b.t.Fatalf("Check says %v, want %q", err, text)
		}
		time.Sleep(time.Millisecond)
	}
}
