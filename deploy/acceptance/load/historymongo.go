package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/telltale-iot/telltale/pkg/readings/mongo"
	"github.com/telltale-iot/telltale/pkg/tlsfiles"
)

// historyMongo has a chart of 30 days of one device in MongoDB, from its rollups.
func historyMongo(ctx context.Context, b *bench, stored int, keep func(line)) (err error) {
	uri, drop, err := b.mongoDatabase(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, drop()) }()
	const days = 30
	l := load{first: 100, devices: 1, every: (days * 24 * time.Hour / time.Duration(stored)).Truncate(time.Millisecond), ticks: stored, end: lastStored()}
	if err := b.fillMongo(ctx, uri, l, keep); err != nil {
		return err
	}
	a, err := b.startOn(ctx, b.dir, "MONGODB_URI="+uri)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, a.Stop()) }()
	return a.chart(ctx, "chart-30d-mongo", fmt.Sprintf("30 days of %d readings in MongoDB", stored), chartOf(l.first, l.end, days), 100, 300, keep)
}

// fillMongo inserts l into the database at uri, and returns when it is rolled up: that begins after five minutes.
func (b *bench) fillMongo(ctx context.Context, uri string, l load, keep func(line)) (err error) {
	store, err := mongo.Open(uri, tlsfiles.Files{}, mongo.Options{Log: b.log})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, store.Close()) }()
	if err := store.Prepare(ctx); err != nil {
		return err
	}
	inserting, _, err := l.insert(ctx, store, func() (time.Duration, error) { return 0, nil })
	if err != nil {
		return err
	}
	keep(line{
		name: "ingest-mongo", what: fmt.Sprintf("%d readings inserted into MongoDB", l.ticks), got: inserting.Seconds() / float64(l.ticks) * million,
		unit: "CPU-s per M", note: "of the client",
	})
	begin := l.end.Add(-time.Duration(l.ticks) * l.every)
	return maintain(ctx, store, 15*time.Second, func() (bool, error) {
		checked, err := store.CheckRollups(ctx, b.log)
		return !checked.From.IsZero() && !checked.From.After(begin), err
	})
}
