package kafka

import (
	"fmt"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
)

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

// lag collects, at each scrape, how far a consumer's partitions are behind.
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
	for id, assignment := range c.assignments {
		partition := strconv.Itoa(int(id))
		records, age := assignment.lag()
		handled := assignment.handled.Load()
		ch <- prometheus.MustNewConstMetric(lagRecords, prometheus.GaugeValue, float64(records), c.cfg.ReadTopic, partition)
		ch <- prometheus.MustNewConstMetric(lagSeconds, prometheus.GaugeValue, age.Seconds(), c.cfg.ReadTopic, partition)
		ch <- prometheus.MustNewConstMetric(handledRecords, prometheus.GaugeValue, float64(handled), c.cfg.ReadTopic, partition)
	}
}

// State says, for people, how far the consumer is.
func (c *Consumer) State() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	var records, handled int64
	var oldest time.Duration
	for _, assignment := range c.assignments {
		n, age := assignment.lag()
		records, oldest, handled = records+n, max(oldest, age), handled+assignment.handled.Load()
	}
	return fmt.Sprintf("%d records behind, the oldest %v old; %d being handled; %d partitions",
		records, oldest.Round(time.Millisecond), handled, len(c.assignments))
}
