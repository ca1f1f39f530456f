package main

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/telltale-iot/telltale/pkg/daemon"
	"github.com/telltale-iot/telltale/pkg/deadletters"
	"github.com/telltale-iot/telltale/pkg/event"
	"github.com/telltale-iot/telltale/pkg/iot"
	"github.com/telltale-iot/telltale/pkg/readings/mongo"
	"github.com/telltale-iot/telltale/pkg/tlsfiles"
)

// repair is the program `ingest-writer repair`.
type repair struct {
	MongoDBURI string         `env:"MONGODB_URI" default:"mongodb://localhost:27017/iot" help:"Where readings and dead letters are stored."`
	MongoDBTLS tlsfiles.Files `envprefix:"MONGODB_"`
	LogLevel   slog.Level     `env:"LOG_LEVEL" default:"info" help:"Minimum log level: debug, info, warn or error."`
}

// Operations gives a repair an operations port that collides with no service on the same machine.
func (r *repair) Operations() *daemon.Flags {
	return &daemon.Flags{OpsAddr: "127.0.0.1:0", LogLevel: r.LogLevel}
}

func (r *repair) Run(ctx context.Context, p *daemon.Process) error {
	store, err := mongo.Open(r.MongoDBURI, r.MongoDBTLS, mongo.Options{Log: p.Log})
	if err != nil {
		return &daemon.ConfigError{Variable: "MONGODB_URI", Value: r.MongoDBURI, Err: err}
	}
	defer daemon.Close(p.Log, "mongodb", store)
	deadLetters, err := deadletters.Open(r.MongoDBURI, r.MongoDBTLS)
	if err != nil {
		return &daemon.ConfigError{Variable: "MONGODB_URI", Value: r.MongoDBURI, Err: err}
	}
	defer daemon.Close(p.Log, "mongodb", deadLetters)
	p.Started()
	done, err := store.Repair(ctx, p.Log, func(ctx context.Context, surplus []mongo.Surplus) error {
		_, err := deadLetters.InsertDeadLetters(ctx, deadLettersOf(surplus))
		return err
	})
	fmt.Println(done)
	if ctx.Err() != nil {
		return errors.New("interrupted before the end; run it again")
	}
	return err
}

// deadLettersOf returns the dead letters of documents that are removed. A document that comes again, after a repair was
// interrupted, has the same one.
func deadLettersOf(surplus []mongo.Surplus) []iot.DeadLetter {
	var deadLetters []iot.DeadLetter
	for _, s := range surplus {
		id := sha256.Sum256([]byte("repair " + s.ID))
		deadLetter := iot.DeadLetter{
			Rejection: iot.Rejection{Reason: iot.ReasonConflict, Detail: "another document has its place, and this is no reading", Bytes: s.JSON},
			ID:        iot.DeadLetterID(id[:]), Source: "mongodb readings " + s.ID, Received: time.Now().UTC().Truncate(time.Millisecond),
		}
		if s.Reading.Device != 0 {
			deadLetter.Rejection = event.Conflict(s.Reading)
			if deadLetter.Received = s.Reading.Received; deadLetter.Received.IsZero() { // the system before Telltale wrote none
				deadLetter.Received = s.Reading.At
			}
			var ok bool
			if deadLetter.Bytes, deadLetter.ContentType, ok = event.Values(s.Reading, deadLetter.Received); !ok { // as it would come from Kafka
				record := event.Record("", s.Reading)
				deadLetter.Bytes, deadLetter.ContentType = record.Value, string(record.Headers[0].Value)
			}
		}
		deadLetters = append(deadLetters, deadLetter)
	}
	return deadLetters
}
