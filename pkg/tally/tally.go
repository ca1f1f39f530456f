// Package tally counts what a part of a process takes in and what becomes of it. In every scrape, at any
// moment,
//
//	received = the sum of all outcomes + in flight
//
// and a difference is a defect: something was forgotten, or counted twice. The three are counted apart, so
// that it shows; nothing here makes the sum come out. All begin at 0 with the process.
package tally

import (
	"sync"

	"github.com/prometheus/client_golang/prometheus"
)

// Tally is the count of one kind of thing. It is safe for concurrent use, and cheap enough to be told of
// each message.
type Tally struct {
	receivedDesc, outcomeDesc, inFlightDesc *prometheus.Desc
	outcomes                                []string

	mu       sync.Mutex
	received int
	inFlight int
	settled  []int // by outcome
}

// New returns a Tally of what, which may become any of outcomes, as <name>_received_total,
// <name>_total{outcome} and <name>_in_flight.
func New(metrics prometheus.Registerer, name, what string, outcomes ...string) *Tally {
	t := &Tally{
		receivedDesc: prometheus.NewDesc(name+"_received_total", what+" taken in.", nil, nil),
		outcomeDesc:  prometheus.NewDesc(name+"_total", what+" by what became of them.", []string{"outcome"}, nil),
		inFlightDesc: prometheus.NewDesc(name+"_in_flight", what+" taken in, of which nothing has become yet.", nil, nil),
		outcomes:     outcomes,
		settled:      make([]int, len(outcomes)),
	}
	metrics.MustRegister(t)
	return t
}

// Take counts n as received, and as in flight until Settle.
func (t *Tally) Take(n int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.received += n
	t.inFlight += n
}

// Settle ends the flight of n, of which counts[i] have the outcome i. The caller knows n from what it took,
// and counts from what was done about it.
func (t *Tally) Settle(n int, counts ...int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.inFlight -= n
	for i, c := range counts {
		t.settled[i] += c
	}
}

// SettleOne ends the flight of one.
func (t *Tally) SettleOne(outcome int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.inFlight--
	t.settled[outcome]++
}

// Describe implements prometheus.Collector.
func (t *Tally) Describe(ch chan<- *prometheus.Desc) {
	ch <- t.receivedDesc
	ch <- t.outcomeDesc
	ch <- t.inFlightDesc
}

// Collect implements prometheus.Collector: all of one moment.
func (t *Tally) Collect(ch chan<- prometheus.Metric) {
	t.mu.Lock()
	received, inFlight := t.received, t.inFlight
	settled := append([]int(nil), t.settled...)
	t.mu.Unlock()
	ch <- prometheus.MustNewConstMetric(t.receivedDesc, prometheus.CounterValue, float64(received))
	ch <- prometheus.MustNewConstMetric(t.inFlightDesc, prometheus.GaugeValue, float64(inFlight))
	for i, n := range settled {
		ch <- prometheus.MustNewConstMetric(t.outcomeDesc, prometheus.CounterValue, float64(n), t.outcomes[i])
	}
}
