package main

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
)

// books are what a process has to account for.
type books struct {
	things []string // what it takes in, as the beginning of the names of metrics
	groups []string // of consumers, which it is a member of
}

// booksOf is by binary; a process that counts less, or does not say how far it is, fails.
var booksOf = map[string]books{
	"mqtt-bridge": {things: []string{"telltale_bridge_messages", "telltale_bridge_readings"}},
	ingestWriter:  {things: []string{"telltale_writer_readings"}, groups: []string{"ingest-writer", "dead-letters"}},
	cacheUpdater:  {things: []string{"telltale_updater_readings"}, groups: []string{"cache-updater"}},
	queryAPI:      {things: []string{"telltale_registrar_readings"}, groups: []string{"device-registry"}},
	allInOne: {
		things: []string{
			"telltale_bridge_messages", "telltale_bridge_readings", "telltale_writer_readings", "telltale_updater_readings",
			"telltale_registrar_readings",
		},
		groups: []string{"ingest-writer", "dead-letters", "cache-updater", "device-registry"},
	},
}

func (p *service) books() books { return booksOf[filepath.Base(p.binary)] }

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
		claimed := claims{}
		for _, name := range t.names() {
			p := t.services[name]
			f, err := p.metrics(ctx)
			if err == nil {
				err = errors.Join(p.books().settled(f), claimed.add(f, p.books().groups))
			}
			if err == nil {
				err = p.isReady(ctx)
			}
			if err != nil {
				errs = append(errs, fmt.Errorf("%s: %w", name, err))
			}
		}
		return errors.Join(append(errs, claimed.complete(partitions))...)
	})
}

// balanced is nil when, of all that the process counts as received, it says what became of it or that it is on its
// way: at any moment. It returns how much it has received of what it received least, and what is on its way.
func (b books) balanced(f families) (received, flying float64, err error) {
	for i, thing := range b.things {
		in, err1 := f.sum(thing + "_received_total")
		became, err2 := f.sum(thing + "_total")
		left, err3 := f.sum(thing + "_in_flight")
		if err := errors.Join(err1, err2, err3); err != nil {
			return 0, 0, err
		}
		if in != became+left {
			return 0, 0, fmt.Errorf("%s: %v received, %v of them became something, %v in flight", thing, in, became, left)
		}
		if i == 0 || in < received {
			received = in
		}
		flying += left
	}
	return received, flying, nil
}

// settled is nil when the process has taken something, and nothing is on its way any more.
func (b books) settled(f families) error {
	received, flying, err := b.balanced(f)
	switch {
	case err != nil:
		return err
	case received == 0:
		return fmt.Errorf("it has received nothing of one of %v", b.things)
	case flying != 0:
		return fmt.Errorf("%v in flight", flying)
	}
	return nil
}

// claims are the partitions that processes say are theirs, by group.
type claims map[string][]string

// add takes note of what a process has of groups, and is nil when it is not behind.
func (c claims) add(f families, groups []string) error {
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
func (c claims) complete(partitions map[string]int) error {
	for _, group := range booksOf[allInOne].groups {
		slices.Sort(c[group])
		once := slices.Compact(slices.Clone(c[group]))
		if n := partitions[topicOf(group)]; len(once) != n || len(c[group]) != n {
			return fmt.Errorf("group %s has partitions %v of the %d of %s", group, c[group], n, topicOf(group))
		}
	}
	return nil
}
