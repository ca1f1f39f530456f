package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/telltale-iot/telltale/pkg/daemon"
	"github.com/telltale-iot/telltale/pkg/kafka"
	"github.com/telltale-iot/telltale/pkg/readings"
	"github.com/telltale-iot/telltale/pkg/tlsfiles"
	"github.com/telltale-iot/telltale/services/ingest-writer/writer"
)

// backfill is the program `ingest-writer replay`. It reads the topic once more; the replay of dead letters is query-api's.
type backfill struct {
	kafka.Config
	From       string         `name:"from" placeholder:"TIME" help:"Store again what arrived from this time on: RFC 3339, such as 2026-01-02T15:04:05Z."`
	To         string         `name:"to" placeholder:"TIME" help:"And before this time. Default: now."`
	MongoDBURI string         `env:"MONGODB_URI" default:"mongodb://localhost:27017/iot" help:"Where readings are stored."`
	MongoDBTLS tlsfiles.Files `envprefix:"MONGODB_"`
	LogLevel   slog.Level     `env:"LOG_LEVEL" default:"info" help:"Minimum log level: debug, info, warn or error."`
}

// Operations gives it an operations port that collides with no service on the same machine.
func (b *backfill) Operations() *daemon.Flags {
	return &daemon.Flags{OpsAddr: "127.0.0.1:0", LogLevel: b.LogLevel}
}

// Validate is called when the settings are read.
func (b *backfill) Validate() error {
	_, _, err := b.times()
	return err
}

func (b *backfill) Run(ctx context.Context, p *daemon.Process) error {
	from, to, err := b.times()
	if err != nil {
		return err
	}
	store, err := readings.Open(b.MongoDBURI, b.MongoDBTLS)
	if err != nil {
		return &daemon.ConfigError{Variable: "MONGODB_URI", Value: b.MongoDBURI, Err: err}
	}
	defer daemon.Close(p.Log, "mongodb", store)
	p.Started()
	b.ClientID = writer.Group + "-replay"
	total, err := (&writer.Backfill{Kafka: b.Config, Store: store, From: from, To: to, Log: p.Log}).Run(ctx)
	fmt.Println(total)
	if ctx.Err() != nil {
		return errors.New("interrupted before the end; run it again")
	}
	return err
}

func (b *backfill) times() (from, to time.Time, err error) {
	if b.From == "" {
		return from, to, &daemon.ConfigError{Variable: "--from", Err: errors.New("must be given: the time to begin with, such as 2026-01-02T15:04:05Z")}
	}
	if from, err = time.Parse(time.RFC3339, b.From); err != nil {
		return from, to, &daemon.ConfigError{Variable: "--from", Value: b.From, Err: errNoTime}
	}
	if b.To == "" {
		return from, to, nil
	}
	if to, err = time.Parse(time.RFC3339, b.To); err != nil {
		return from, to, &daemon.ConfigError{Variable: "--to", Value: b.To, Err: errNoTime}
	}
	if !from.Before(to) {
		return from, to, &daemon.ConfigError{Variable: "--to", Value: b.To, Err: errors.New("must be after --from")}
	}
	return from, to, nil
}

var errNoTime = errors.New("must be a time such as 2026-01-02T15:04:05Z")
