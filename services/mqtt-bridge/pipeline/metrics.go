package pipeline

import (
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"

	"github.com/telltale-iot/telltale/pkg/accounting"
)

// Metrics counts what passes.
type Metrics struct {
	messages *accounting.Account // by the outcomes below
	readings *accounting.Account // produced, dead_letter or failed

	publishes  [3]prometheus.Counter // by QoS
	ackSeconds prometheus.Histogram

	deadLetters *prometheus.CounterVec // by reason
	incomplete  prometheus.Counter

	// For the sources.
	Acknowledged prometheus.Counter
	Connections  prometheus.Gauge
	Connects     prometheus.Counter
	Stalls       prometheus.Counter
}

// What becomes of messages.
const (
	Handled     = iota // Kafka has all of it
	Failed             // Kafka does not have all of it: it is not acknowledged, and redelivered
	Ignored            // on a topic that nobody reads
	Redelivered        // while the first copy waited for Kafka, and not produced twice: "resent" in the metrics
	Dropped            // at QoS 0, of a broker, and there was no room
	Refused            // not taken, and redelivered; at QoS 0 its connection is closed
)

func newMetrics(r prometheus.Registerer, inFlightBytes func() float64) *Metrics {
	f := promauto.With(r)
	counter := func(name, help string) prometheus.Counter {
		return f.NewCounter(prometheus.CounterOpts{Name: "telltale_bridge_" + name, Help: help})
	}
	gauge := func(name, help string) prometheus.Gauge {
		return f.NewGauge(prometheus.GaugeOpts{Name: "telltale_bridge_" + name, Help: help})
	}
	f.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "telltale_bridge_in_flight_bytes",
		Help: "About the memory that messages take which wait for Kafka.",
	}, inFlightBytes)
	publishes := f.NewCounterVec(prometheus.CounterOpts{
		Name: "telltale_bridge_publishes_total",
		Help: "MQTT PUBLISH packets received, by QoS.",
	}, []string{"qos"})
	return &Metrics{
		messages: accounting.New(r, "telltale_bridge_messages", "MQTT messages",
			"handled", "failed", "ignored", "resent", "dropped", "refused"),
		readings: accounting.New(r, "telltale_bridge_readings", "Readings in messages, rejected ones included,",
			"produced", "dead_letter", "failed"),
		publishes: [3]prometheus.Counter{
			publishes.WithLabelValues("0"), publishes.WithLabelValues("1"), publishes.WithLabelValues("2"),
		},
		Acknowledged: counter("messages_acknowledged_total", "Messages acknowledged to the device or broker."),
		ackSeconds: f.NewHistogram(prometheus.HistogramOpts{
			Name:    "telltale_bridge_ack_seconds",
			Help:    "From the receipt of a message until Kafka had all of it.",
			Buckets: []float64{.002, .005, .01, .02, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60},
		}),
		deadLetters: f.NewCounterVec(prometheus.CounterOpts{
			Name: "telltale_bridge_dead_letters_total",
			Help: "Rejected readings that Kafka acknowledged in the dead-letter topic.",
		}, []string{"reason"}),
		incomplete:  counter("incomplete_total", "Members that messages were read without, since they cannot be values. At most 16 of a reading count."),
		Connections: gauge("connections", "Open MQTT connections."),
		Connects:    counter("connects_total", "MQTT connections made."),
		Stalls:      counter("stalls_total", "Times that no more was taken from a connection until Kafka had caught up."),
	}
}

// Receive counts a message that was published at the given QoS.
func (m *Metrics) Receive(qos byte) {
	m.publishes[min(qos, 2)].Inc() // 3 is malformed, and paho lets it pass
	m.messages.Receive(1)
}

// ReceiveWill counts a will.
func (m *Metrics) ReceiveWill() { m.messages.Receive(1) }

// CountOutcome counts what became of a message that the pipeline was not given.
func (m *Metrics) CountOutcome(outcome int) { m.messages.FinishOne(outcome) }
