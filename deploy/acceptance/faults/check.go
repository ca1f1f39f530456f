package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/telltale-iot/telltale/deploy/acceptance/ledger"
)

// result is what a fleet published and what became of it.
type result struct {
	ledger.Report
	repeated int
	err      error
}

// fill adds what was found to a line of the report.
func (n result) fill(o *outcome) {
	o.acknowledged = n.Acknowledged + n.UndatedAcknowledged
	o.stored = n.Found + n.UndatedStored
	o.repeated, o.twice, o.lost = n.repeated, n.Duplicated, n.Missing+n.UndatedMissing+n.Excused
	o.err = errors.Join(o.err, n.err)
}

// check waits until all that was acknowledged is stored, then until the services' counters are in balance and nothing
// is on its way any more, and only then compares the stores and Kafka with what was published: what comes late is
// seen too. It returns what it found of each fleet, and an error of the system as a whole.
func (t *trial) check(ctx context.Context) ([]result, error) {
	published, err := t.published()
	if err != nil {
		return nil, err
	}
	caughtUp, cancel := context.WithTimeout(ctx, t.catchUp)
	defer cancel()
	for _, l := range published {
		_, _ = l.Await(caughtUp, t.api) // the check below says what is missing then
	}
	unbalanced := errors.Join(t.conservation(ctx), t.checkPasts(ctx))

	onKafka, err := t.readTopic(ctx)
	if err != nil {
		return nil, errors.Join(unbalanced, err)
	}
	var found []result
	for i, l := range published {
		var n result
		n.Report, n.err = l.Check(ctx, t.api)
		if n.err != nil {
			n.err = fmt.Errorf("read what is stored: %w", n.err)
		}
		n.err = errors.Join(n.err, n.Err(), l.CheckLatest(ctx, t.api))
		if !t.row.trimmed {
			n.err = errors.Join(n.err, onKafka.complete(l, t.topicSince))
		}
		if i == len(t.fleets) { // the neighbours of poison
			return found, errors.Join(unbalanced, onKafka.err(t.junk), n.err)
		}
		f := t.fleets[i]
		n.err = errors.Join(n.err, f.registered(ctx, t.api))
		var order error
		n.repeated, order = onKafka.order(f)
		if !t.row.unordered {
			n.err = errors.Join(n.err, order)
		}
		found = append(found, n)
	}
	return found, errors.Join(unbalanced, onKafka.err(t.junk))
}

// published returns the ledger of each fleet and, where there were any, that of the neighbours of poison.
func (t *trial) published() ([]*ledger.Ledger, error) {
	var all []*ledger.Ledger
	for _, f := range t.fleets {
		l, err := f.published()
		if err != nil {
			return nil, err
		}
		for _, w := range t.losses[f.mode] {
			l.MayLose(w.from, w.to)
		}
		all = append(all, l)
	}
	if t.poisoned.Len() > 0 {
		l, err := ledger.Parse(strings.NewReader(t.poisoned.String()))
		if err != nil {
			return nil, err
		}
		all = append(all, l)
	}
	return all, nil
}

// connectionBound is the memory that a connection may take of the bridge's.
const connectionBound = 64 << 10

// memory says which process came closest to its bound, and fails when one went beyond, or when it is not known.
func (t *trial) memory() (memory string, err error) {
	var errs []error
	worst := 0.0
	all := slices.Clone(t.retired)
	for _, name := range t.names() {
		all = append(all, t.services[name])
	}
	for _, p := range all {
		p.notePeak()
		bound := cmp.Or(t.row.bound, p.bound)
		if p.name == bridgeListen {
			bound += int64(t.row.crowd) * connectionBound
		}
		text := fmt.Sprintf("%s %d of %d MiB", strings.TrimPrefix(p.name, "mqtt-"), p.peak>>20, bound>>20)
		switch share := float64(p.peak) / float64(bound); {
		case p.peak == 0:
			errs = append(errs, fmt.Errorf("how much memory %s took is not known", p.name))
		case p.peak > bound:
			errs = append(errs, errors.New("too much memory: "+text))
			fallthrough
		case share > worst:
			worst, memory = max(share, worst), text
		}
	}
	return memory, errors.Join(errs...)
}
