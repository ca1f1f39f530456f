package main

import (
	"context"
	"errors"
	"net/url"
	"strings"

	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"
)

func ingestWriter(ctx context.Context, b *bench, start starter) (f figures, err error) {
	uri, drop, err := b.mongoDatabase(ctx)
	if err != nil {
		return f, err
	}
	defer func() { err = errors.Join(err, drop()) }()
	return b.backlog(ctx, start, "ingest-writer", "MONGODB_URI="+uri)
}

func cacheUpdater(ctx context.Context, b *bench, start starter) (figures, error) {
	return b.backlog(ctx, start, "cache-updater", "REDIS_URL="+server("REDIS_URL"))
}

// backlog writes readings to Kafka and measures how they are worked off, as a consumer group that has the service's name.
func (b *bench) backlog(ctx context.Context, start starter, group string, settings ...string) (f figures, err error) {
	t, err := b.newTopic(ctx, group)
	if err != nil {
		return f, err
	}
	defer func() { err = errors.Join(err, t.remove(group)) }()
	if err := t.fill(ctx, b.readings); err != nil {
		return f, err
	}
	p, err := start(ctx, append(append(t.settings(), settings...), groupVariable+"="+group)...)
	if err != nil {
		return f, err
	}
	f.n = b.readings
	f.rate, err = await(ctx, int64(b.readings), func(ctx context.Context) (int64, error) { return t.committed(ctx, group) })
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
