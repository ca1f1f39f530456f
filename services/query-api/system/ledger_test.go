package system

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/telltale-iot/telltale/pkg/event"
	"github.com/telltale-iot/telltale/pkg/report"
)

var noon = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// cluster is what services count, as a test wants it.
type cluster struct {
	received, produced, rejected, failed, sending int64 // by the bridge
	stored, merged, duplicate, conflict, storing  int64 // by the writer
	lag, handled                                  int64
	bridgeMoved, writerMoved                      int64
	partitions                                    int
	without                                       string // a service that says nothing
	writerStarted                                 time.Time
	counted                                       time.Time // zero: at moments apart
}

func (c cluster) instances() (all []Instance) {
	for _, r := range []event.Report{
		{Service: "mqtt-bridge", Accounts: []event.Account{{
			Name: "bridge_readings", Received: c.received, InFlight: c.sending, Moved: c.bridgeMoved,
			Outcomes: map[string]int64{"produced": c.produced, "dead_letter": c.rejected, "failed": c.failed},
		}}},
		{Service: "query-api", Accounts: []event.Account{{Name: "http_readings"}, {Name: "replay_readings"}}},
		{Service: "ingest-writer", Started: c.writerStarted, Accounts: []event.Account{{
			Name: "writer_readings", Received: c.stored + c.merged + c.duplicate + c.conflict + c.storing, InFlight: c.storing, Moved: c.writerMoved,
			Outcomes: map[string]int64{"stored": c.stored, "merged": c.merged, "duplicate": c.duplicate, "conflict": c.conflict},
		}}, Groups: []event.Group{{Group: "ingest-writer", Topic: "raw-data", Partitions: c.partitions, Lag: c.lag, Handled: c.handled}}},
	} {
		if r.Service != c.without {
			r.Instance, r.Counted = "host", c.counted
			all = append(all, Instance{Report: r})
		}
	}
	return all
}

// sent returns c after the bridge has taken n more, which are on Kafka and not read.
func (c cluster) sent(n int64) cluster {
	c.received, c.produced, c.lag = c.received+n, c.produced+n, c.lag+n
	return c
}

// read returns c after the writer has stored n of them.
func (c cluster) read(n int64) cluster {
	c.stored, c.lag = c.stored+n, c.lag-n
	return c
}

func TestConservation(t *testing.T) {
	const yes, no, unknown = "true", "false", "unknown"
	opening := cluster{partitions: 1}.sent(100).read(90) // 10 are in flight when counting begins
	of := func(change func(*cluster)) cluster { c := opening; change(&c); return c }
	type step struct {
		after  time.Duration
		at     cluster
		want   string
		detail string // a part of it
	}
	for name, steps := range map[string][]step{
		"all that was received since is stored, merged, known or rejected": {
			{0, opening, yes, "Each reading"},
			{time.Second, of(func(c *cluster) {
				c.received, c.produced, c.rejected, c.failed, c.sending = 150, 140, 4, 3, 3
				c.lag, c.stored, c.merged, c.duplicate, c.conflict = 20, 115, 2, 2, 1
			}), yes, "Each reading"},
		},
		"one that is lost is missing, when all had the time to say what they have": {
			{0, opening, yes, ""},
			{time.Second, opening.sent(10).read(9).drop(1), unknown, "differs by 1"},
			{time.Second, opening.sent(10).read(9).drop(1), unknown, "differs by 1"},
			{report.GoneAfter, opening.sent(10).read(9).drop(1), no, "1 readings are missing"},
			{time.Second, opening.sent(10).read(9).drop(1), no, "1 readings are missing"},
		},
		"what a service says late is not missing": {
			{0, opening, yes, ""},
			{time.Second, opening.sent(10).read(9).drop(1), unknown, ""},
			{report.GoneAfter / 2, opening.sent(10).read(10), yes, ""},
			{report.GoneAfter, opening.sent(10).read(9).drop(1), unknown, ""},
		},
		"while readings pass it is right to as many": {
			{0, opening, yes, ""},
			{time.Second, opening.sent(10).read(9).drop(1).moved(1, 0), yes, "Up to 1 readings passed"},
			{time.Second, opening.sent(10).read(9).drop(1), unknown, ""},
		},
		"of one process it is right to what passes in half a second": {
			{0, opening.together(), yes, ""},
			{time.Second, opening.sent(100).read(90).drop(10).moved(50, 50).together(), yes, "Up to 10 readings"},
			{time.Second, opening.sent(100).read(89).drop(11).moved(50, 50).together(), unknown, "differs by 11"},
			{time.Second, opening.sent(100).read(89).drop(11).moved(50, 50), yes, "Up to 100 readings"},
		},
		"those that are being handled may be counted twice": {
			{0, opening, yes, ""},
			{time.Second, of(func(c *cluster) { c.stored, c.handled = c.stored+5, 10 }), yes, "10 readings passed"},
		},
		"what passed while the opening was counted is known when all stands still": {
			{0, opening.moved(3, 4), yes, "14 readings"},
			{time.Second, opening.sent(5), yes, "Each reading"},
			{time.Second, opening.sent(5).drop(7), unknown, ""},
		},
		"more than was sent is another program's, and it is counted anew": {
			{0, opening, yes, ""},
			{time.Second, of(func(c *cluster) { c.lag += 3 }), unknown, "differs by -3"},
			{2 * report.GoneAfter, of(func(c *cluster) { c.lag += 3 }), unknown, "3 readings more"},
			{time.Second, of(func(c *cluster) { c.lag += 3 }), yes, "Each reading"},
		},
		"what failed may be there all the same": {
			{0, opening, yes, ""},
			{time.Second, of(func(c *cluster) { c.received, c.failed, c.lag = 102, 2, c.lag+2 }), yes, "2 readings that failed"},
		},
		"without a service it cannot be said, until it is heard of again": {
			{0, opening, yes, ""},
			{time.Second, of(func(c *cluster) { c.without = "ingest-writer" }), unknown, "ingest-writer says nothing"},
			{time.Second, opening.sent(10).read(10), yes, "Each reading"},
			{time.Second, opening.sent(10).read(9).drop(1), unknown, "differs by 1"},
		},
		"one that has no partition yet is missing too": {
			{0, cluster{}, unknown, "no part of the topic"},
		},
		"a service that was started again begins at 0": {
			{0, opening, yes, ""},
			{time.Second, cluster{partitions: 1, received: 100, produced: 100, lag: 10, writerStarted: noon}, yes, ""},
			{time.Second, cluster{partitions: 1, received: 100, produced: 100, lag: 10, writerStarted: noon}.read(10).sent(10), yes, ""},
		},
		"partitions that come or go begin anew": {
			{0, opening, yes, ""},
			{time.Second, of(func(c *cluster) { c.partitions, c.lag = 2, 15 }), yes, ""},
		},
		"a process that loses sight of a reading is a defect at once": {
			{0, opening, yes, ""},
			{time.Second, of(func(c *cluster) { c.received++ }), no, "mqtt-bridge (host) has lost sight"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			var l ledger
			now := noon
			for i, s := range steps {
				now = now.Add(s.after)
				c := l.close(s.at.instances(), now)
				got := unknown
				if c.AddsUp != nil {
					got = fmt.Sprint(*c.AddsUp)
				}
				if got != s.want || !strings.Contains(c.Detail, s.detail) {
					t.Errorf("step %d: %s, %q; want %s, %q\n%+v", i, got, c.Detail, s.want, s.detail, c)
				}
				if sum := c.Received + c.Before - c.outcomes(); got == yes && c.Tolerance == 0 && sum != 0 && c.Failed == 0 {
					t.Errorf("step %d: the sum is wrong by %d, and nobody says so: %+v", i, sum, c)
				}
			}
		})
	}
}

// drop returns c after n that were on Kafka are gone.
func (c cluster) drop(n int64) cluster { c.lag -= n; return c }

func (c cluster) moved(bridge, writer int64) cluster {
	c.bridgeMoved, c.writerMoved = bridge, writer
	return c
}

// together returns c with all counted at the same moment.
func (c cluster) together() cluster { c.counted = noon; return c }
