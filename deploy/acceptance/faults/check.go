package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
)

// check waits until all that f was told to be acknowledged is stored, and holds the stores and Kafka against
// f's ledger.
func (t *trial) check(ctx context.Context, f *fleet, before offsets, o *outcome) error {
	l, err := f.finish()
	if err != nil {
		return err
	}
	waiting, cancel := context.WithTimeout(ctx, catchUpLimit)
	defer cancel()
	report, err := l.Await(waiting, t.api)
	if err != nil {
		return fmt.Errorf("read what is stored: %w", err)
	}
	o.acknowledged = report.Acknowledged + report.UndatedAcknowledged
	o.stored = report.Found + report.UndatedStored
	o.lost = report.Missing
	latest := eventually(ctx, catchUpLimit, func() error { return l.CheckLatest(ctx, t.api) })

	records, err := t.readTopic(ctx, before)
	if err != nil {
		return errors.Join(report.Err(), latest, err)
	}
	order, repeated := records.order(f.first, f.first+fleetDevices)
	o.repeated = repeated
	if t.row.unordered {
		order = nil
	}
	return errors.Join(report.Err(), latest, order)
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
