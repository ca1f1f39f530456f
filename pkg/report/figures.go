package report

import (
	"math"
	"time"

	dto "github.com/prometheus/client_model/go"

	"github.com/telltale-iot/telltale/pkg/daemon"
	"github.com/telltale-iot/telltale/pkg/event"
)

// figures are the metrics of a process, by name, all of them of a moment.
type figures map[string]*dto.MetricFamily

// reports returns what there is to say of each service, by name.
func (r *reporter) reports(now time.Time) map[string]event.Report {
	families, err := r.process.Metrics.Gather()
	if err != nil {
		r.process.Log.Debug("some metrics are missing", "err", err)
	}
	figures := make(figures, len(families))
	for _, f := range families {
		figures[f.GetName()] = f
	}
	problems := r.process.Health.Problems()
	ready := r.process.Health.Ready()
	all := make(map[string]event.Report, len(r.services))
	for _, s := range r.services {
		report := event.Report{
			Service: s.Name, Instance: r.instance, Version: daemon.Version(), Started: r.started,
			Ready: ready, Problems: problems, MQTT: s.MQTT,
		}
		for _, name := range s.Accounts {
			report.Accounts = append(report.Accounts, r.past.account(figures.account(name), now))
		}
		for _, name := range s.Groups {
			report.Groups = append(report.Groups, figures.group(name))
		}
		for _, s := range s.Stores {
			if store, ok := figures.store(s.Name, s.Metrics); ok {
				report.Stores = append(report.Stores, store)
			}
		}
		all[s.Name] = report
	}
	return all
}

// account returns the account of that name. One that has no more than a number of what is done has nothing in flight.
func (f figures) account(name string) event.Account {
	a := event.Account{Name: name, Outcomes: map[string]int64{}}
	for _, m := range f["telltale_"+name+"_total"].GetMetric() {
		outcome := "produced"
		if labels := m.GetLabel(); len(labels) > 0 {
			outcome = labels[0].GetValue()
		}
		a.Outcomes[outcome] = int64(m.GetCounter().GetValue())
		a.Received += a.Outcomes[outcome]
	}
	if received := f["telltale_"+name+"_received_total"]; received != nil {
		a.Received = int64(received.GetMetric()[0].GetCounter().GetValue())
		a.InFlight = int64(f["telltale_"+name+"_in_flight"].GetMetric()[0].GetGauge().GetValue())
	}
	return a
}

// group returns how far the consumer of that group is.
func (f figures) group(name string) event.Group {
	g := event.Group{Group: name}
	for _, m := range f.ofGroup("lag_records", name) {
		g.Partitions++
		g.Lag += int64(m.GetGauge().GetValue())
		g.Topic = label(m, "topic")
	}
	for _, m := range f.ofGroup("lag_seconds", name) {
		g.LagSeconds = max(g.LagSeconds, math.Round(m.GetGauge().GetValue()*1000)/1000)
	}
	for _, m := range f.ofGroup("in_flight_records", name) {
		g.Handled += int64(m.GetGauge().GetValue())
	}
	return g
}

func (f figures) ofGroup(what, group string) (all []*dto.Metric) {
	for _, m := range f["telltale_kafka_consumer_"+what].GetMetric() {
		if label(m, "group") == group {
			all = append(all, m)
		}
	}
	return all
}

func label(m *dto.Metric, name string) string {
	for _, l := range m.GetLabel() {
		if l.GetName() == name {
			return l.GetValue()
		}
	}
	return ""
}

// store returns what a store takes; not ok until that is known.
func (f figures) store(name, metrics string) (store event.Store, ok bool) {
	value := func(what string) float64 {
		m := f["telltale_"+metrics+"_"+what].GetMetric()
		if len(m) == 0 || math.IsNaN(m[0].GetGauge().GetValue()) {
			return -1
		}
		return m[0].GetGauge().GetValue()
	}
	store = event.Store{
		Name: name, Bytes: int64(value("size_bytes")), BytesPerDay: int64(value("growth_bytes_per_day")),
		FreeBytes: int64(value("free_bytes")), DaysUntilFull: math.Floor(value("days_until_full")),
	}
	return store, store.Bytes >= 0
}

// history has what accounts counted in the last rateOver, by name. They begin at 0 with the process.
type history struct {
	started time.Time
	counts  map[string][]count
}

type count struct {
	at                 time.Time
	received, resolved int64
}

// account adds to a what it counts in a second, and since the report before.
func (h history) account(a event.Account, now time.Time) event.Account {
	latest := count{now, a.Received, a.Received - a.InFlight}
	past := h.counts[a.Name]
	if past == nil {
		past = []count{{at: h.started}}
	}
	for len(past) > 1 && now.Sub(past[1].at) >= rateOver {
		past = past[1:]
	}
	if seconds := now.Sub(past[0].at).Seconds(); seconds > 0 {
		a.Rate = math.Round(float64(latest.received-past[0].received)/seconds*1000) / 1000
	}
	a.Moved = latest.resolved - past[len(past)-1].resolved
	h.counts[a.Name] = append(past, latest)
	return a
}
