package system

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/telltale-iot/telltale/pkg/event"
	"github.com/telltale-iot/telltale/pkg/report"
)

// The way of readings from their sources to the store: who takes them in, and who stores them.
var (
	sources = []string{"bridge_readings", "http_readings", "replay_readings"}
	writer  = "writer_readings"
	group   = "ingest-writer" // whose lag is what is between the two
)

// knownWithin is how long a consumer takes to know of a record that was sent, at most, on a machine that has much to do. Until
// then it is on no account.
const knownWithin = 500 * time.Millisecond

// Stage is where on the way the account of that name counts: those of sources are first.
func Stage(account string) int {
	way := append(slices.Clone(sources), writer, "updater_readings", "registrar_readings")
	if i := slices.Index(way, account); i >= 0 {
		return i
	}
	return len(way)
}

// Conservation compares what sources took in with what has become of it, since a moment from which on all are known. AddsUp is
// nil where that cannot be said.
type Conservation struct {
	AddsUp *bool
	Since  time.Time // zero while there is no such moment
	Sums
	Before    int64 // readings that were in flight at Since
	Tolerance int64 // readings that passed while they were counted
	Detail    string
}

// Sums are readings, by what became of them.
type Sums struct {
	Received, Stored, Merged, Duplicates, DeadLetters, Failed, InFlight int64
}

// minus returns what s has more than earlier. What is in flight is not a matter of time.
func (s Sums) minus(earlier Sums) Sums {
	return Sums{
		Received: s.Received - earlier.Received, Stored: s.Stored - earlier.Stored, Merged: s.Merged - earlier.Merged,
		Duplicates: s.Duplicates - earlier.Duplicates, DeadLetters: s.DeadLetters - earlier.DeadLetters,
		Failed: s.Failed - earlier.Failed, InFlight: s.InFlight,
	}
}

func (s Sums) outcomes() int64 {
	return s.Stored + s.Merged + s.Duplicates + s.DeadLetters + s.Failed + s.InFlight
}

// ledger has what was counted at the moment from which on it is compared.
type ledger struct {
	since     time.Time
	opening   Sums
	parts     string    // who counted: another process begins at 0
	tolerance int64     // readings that passed while the opening was counted
	differs   time.Time // since when the sum differs by more than can be; zero while it does not
}

// page is what the instances that run have counted, all together.
type page struct {
	Sums
	parts   string
	passed  int64    // readings that passed while they were counted
	missing []string // who has to be there for the sum, and is not
	wrong   []string // what does not add up in one process
}

// close compares what instances say with the opening, which it makes anew when others count than before.
func (l *ledger) close(instances []Instance, now time.Time) Conservation {
	p := read(instances)
	if len(p.missing) > 0 {
		return p.judge(Conservation{Detail: "It cannot be said: " + strings.Join(p.missing, ", ") + "."})
	}
	if l.parts != p.parts {
		*l = ledger{since: now, opening: p.Sums, parts: p.parts, tolerance: p.passed}
	}
	return p.judge(l.compare(p, now))
}

// judge returns c, or that p does not even add up in one process.
func (p page) judge(c Conservation) Conservation {
	if len(p.wrong) > 0 {
		c.AddsUp, c.Detail = new(false), strings.Join(p.wrong, " ")
	}
	return c
}

// compare says whether p adds up. A service that hangs for a while has counted less than it has done: what differs counts
// when it would have been taken for gone.
func (l *ledger) compare(p page, now time.Time) Conservation {
	c := Conservation{Since: l.since, Sums: p.minus(l.opening), Before: l.opening.InFlight, Tolerance: l.tolerance + p.passed}
	difference := c.Received + c.Before - c.outcomes()
	// What failed may be in Kafka all the same, and be sent again.
	if difference > c.Tolerance || -difference > c.Tolerance+c.Failed {
		if l.differs.IsZero() {
			l.differs = now
		}
		settled := now.Sub(l.differs) > report.GoneAfter
		switch {
		case !settled:
			c.Detail = fmt.Sprintf("The sum differs by %d. It cannot be said before all services had the time to say what they have counted.", difference)
		case difference > 0:
			c.AddsUp = new(false)
			c.Detail = fmt.Sprintf("%d readings are missing: received, and neither stored, merged, duplicates, dead letters, failed nor in flight.", difference)
		default:
			c.Detail = fmt.Sprintf("%d readings more came from Kafka than services sent: another program sends there, or some came twice. It is counted anew.", -difference)
			*l = ledger{}
		}
		return c
	}
	l.differs, c.AddsUp = time.Time{}, new(true)
	switch {
	case p.passed > 0:
		c.Detail = fmt.Sprintf("Up to %d readings passed while services counted: it is right to so many.", c.Tolerance)
	case difference < -l.tolerance:
		c.Detail = fmt.Sprintf("%d readings that failed were in Kafka all the same, and came twice.", -difference)
	default: // all stands still: what differs passed while the opening was counted
		l.opening.Received += difference
		l.tolerance = 0
		c.Received, c.Tolerance = c.Received-difference, 0
		c.Detail = "Each reading that was received has become something, or is in flight."
	}
	return c
}

// read adds up what instances say.
func read(instances []Instance) (p page) {
	running, partitions := map[string]bool{}, 0
	var parts []string
	var moved, handled int64
	moments, apart := map[string]bool{}, false // of processes, at which they counted
	for _, i := range instances {
		if i.Gone {
			continue
		}
		for _, a := range i.Accounts {
			if !a.AddsUp() {
				p.wrong = append(p.wrong, fmt.Sprintf("%s (%s) has lost sight of readings, or has counted some twice: %s.", i.Service, i.Instance, describe(a)))
			}
			if a.Name == writer || slices.Contains(sources, a.Name) {
				running[a.Name] = true
				parts = append(parts, a.Name+" "+i.Instance+" "+i.Started.String())
				p.add(a)
				moved += a.Moved
				moments[i.Instance+" "+i.Counted.String()] = true
				apart = apart || i.Counted.IsZero()
			}
		}
		for _, g := range i.Groups {
			if g.Group == group {
				partitions += g.Partitions
				p.InFlight += g.Lag
				handled += g.Handled
			}
		}
	}
	if len(moments) == 1 && !apart { // of one process: all that is between its accounts is what Kafka has, and its consumer does not know of
		moved = int64(math.Ceil(float64(moved) * knownWithin.Seconds() / report.MovedOver.Seconds()))
	}
	p.passed = moved + handled
	for _, service := range []struct{ name, account string }{
		{"mqtt-bridge", "bridge_readings"}, {"query-api", "http_readings"}, {"ingest-writer", writer},
	} {
		if !running[service.account] {
			p.missing = append(p.missing, service.name+" says nothing")
		}
	}
	if len(p.missing) == 0 && partitions == 0 {
		p.missing = append(p.missing, group+" has no part of the topic yet")
	}
	p.parts = fmt.Sprint(partitions, parts)
	return p
}

// add adds what a counts.
func (p *page) add(a event.Account) {
	if a.Name == writer {
		p.Stored += a.Outcomes["stored"]
		p.Merged += a.Outcomes["merged"]
		p.Duplicates += a.Outcomes["duplicate"]
		p.DeadLetters += a.Outcomes["rejected"] + a.Outcomes["conflict"] + a.Outcomes["too_old"]
		return
	}
	p.Received += a.Received
	p.DeadLetters += a.Outcomes["dead_letter"]
	p.Failed += a.Outcomes["failed"]
	p.InFlight += a.InFlight
}

func describe(a event.Account) string {
	text := fmt.Sprintf("%d received", a.Received)
	for _, outcome := range slices.Sorted(maps.Keys(a.Outcomes)) {
		text += fmt.Sprintf(", %d %s", a.Outcomes[outcome], outcome)
	}
	return text + fmt.Sprintf(", %d in flight", a.InFlight)
}
