package report

import (
	"context"
	"fmt"
	"os"
	"reflect"
	"time"

	"github.com/telltale-iot/telltale/pkg/compacted"
	"github.com/telltale-iot/telltale/pkg/daemon"
	"github.com/telltale-iot/telltale/pkg/event"
	"github.com/telltale-iot/telltale/pkg/kafka"
)

const (
	// every is how far apart reports are, and idle how far those are that say the same: each is a write to disk.
	every = 5 * time.Second
	idle  = 3 * every
	// MovedOver is how long that takes which an account says has moved.
	MovedOver = every
	// GoneAfter is how long an instance that has not said farewell may be silent: two of its reports may get lost.
	GoneAfter = 2*idle + every
	// rateOver is over how long the rates are.
	rateOver = 30 * time.Second
	// slack is how much too early a report may be.
	slack = 500 * time.Millisecond
)

// Service is one of those that a process runs, and where its figures are among the metrics of the process.
type Service struct {
	Name     string
	Accounts []string        // names of its accounting.Accounts, without "telltale_"
	Groups   []string        // consumer groups
	Stores   []Store         // that it owns
	MQTT     *event.Endpoint // of the bridge
}

// Store is one of a service, and the beginning of its metrics, without "telltale_".
type Store struct{ Name, Metrics string }

// Run tells of services, which p runs, until ctx ends.
func Run(ctx context.Context, p *daemon.Process, cfg kafka.Config, services ...Service) error {
	if kafka.EnsureTopics(ctx, cfg, p.Log) != nil {
		return nil // ctx has ended, or Kafka refuses the topics, which the services say themselves
	}
	r := newReporter(p, cfg, services)
	teller := compacted.NewTeller(cfg, "how services are", r.due, p.Log)
	teller.Farewell = r.farewell
	teller.Wake()
	return teller.Run(ctx)
}

// reporter says how services are.
type reporter struct {
	process  *daemon.Process
	services []Service
	topic    string
	instance string
	started  time.Time

	madeAt, toldAt time.Time // when reports were last made, and when they were told
	told           map[string]event.Report
	past           history
}

func newReporter(p *daemon.Process, cfg kafka.Config, services []Service) *reporter {
	started := time.Now().UTC().Truncate(time.Millisecond)
	return &reporter{
		process: p, services: services, topic: cfg.SystemTopic(), instance: Instance(), started: started,
		past: history{started: started, counts: map[string][]count{}},
	}
}

// Instance names this process. In a container it is the first one, and the host's name says it all.
func Instance() string {
	host, err := os.Hostname()
	if err != nil {
		host = "unknown"
	}
	if pid := os.Getpid(); pid != 1 {
		return fmt.Sprintf("%s-%d", host, pid)
	}
	return host
}

// due returns what to tell now, of all services at the same moment. It is asked each second.
func (r *reporter) due(now time.Time) (records []kafka.Record, more bool) {
	if now.Sub(r.madeAt) < every-slack {
		return nil, true
	}
	r.madeAt = now
	reports := r.reports(now)
	if now.Sub(r.toldAt) < idle-slack && reflect.DeepEqual(reports, r.told) {
		return nil, true
	}
	r.told, r.toldAt = reports, now
	for _, report := range reports {
		report.Counted = now.UTC().Truncate(time.Millisecond)
		rec, err := report.Record(r.topic)
		if err != nil {
			r.process.Log.Error("cannot say how a service is", "of", report.Service, "err", err)
			continue
		}
		records = append(records, rec)
	}
	return records, true
}

// farewell ends what was told.
func (r *reporter) farewell() (records []kafka.Record) {
	for _, report := range r.told {
		records = append(records, report.Farewell(r.topic))
	}
	return records
}
