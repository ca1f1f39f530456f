package writer

import (
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
)

// newDeadLetters counts what was sent to the dead-letter topic. A batch that Kafka took in part only is sent,
// and counted, once more.
func newDeadLetters(metrics prometheus.Registerer) *prometheus.CounterVec {
	return promauto.With(metrics).NewCounterVec(prometheus.CounterOpts{
		Name: "telltale_writer_dead_letters_total",
		Help: "Records and readings sent to the dead-letter topic, by reason.",
	}, []string{"reason"})
}
