// Package refused keeps whom a service did not let in, or would not have if AUTH said so, for operators: who, from where,
// and why. Each is counted in telltale_auth_refused_total or telltale_auth_would_deny_total, has a line in the log at most
// once a minute for each reason, and is told to Kafka's topic of that within a second, from which query-api shows it.
//
// Nothing waits for it (package compacted). Whoever was refused longest ago is forgotten first, and counted anew; so are all
// when the process starts.
package refused

import (
	"context"
	"log/slog"
	"net"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"

	"github.com/telltale-iot/telltale/pkg/auth"
	"github.com/telltale-iot/telltale/pkg/compacted"
	"github.com/telltale-iot/telltale/pkg/event"
	"github.com/telltale-iot/telltale/pkg/kafka"
	"github.com/telltale-iot/telltale/pkg/lograte"
)

const (
	// maxEntries is how many are kept: a site's devices that have no credentials yet.
	maxEntries = 10_000
	// maxText bounds each text of strangers.
	maxText = 256
	// tellEvery is how far apart records of the same are, and perTick how many there are each second: what strangers have
	// written to Kafka is 20 KB a second for each process at most, and a first refusal is there within seconds.
	tellEvery = 10 * time.Second
	perTick   = 10
)

// List is whom one service refuses. It is safe for concurrent use.
type List struct {
	surface string
	topic   string
	replica string
	log     *slog.Logger
	lines   lograte.Limiters // by reason
	teller  *compacted.Teller
	tally   compacted.Tally[event.Refusal, event.Refusal]

	denied, wouldDeny *prometheus.CounterVec
	lastWouldDeny     *prometheus.GaugeVec
}

// New returns a list of a surface: "http", "mqtt" or "kafka". replica names the process among others.
func New(cfg kafka.Config, surface, replica string, log *slog.Logger, metrics prometheus.Registerer) *List {
	counter := func(name, help string) *prometheus.CounterVec {
		return promauto.With(prometheus.WrapRegistererWith(prometheus.Labels{"surface": surface}, metrics)).
			NewCounterVec(prometheus.CounterOpts{Name: name, Help: help}, []string{"why"})
	}
	l := &List{
		surface: surface, topic: cfg.RefusedTopic(), replica: replica, log: log,
		tally:     compacted.Tally[event.Refusal, event.Refusal]{MaxKeys: maxEntries, Every: tellEvery, AtOnce: perTick},
		denied:    counter("telltale_auth_refused_total", "Clients that were not let in, or not allowed what they wanted, by reason."),
		wouldDeny: counter("telltale_auth_would_deny_total", "Clients that were let in although they would be refused with AUTH=on, by reason."),
		lastWouldDeny: promauto.With(prometheus.WrapRegistererWith(prometheus.Labels{"surface": surface}, metrics)).NewGaugeVec(prometheus.GaugeOpts{
			Name: "telltale_auth_would_deny_last_seconds",
			Help: "When somebody was last let in who would be refused with AUTH=on, in seconds since 1970.",
		}, nil), // of nobody, there is none
	}
	l.teller = compacted.NewTeller(cfg, "who is refused", l.due, log)
	return l
}

// Add adds one. Its Address may have a port, and its texts Telltale's secrets, which are not shown. A Principal that is nobody's is
// for the caller to mask (auth.MaskedName). Surface, Count, times and Replica are set here.
func (l *List) Add(r event.Refusal) {
	r.Surface = l.surface
	if host, _, err := net.SplitHostPort(r.Address); err == nil {
		r.Address = host
	}
	for _, text := range []*string{&r.Principal, &r.ClientID, &r.Device, &r.Address, &r.Example} {
		masked := auth.Masked(*text) // as a whole: of a part nobody knows that it is a secret's
		*text = strings.ToValidUTF8(masked[:min(len(masked), maxText)], "")
	}
	counter := l.wouldDeny
	if r.Denied {
		counter = l.denied
	}
	counter.WithLabelValues(r.Why).Inc()
	if n := l.lines.Event(r.Why); n > 0 {
		line := l.log.With("why", r.Why, "principal", r.Principal, "client_id", r.ClientID, "device", r.Device, "remote", r.Address, "example", r.Example, "count", n)
		if r.Denied {
			line.Warn("a client is refused")
		} else {
			line.Warn("a client would be refused with AUTH=on")
		}
	}
	now := time.Now().UTC().Truncate(time.Millisecond)
	if !r.Denied {
		l.lastWouldDeny.WithLabelValues().Set(float64(now.Unix()))
	}
	l.tally.Add(r.Who(), func(first bool, kept *event.Refusal) {
		began := kept.First
		if first {
			began = now
		}
		*kept = r
		kept.First, kept.Last, kept.Replica = began, now, l.replica
	})
	l.teller.Wake()
}

// Run tells of them until ctx ends.
func (l *List) Run(ctx context.Context) error { return l.teller.Run(ctx) }

// due returns the records to produce now, and whether there is more to tell of, now or later.
func (l *List) due(now time.Time) (records []kafka.Record, more bool) {
	told, more := l.tally.Due(now)
	for _, t := range told {
		r := t.What
		r.Count = t.Count
		if rec, err := r.Record(l.topic); err == nil { // texts and numbers always have one
			records = append(records, rec)
		}
	}
	return records, more
}
