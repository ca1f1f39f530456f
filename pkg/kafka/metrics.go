package kafka

import (
	"fmt"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
)

type producerMetrics struct {
	records    *prometheus.CounterVec
	refused    *prometheus.CounterVec
	batches    *prometheus.CounterVec
	retries    *prometheus.CounterVec
	identities *prometheus.CounterVec
	latency    prometheus.Histogram
}

// newProducerMetrics registers a producer's metrics, labelled with the client's id, since a process may
// have several.
func newProducerMetrics(client string, topics []string, reg prometheus.Registerer, queued func() float64) *producerMetrics {
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
	m := &producerMetrics{
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

func (m *producerMetrics) acknowledged(topic string, records int, latency time.Duration) {
	m.records.WithLabelValues(topic).Add(float64(records))
	m.batches.WithLabelValues(topic).Inc()
	m.latency.Observe(latency.Seconds())
}

func (m *producerMetrics) failed(topic string)       { m.refused.WithLabelValues(topic).Inc() }
func (m *producerMetrics) retried(topic string)      { m.retries.WithLabelValues(topic).Inc() }
func (m *producerMetrics) identityLost(topic string) { m.identities.WithLabelValues(topic).Inc() }

type consumerMetrics struct {
	records  prometheus.Counter
	failures prometheus.Counter
	lost     prometheus.Counter
	rewound  prometheus.Counter
	success  prometheus.Gauge
}

// newConsumerMetrics registers the metrics of c, labelled with its group.
func newConsumerMetrics(c *Consumer, reg prometheus.Registerer) *consumerMetrics {
	if reg != nil {
		reg = prometheus.WrapRegistererWith(prometheus.Labels{"group": c.cfg.Group}, reg)
		reg.MustRegister(lag{c})
	}
	auto := promauto.With(reg)
	counter := func(name, help string) prometheus.Counter {
		return auto.NewCounter(prometheus.CounterOpts{Name: "telltale_kafka_consumer_" + name, Help: help})
	}
	return &consumerMetrics{
		records:  counter("records_total", "Records resolved."),
		failures: counter("batch_failures_total", "Times that handling a batch failed and was repeated."),
		lost:     counter("deleted_records_total", "Records that Kafka had deleted before they were consumed."),
		rewound:  counter("rewinds_total", "Times that a partition was started over because its topic had been made anew, or its log had become shorter."),
		success: auto.NewGauge(prometheus.GaugeOpts{
			Name: "telltale_kafka_consumer_last_success_timestamp_seconds",
			Help: "When a batch was last resolved, as Unix time.",
		}),
	}
}

func (m *consumerMetrics) handled(records int) {
	m.records.Add(float64(records))
	m.success.SetToCurrentTime()
}

// lag tells, whenever it is asked, how far a consumer's partitions are behind.
type lag struct{ consumer *Consumer }

var (
	lagRecords = prometheus.NewDesc("telltale_kafka_consumer_lag_records",
		"Records of the partition that are not resolved.", []string{"topic", "partition"}, nil)
	lagSeconds = prometheus.NewDesc("telltale_kafka_consumer_lag_seconds",
		"Age of the oldest record of the partition that is not resolved, or as much of it as is known; 0 while there is none.",
		[]string{"topic", "partition"}, nil)
	handledRecords = prometheus.NewDesc("telltale_kafka_consumer_in_flight_records",
		"Records of the partition that are being handled.", []string{"topic", "partition"}, nil)
)

func (l lag) Describe(ch chan<- *prometheus.Desc) {
	ch <- lagRecords
	ch <- lagSeconds
	ch <- handledRecords
}

func (l lag) Collect(ch chan<- prometheus.Metric) {
	c := l.consumer
	c.mu.Lock()
	defer c.mu.Unlock()
	for id, claim := range c.claims {
		partition := strconv.Itoa(int(id))
		records, age := claim.lag()
		handled := claim.handled.Load()
		ch <- prometheus.MustNewConstMetric(lagRecords, prometheus.GaugeValue, float64(records), c.cfg.ReadTopic, partition)
		ch <- prometheus.MustNewConstMetric(lagSeconds, prometheus.GaugeValue, age.Seconds(), c.cfg.ReadTopic, partition)
		ch <- prometheus.MustNewConstMetric(handledRecords, prometheus.GaugeValue, float64(handled), c.cfg.ReadTopic, partition)
	}
}

// State tells people how far the consumer is.
func (c *Consumer) State() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	var records, handled int64
	var oldest time.Duration
	for _, claim := range c.claims {
		n, age := claim.lag()
		records, oldest, handled = records+n, max(oldest, age), handled+claim.handled.Load()
	}
	return fmt.Sprintf("%d records behind, the oldest %v old; %d being handled; %d partitions",
		records, oldest.Round(time.Millisecond), handled, len(c.claims))
}
