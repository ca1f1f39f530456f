// Package accounting counts what a part of a process takes in and what becomes of it. In every scrape, at any
// moment,
//
//	received = the sum of all outcomes + in flight
//
// and a difference is a defect: something was forgotten, or counted twice. The three are counted apart, so
// that it shows; nothing here makes the sum come out. All begin at 0 with the process.
package accounting

import (
	"sync"

	"github.com/prometheus/client_golang/prometheus"
)

// Account counts one kind of thing. It is safe for concurrent use, and cheap enough to be called for each message.
type Account struct {
	receivedDesc, outcomeDesc, inFlightDesc *prometheus.Desc
	outcomes                                []string

	mu       sync.Mutex
	received int
	inFlight int
	finished []int // by outcome
}

// New returns an Account of what, which may become any of outcomes, as <name>_received_total,
// <name>_total{outcome} and <name>_in_flight.
func New(metrics prometheus.Registerer, name, what string, outcomes ...string) *Account {
	a := &Account{
		receivedDesc: prometheus.NewDesc(name+"_received_total", what+" taken in.", nil, nil),
		outcomeDesc:  prometheus.NewDesc(name+"_total", what+" by what became of them.", []string{"outcome"}, nil),
		inFlightDesc: prometheus.NewDesc(name+"_in_flight", what+" taken in, of which nothing has become yet.", nil, nil),
		outcomes:     outcomes,
		finished:     make([]int, len(outcomes)),
	}
	metrics.MustRegister(a)
	return a
}

// Receive counts n as received, and as in flight until Finish.
func (a *Account) Receive(n int) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.received += n
	a.inFlight += n
}

// Finish ends the flight of n, of which counts[i] have the outcome i. The caller knows n from what it received,
// and counts from what was done about it.
func (a *Account) Finish(n int, counts ...int) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.inFlight -= n
	for i, c := range counts {
		a.finished[i] += c
	}
}

// FinishOne ends the flight of one.
func (a *Account) FinishOne(outcome int) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.inFlight--
	a.finished[outcome]++
}

// Describe implements prometheus.Collector.
func (a *Account) Describe(ch chan<- *prometheus.Desc) {
	ch <- a.receivedDesc
	ch <- a.outcomeDesc
	ch <- a.inFlightDesc
}

// Collect implements prometheus.Collector: all of one moment.
func (a *Account) Collect(ch chan<- prometheus.Metric) {
	a.mu.Lock()
	received, inFlight := a.received, a.inFlight
	finished := append([]int(nil), a.finished...)
	a.mu.Unlock()
	ch <- prometheus.MustNewConstMetric(a.receivedDesc, prometheus.CounterValue, float64(received))
	ch <- prometheus.MustNewConstMetric(a.inFlightDesc, prometheus.GaugeValue, float64(inFlight))
	for i, n := range finished {
		ch <- prometheus.MustNewConstMetric(a.outcomeDesc, prometheus.CounterValue, float64(n), a.outcomes[i])
	}
}
