package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
)

// check waits until all that was acknowledged to f is stored, and holds the stores and Kafka against what f
// has published.
func (t *trial) check(ctx context.Context, f *fleet, before offsets, o *outcome) error {
	published, err := f.finish()
	if err != nil {
		return err
	}
	mayLose := t.row.mayLose[f.mode] * t.injected
	limit := catchUpLimit
	if mayLose > 0 {
		limit = lossLimit
	}
	waiting, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	report, err := published.Await(waiting, t.api)
	if err != nil {
		return fmt.Errorf("read what is stored: %w", err)
	}
	o.acknowledged = report.Acknowledged + report.UndatedAcknowledged
	o.stored = report.Found + report.UndatedStored
	o.twice, o.lost = report.Duplicated, report.Missing
	if o.lost <= mayLose {
		report.Missing = 0
	}
	latest := eventually(ctx, catchUpLimit, func() error { return published.CheckLatest(ctx, t.api) })
	registered := eventually(ctx, catchUpLimit, func() error { return f.registered(ctx, t.api) })

	onKafka, err := t.readTopic(ctx, before)
	if err != nil {
		return errors.Join(report.Err(), latest, registered, err)
	}
	repeated, order := onKafka.order(f)
	o.repeated = repeated
	if t.row.unordered {
		order = nil
	}
	return errors.Join(report.Err(), latest, registered, order)
}

// memory says which process came closest to its bound, and fails when one went beyond.
func (t *trial) memory() (string, error) {
	var worst *service
	var errs []error
	for _, name := range t.names() {
		p := t.services[name]
		p.notePeak()
		if p.peak > p.bound {
			errs = append(errs, fmt.Errorf("%s took %d MiB of memory, its bound is %d MiB", name, p.peak>>20, p.bound>>20))
		}
		if worst == nil || float64(p.peak)/float64(p.bound) > float64(worst.peak)/float64(worst.bound) {
			worst = p
		}
	}
	return fmt.Sprintf("%s %d of %d MiB", strings.TrimPrefix(worst.name, "mqtt-"), worst.peak>>20, worst.bound>>20), errors.Join(errs...)
}
