package main

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"time"

	"github.com/go-sql-driver/mysql"

	"github.com/telltale-iot/telltale/pkg/iot"
	"github.com/telltale-iot/telltale/pkg/latest"
	"github.com/telltale-iot/telltale/pkg/metadata"
	"github.com/telltale-iot/telltale/pkg/proxytest"
	"github.com/telltale-iot/telltale/pkg/readings"
	"github.com/telltale-iot/telltale/pkg/tlsfiles"
)

const (
	queryDevices  = 20
	queryReadings = 200 // of each device
)

func httpLatest(ctx context.Context, b *bench, start starter) (figures, error) {
	return b.query(ctx, start, func(id iot.DeviceID) string { return fmt.Sprintf("/api/devices/%d/latest/", id) })
}

func httpReadings(ctx context.Context, b *bench, start starter) (figures, error) {
	return b.query(ctx, start, func(id iot.DeviceID) string { return fmt.Sprintf("/api/devices/%d/readings/?limit=100", id) })
}

func httpDevices(ctx context.Context, b *bench, start starter) (figures, error) {
	return b.query(ctx, start, func(iot.DeviceID) string { return "/api/devices/" })
}

// query measures an API, with a few devices and their readings in its stores, under requests for the
// devices' paths.
func (b *bench) query(ctx context.Context, start starter, path func(iot.DeviceID) string) (f figures, err error) {
	t, err := b.newTopic(ctx, "query-api")
	if err != nil {
		return f, err
	}
	defer func() { err = errors.Join(err, t.remove("device-registry")) }()
	mongoURI, dropMongo, err := b.mongoDatabase(ctx)
	if err != nil {
		return f, err
	}
	defer func() { err = errors.Join(err, dropMongo()) }()
	databaseURL, dropMySQL, err := b.mysqlDatabase(ctx)
	if err != nil {
		return f, err
	}
	defer func() { err = errors.Join(err, dropMySQL()) }()
	if err := seed(ctx, databaseURL, mongoURI, server("REDIS_URL")); err != nil {
		return f, fmt.Errorf("prepare the stores: %w", err)
	}

	addrs, err := proxytest.FreeAddrs(1)
	if err != nil {
		return f, err
	}
	p, err := start(ctx, append(t.settings(), "HTTP_ADDR="+addrs[0], "DATABASE_URL="+databaseURL,
		"MONGODB_URI="+mongoURI, "REDIS_URL="+server("REDIS_URL"))...)
	if err != nil {
		return f, err
	}
	var paths []string
	for n := range queryDevices {
		paths = append(paths, path(reading(n).Device))
	}
	f, err = getAll(ctx, addrs[0], paths, b.seconds)
	return finish(p, f, err)
}

// seed puts devices, their readings, and the latest of those into the stores.
func seed(ctx context.Context, databaseURL, mongoURI, redisURL string) error {
	var seen []iot.Identity
	var batch, newest []iot.Reading
	for n := range queryDevices {
		r := reading(n)
		seen, newest = append(seen, iot.Identity{ID: r.Device}), append(newest, r)
		for range queryReadings {
			batch = append(batch, r)
			r.At = r.At.Add(-time.Second)
		}
	}

	devices, err := metadata.Open(databaseURL, tlsfiles.Files{})
	if err != nil {
		return err
	}
	defer func() { _ = devices.Close() }()
	if err := devices.Prepare(ctx); err != nil {
		return err
	}
	if _, err := devices.EnsureDevices(ctx, seen, iot.Admission{}); err != nil {
		return err
	}

	store, err := readings.Open(mongoURI, tlsfiles.Files{})
	if err != nil {
		return err
	}
	defer func() { _ = store.Close() }()
	if err := store.Prepare(ctx); err != nil {
		return err
	}
	if _, err := store.InsertReadings(ctx, batch); err != nil {
		return err
	}

	cache, err := latest.Open(redisURL, tlsfiles.Files{})
	if err != nil {
		return err
	}
	defer func() { _ = cache.Close() }()
	_, err = cache.PutLatest(ctx, newest, 10*time.Minute)
	return err
}

// mysqlDatabase creates a database of this run's own, and returns its URL and what removes it.
func (b *bench) mysqlDatabase(ctx context.Context) (databaseURL string, drop func() error, err error) {
	admin, err := openMySQL(server("MYSQL_URL"))
	if err != nil {
		return "", nil, err
	}
	if _, err := admin.ExecContext(ctx, "CREATE DATABASE "+b.name); err != nil {
		return "", nil, errors.Join(err, admin.Close())
	}
	drop = func() error {
		_, err := admin.ExecContext(context.WithoutCancel(ctx), "DROP DATABASE "+b.name)
		return errors.Join(err, admin.Close())
	}
	u, err := url.Parse(server("MYSQL_URL"))
	if err != nil {
		return "", nil, errors.Join(err, drop())
	}
	u.Path = "/" + b.name
	return u.String(), drop, nil
}

// openMySQL opens a mysql:// URL.
func openMySQL(databaseURL string) (*sql.DB, error) {
	u, err := url.Parse(databaseURL)
	if err != nil {
		return nil, err
	}
	cfg := mysql.NewConfig()
	cfg.Net, cfg.Addr, cfg.User, cfg.DBName = "tcp", u.Host, u.User.Username(), strings.TrimPrefix(u.Path, "/")
	cfg.Passwd, _ = u.User.Password()
	connector, err := mysql.NewConnector(cfg)
	if err != nil {
		return nil, err
	}
	return sql.OpenDB(connector), nil
}
