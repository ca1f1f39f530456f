package writer

import (
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"

	"github.com/telltale-iot/telltale/pkg/event"
	"github.com/telltale-iot/telltale/pkg/iot"
)

// counts tells what became of the readings that were taken from Kafka. A batch is counted once, when its
// outcome is settled.
type counts struct {
	stored, duplicate, conflict prometheus.Counter
	deadLetters                 *prometheus.CounterVec
}

func newCounts(metrics prometheus.Registerer) *counts {
	readings := promauto.With(metrics).NewCounterVec(prometheus.CounterOpts{
		Name: "telltale_writer_readings_total",
		Help: "Readings taken from Kafka, by what became of them: stored, duplicate or conflict.",
	}, []string{"outcome"})
	return &counts{
		stored:    readings.WithLabelValues("stored"),
		duplicate: readings.WithLabelValues("duplicate"),
		conflict:  readings.WithLabelValues("conflict"),
		deadLetters: promauto.With(metrics).NewCounterVec(prometheus.CounterOpts{
			Name: "telltale_writer_dead_letters_total",
			Help: "Records and readings sent to the dead-letter topic, by reason.",
		}, []string{"reason"}),
	}
}

func (c *counts) inserted(n iot.Inserted) {
	c.stored.Add(float64(n.New))
	c.duplicate.Add(float64(n.Duplicates))
	c.conflict.Add(float64(len(n.Conflicts)))
}

func (c *counts) deadLettered(letters []event.DeadLetter) {
	for _, l := range letters {
		c.deadLetters.WithLabelValues(string(l.Reason)).Inc()
	}
}
