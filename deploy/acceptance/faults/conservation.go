package main

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
)

// accounting is what a process has to account for.
type accounting struct {
	stages []string // what it takes in, as the beginning of the names of metrics
	groups []string // of consumers, which it is a member of
}

// accountingOf is by binary; a process that counts less, or does not say how far it is, fails.
var accountingOf = map[string]accounting{
	"mqtt-bridge": {stages: []string{"telltale_bridge_messages", "telltale_bridge_readings"}},
	ingestWriter:  {stages: []string{"telltale_writer_readings"}, groups: []string{"ingest-writer", "dead-letters"}},
	cacheUpdater:  {stages: []string{"telltale_updater_readings"}, groups: []string{"cache-updater"}},
	queryAPI:      {stages: []string{"telltale_registrar_readings"}, groups: []string{"device-registry"}},
	allInOne: {
		stages: []string{
			"telltale_bridge_messages", "telltale_bridge_readings", "telltale_writer_readings", "telltale_updater_readings",
			"telltale_registrar_readings",
		},
		groups: []string{"ingest-writer", "dead-letters", "cache-updater", "device-registry"},
	},
}

func (p *service) accounting() accounting { return accountingOf[filepath.Base(p.binary)] }

// topicOf returns what a group consumes.
func topicOf(group string) string {
	if group == "dead-letters" {
		return deadLetters
	}
	return topic
}

// conservation waits until each process is ready, has accounted for everything that it took, by its own counters
// since its start, and is not behind; and until every partition of a topic is some process's of each group.
func (t *trial) conservation(ctx context.Context) error {
	partitions := map[string]int{}
	for _, name := range []string{topic, deadLetters} {
		end, err := t.endOf(ctx, name)
		if err != nil {
			return err
		}
		partitions[name] = len(end)
	}
	if n := partitions[topic]; n < t.partitions {
		return fmt.Errorf("%s has %d partitions, want %d", topic, n, t.partitions)
	}
	return eventually(ctx, catchUpLimit, func() error {
		var errs []error
		assigned := assignments{}
		for _, name := range t.names() {
			p := t.services[name]
			f, err := p.metrics(ctx)
			if err == nil {
				err = errors.Join(p.accounting().drained(f), assigned.add(f, p.accounting().groups))
			}
			if err == nil {
				err = p.isReady(ctx)
			}
			if err != nil {
				errs = append(errs, fmt.Errorf("%s: %w", name, err))
			}
		}
		return errors.Join(append(errs, assigned.complete(partitions))...)
	})
}

// balanced is nil when, of all that the process counts as received, it says what became of it or that it is on its
// way: at any moment. It returns how much it has received of what it received least, and what is on its way.
func (a accounting) balanced(f families) (received, inFlight float64, err error) {
	for i, stage := range a.stages {
		in, err1 := f.sum(stage + "_received_total")
		became, err2 := f.sum(stage + "_total")
		left, err3 := f.sum(stage + "_in_flight")
		if err := errors.Join(err1, err2, err3); err != nil {
			return 0, 0, err
		}
		if in != became+left {
			return 0, 0, fmt.Errorf("%s: %v received, %v of them became something, %v in flight", stage, in, became, left)
		}
		if i == 0 || in < received {
			received = in
		}
		inFlight += left
	}
	return received, inFlight, nil
}

// drained is nil when the process has taken something, and nothing is on its way any more.
func (a accounting) drained(f families) error {
	received, inFlight, err := a.balanced(f)
	switch {
	case err != nil:
		return err
	case received == 0:
		return fmt.Errorf("it has received nothing of one of %v", a.stages)
	case inFlight != 0:
		return fmt.Errorf("%v in flight", inFlight)
	}
	return nil
}

// assignments are the partitions that processes say are theirs, by group.
type assignments map[string][]string

// add takes note of what a process has of groups, and is nil when it is not behind.
func (c assignments) add(f families, groups []string) error {
	for _, group := range groups {
		const lag = "telltale_kafka_consumer_lag_records"
		behind, err := f.sum(lag, "group", group)
		switch {
		case err != nil:
			return err
		case behind != 0:
			return fmt.Errorf("group %s: %v records behind", group, behind)
		}
		for _, m := range f[lag].GetMetric() {
			if labelOf(m, "group") == group {
				c[group] = append(c[group], labelOf(m, "partition"))
			}
		}
	}
	return nil
}

// complete is nil when every partition of each topic (partitions says how many it has) is one process's.
func (c assignments) complete(partitions map[string]int) error {
	for _, group := range accountingOf[allInOne].groups {
		slices.Sort(c[group])
		once := slices.Compact(slices.Clone(c[group]))
		if n := partitions[topicOf(group)]; len(once) != n || len(c[group]) != n {
			return fmt.Errorf("group %s has partitions %v of the %d of %s", group, c[group], n, topicOf(group))
		}
	}
	return nil
}
