package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
)

// check waits until all that was acknowledged to f is stored, or caughtUp ends, and holds the stores and Kafka
// against what f has published.
func (t *trial) check(ctx, caughtUp context.Context, f *fleet, before offsets, o *outcome) error {
	published, err := f.published()
	if err != nil {
		return err
	}
	report, err := published.Await(caughtUp, t.api)
	if caughtUp.Err() != nil { // in the middle of a walk, maybe
		report, err = published.Check(ctx, t.api)
	}
	if err != nil {
		return fmt.Errorf("read what is stored: %w", err)
	}
	o.acknowledged = report.Acknowledged + report.UndatedAcknowledged
	o.stored = report.Found + report.UndatedStored
	o.twice, o.lost = report.Duplicated, report.Missing
	if o.lost <= t.row.mayLose[f.mode]*t.injected {
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

// connectionBound is the memory that a connection may take of the bridge's.
const connectionBound = 64 << 10

// memory says which process came closest to its bound, and fails when one went beyond.
func (t *trial) memory() (memory string, err error) {
	var errs []error
	worst := 0.0
	for _, name := range t.names() {
		p := t.services[name]
		p.notePeak()
		bound := p.bound
		if name == bridgeListen {
			bound += int64(t.row.crowd) * connectionBound
		}
		text := fmt.Sprintf("%s %d of %d MiB", strings.TrimPrefix(name, "mqtt-"), p.peak>>20, bound>>20)
		if p.peak > bound {
			errs = append(errs, errors.New("too much memory: "+text))
		}
		if share := float64(p.peak) / float64(bound); share > worst {
			worst, memory = share, text
		}
	}
	return memory, errors.Join(errs...)
}
