package producer

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
)

type metrics struct {
	records    *prometheus.CounterVec
	refused    *prometheus.CounterVec
	batches    *prometheus.CounterVec
	retries    *prometheus.CounterVec
	identities *prometheus.CounterVec
	latency    prometheus.Histogram
}

// newMetrics registers a producer's metrics, labelled with the client's id, since a process may
// have several.
func newMetrics(client string, topics []string, reg prometheus.Registerer, queued func() float64) *metrics {
	if reg != nil {
		reg = prometheus.WrapRegistererWith(prometheus.Labels{"client": client}, reg)
	}
	auto := promauto.With(reg)
	counter := func(name, help string) *prometheus.CounterVec {
		return auto.NewCounterVec(prometheus.CounterOpts{Name: "telltale_kafka_producer_" + name, Help: help}, []string{"topic"})
	}
	auto.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "telltale_kafka_producer_unacknowledged_records",
		Help: "Records taken and not yet acknowledged by Kafka.",
	}, queued)
	m := &metrics{
		records:    counter("records_total", "Records acknowledged by Kafka."),
		refused:    counter("refused_records_total", "Records that Kafka refused for good."),
		batches:    counter("batches_total", "Batches acknowledged by Kafka."),
		retries:    counter("retries_total", "Attempts to send a batch that failed and are repeated."),
		identities: counter("identities_lost_total", "Times a broker had lost track of the sequence; records may be there twice then."),
		latency: auto.NewHistogram(prometheus.HistogramOpts{
			Name:    "telltale_kafka_producer_batch_seconds",
			Help:    "Time from when a batch's first record was taken until Kafka acknowledged it.",
			Buckets: prometheus.ExponentialBuckets(0.001, 2, 14), // 1 ms to 8 s
		}),
	}
	for _, topic := range topics { // what is there only after it has happened cannot be looked at
		for _, c := range []*prometheus.CounterVec{m.records, m.refused, m.batches, m.retries, m.identities} {
			c.WithLabelValues(topic)
		}
	}
	return m
}

func (m *metrics) acknowledged(topic string, records int, latency time.Duration) {
	m.records.WithLabelValues(topic).Add(float64(records))
	m.batches.WithLabelValues(topic).Inc()
	m.latency.Observe(latency.Seconds())
}

func (m *metrics) failed(topic string)       { m.refused.WithLabelValues(topic).Inc() }
func (m *metrics) retried(topic string)      { m.retries.WithLabelValues(topic).Inc() }
func (m *metrics) identityLost(topic string) { m.identities.WithLabelValues(topic).Inc() }
