package main

import (
	"context"
	"errors"
	"net/url"
	"strings"
	"time"

	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"github.com/telltale-iot/telltale/pkg/latest"
	"github.com/telltale-iot/telltale/pkg/tlsfiles"
)

func ingestWriter(ctx context.Context, b *bench, start starter) (f figures, err error) {
	uri, drop, err := b.mongoDatabase(ctx)
	if err != nil {
		return f, err
	}
	defer func() { err = errors.Join(err, drop()) }()
	return b.backlog(ctx, start, b.readings, "ingest-writer", "MONGODB_URI="+uri)
}

func cacheUpdater(ctx context.Context, b *bench, start starter) (figures, error) {
	if err := b.completeCache(ctx); err != nil {
		return figures{}, err
	}
	return b.backlog(ctx, start, fast*b.readings, "cache-updater", "REDIS_URL="+server("REDIS_URL"))
}

// completeCache has a cache-updater fill the cache from a topic that is empty. One that finds the cache not complete reads
// its topic twice, which is not what the row measures.
func (b *bench) completeCache(ctx context.Context) (err error) {
	t, err := b.newTopic(ctx, "complete")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, t.remove("cache-updater")) }()
	cache, err := latest.Open(server("REDIS_URL"), tlsfiles.Files{})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, cache.Close()) }()
	p, err := b.service("cache-updater")(ctx, append(t.settings(), "REDIS_URL="+server("REDIS_URL"))...)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeoutCause(ctx, time.Minute, errors.New("the cache is not complete after a minute"))
	defer cancel()
	err = poll(ctx, 50*time.Millisecond, func() (bool, error) { return cache.Complete(ctx) })
	return errors.Join(err, p.Stop())
}

// backlog writes n readings to Kafka and measures how they are worked off, as a consumer group that has the service's name.
func (b *bench) backlog(ctx context.Context, start starter, n int, group string, settings ...string) (f figures, err error) {
	t, err := b.newTopic(ctx, group)
	if err != nil {
		return f, err
	}
	defer func() { err = errors.Join(err, t.remove(group)) }()
	if err := t.fill(ctx, n); err != nil {
		return f, err
	}
	p, err := start(ctx, append(append(t.settings(), settings...), groupVariable+"="+group)...)
	if err != nil {
		return f, err
	}
	f.n = n
	f.rate, err = await(ctx, int64(n), func(ctx context.Context) (int64, error) { return t.committed(ctx, group) })
	return finish(p, f, err)
}

// mongoDatabase returns the URI of a database of this run's own, and what removes it.
func (b *bench) mongoDatabase(ctx context.Context) (uri string, drop func() error, err error) {
	u, err := url.Parse(server("MONGODB_URI"))
	if err != nil {
		return "", nil, err
	}
	u.Path = "/" + b.name
	client, err := mongo.Connect(options.Client().ApplyURI(u.String()))
	if err != nil {
		return "", nil, err
	}
	drop = func() error {
		ctx := context.WithoutCancel(ctx)
		return errors.Join(client.Database(strings.TrimPrefix(u.Path, "/")).Drop(ctx), client.Disconnect(ctx))
	}
	return u.String(), drop, nil
}
