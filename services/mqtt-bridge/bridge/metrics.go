package bridge

import (
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
)

// metrics counts what passes. At any moment, over readings:
//
//	received = produced + dead letters + failed + in flight
type metrics struct {
	messages     [3]prometheus.Counter // by QoS
	resent       prometheus.Counter
	dropped      prometheus.Counter
	ignored      prometheus.Counter
	acknowledged prometheus.Counter
	ackSeconds   prometheus.Histogram

	received    prometheus.Counter
	produced    prometheus.Counter
	deadLetters *prometheus.CounterVec // by reason
	failed      prometheus.Counter
	inFlight    prometheus.Gauge

	connections prometheus.Gauge
	connects    prometheus.Counter
	stalls      prometheus.Counter
}

func newMetrics(r prometheus.Registerer, inFlightBytes func() float64) *metrics {
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
	messages := f.NewCounterVec(prometheus.CounterOpts{
		Name: "telltale_bridge_messages_total",
		Help: "MQTT messages received, also those that were ignored or sent again.",
	}, []string{"qos"})
	return &metrics{
		messages: [3]prometheus.Counter{
			messages.WithLabelValues("0"), messages.WithLabelValues("1"), messages.WithLabelValues("2"),
		},
		resent:       counter("messages_resent_total", "Messages that came again while the first copy was on its way to Kafka, and were not sent there twice."),
		ignored:      counter("messages_ignored_total", "Messages on topics that are not of readings."),
		dropped:      counter("messages_dropped_total", "QoS 0 messages from a broker for which there was no room. Others it sends again."),
		acknowledged: counter("messages_acknowledged_total", "Messages acknowledged to the device or broker."),
		ackSeconds: f.NewHistogram(prometheus.HistogramOpts{
			Name:    "telltale_bridge_ack_seconds",
			Help:    "From the receipt of a message until Kafka had all of it.",
			Buckets: []float64{.002, .005, .01, .02, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60},
		}),
		received: counter("readings_received_total", "Readings in the received messages, rejected ones included."),
		produced: counter("readings_produced_total", "Readings that Kafka acknowledged."),
		deadLetters: f.NewCounterVec(prometheus.CounterOpts{
			Name: "telltale_bridge_dead_letters_total",
			Help: "Rejected readings that Kafka acknowledged in the dead-letter topic.",
		}, []string{"reason"}),
		failed:      counter("readings_failed_total", "Readings that could not be sent to Kafka, and were left to the device or broker to send again."),
		inFlight:    gauge("readings_in_flight", "Readings on their way to Kafka."),
		connections: gauge("connections", "Open MQTT connections."),
		connects:    counter("connects_total", "MQTT connections made."),
		stalls:      counter("stalls_total", "Times that no more was taken from a connection until Kafka had caught up."),
	}
}
