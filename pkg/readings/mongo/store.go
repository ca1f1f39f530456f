package mongo

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"golang.org/x/sync/singleflight"

	"github.com/telltale-iot/telltale/pkg/iot"
	"github.com/telltale-iot/telltale/pkg/mongodb"
	"github.com/telltale-iot/telltale/pkg/readings/internal/occupied"
	"github.com/telltale-iot/telltale/pkg/tlsfiles"
)

// Store is a readings.Store.
type Store struct {
	*mongodb.Collection
	looking  singleflight.Group
	looked   atomic.Int64 // when the unique indexes were last there, in Unix ms; 0: look again
	occupied occupied.Ranges
	maxBytes int // maxStoredBytes, and less in tests

	days      *mongodb.Collection
	dirty     *mongodb.Collection // the marks
	known     atomic.Pointer[knownProgress]
	log       *slog.Logger
	retention iot.Retention
	setAsides prometheus.Counter
	aside     sync.Map         // the days that were set aside, and when
	clock     func() time.Time // in tests, in place of the server's

	maxProgressAge, recheckAfter time.Duration // as the constants, and less in tests
	maxDayMetrics                int
}

// Options are what the owner of a store opens it with. Those who only read leave them out.
type Options struct {
	Log       *slog.Logger // where Maintain says what it cannot do
	Retention iot.Retention
	Metrics   prometheus.Registerer // or nil
}

var (
	_ iot.ReadingWriter = (*Store)(nil)
	_ iot.ReadingReader = (*Store)(nil)
	_ iot.HistoryReader = (*Store)(nil)
)

const (
	collectionName = "readings"
	daysName       = "readings_days"
	dirtyName      = "readings_dirty"
	// lookEvery is how old the look at the indexes may be that an insert relies on. It bounds for how long
	// readings go unguarded into a collection that somebody has dropped. With each insert, a look would take a
	// quarter as much processor time as the insert.
	lookEvery = 100 * time.Millisecond
)

// Open returns the store in the database that uri, as MongoDB defines connection strings, names in its
// path. With tls=true the connections are secured by files. Open does not wait for the server.
func Open(uri string, files tlsfiles.Files, o Options) (*Store, error) {
	db, err := mongodb.Open(uri, files)
	if err != nil {
		return nil, err
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	return &Store{
		Collection: &mongodb.Collection{DB: db, Name: collectionName, Indexes: []mongodb.Index{unique, moved, newest}},
		days:       &mongodb.Collection{DB: db, Name: daysName, Indexes: []mongodb.Index{byDay}},
		dirty:      &mongodb.Collection{DB: db, Name: dirtyName, Indexes: []mongodb.Index{byHour}},
		maxBytes:   maxStoredBytes, maxDayMetrics: maxDayMetrics, maxProgressAge: maxProgressAge, recheckAfter: recheckAfter, log: o.Log, retention: o.Retention,
		setAsides: promauto.With(o.Metrics).NewCounter(prometheus.CounterOpts{
			Name: "telltale_store_rollups_set_aside_total",
			Help: "Days of devices that could not be rolled up, and of which charts are made of readings.",
		}),
	}, nil
}

// The unique index serves the readings of one device, newest first, the other one those of all.
var (
	unique = mongodb.Index{Keys: bson.D{{Key: fieldDevice, Value: 1}, {Key: fieldAt, Value: 1}}, Unique: true}
	// That a reading which was moved is not stored twice; there are few of them. Where it is not unique, the look that
	// InsertReadings takes before it moves one is all there is against that.
	moved  = mongodb.Index{Keys: bson.D{{Key: fieldMoved, Value: 1}}, Unique: true, Relaxed: true, Sparse: true}
	newest = mongodb.Index{Keys: bson.D{{Key: fieldAt, Value: -1}, {Key: fieldDevice, Value: -1}}}
	// Of the days it serves those of all devices, and with the number of readings counts alone.
	byDay = mongodb.Index{Keys: bson.D{{Key: "_id.day", Value: 1}, {Key: "_id.d", Value: 1}, {Key: fieldReadings, Value: 1}}}
	// Of the marks it serves those of all devices.
	byHour = mongodb.Index{Keys: bson.D{{Key: "_id.hour", Value: 1}, {Key: "_id.d", Value: 1}}}
)

// Prepare creates the indexes that are missing, and the collection where that is. Creating them fails where readings of
// the same device and time are stored already. Readings that were without the unique one are not those that were rolled
// up.
func (s *Store) Prepare(ctx context.Context) error {
	if err := s.CheckUnique(ctx); errors.Is(err, mongodb.ErrNoIndex) {
		if err := s.beginAnew(ctx); err != nil {
			return err
		}
		if err := s.create(ctx); err != nil {
			return err
		}
	}
	err := s.Collection.Prepare(ctx)
	if mongo.IsDuplicateKeyError(err) {
		return fmt.Errorf("%w; run ingest-writer repair where the collection holds readings twice", err)
	}
	return err
}

// create creates a new collection that takes half the space that one takes which comes into being by itself.
func (s *Store) create(ctx context.Context) error {
	database, err := s.DB.Database(ctx)
	if err != nil {
		return err
	}
	err = database.RunCommand(ctx, bson.D{
		{Key: "create", Value: collectionName},
		{Key: "storageEngine", Value: bson.D{{Key: "wiredTiger", Value: bson.D{{Key: "configString", Value: "block_compressor=zstd"}}}}},
	}).Err()
	if errors.As(err, new(mongo.CommandError)) {
		return nil // it is there, or the server has another engine, and makes it as it likes
	}
	return err
}

// guarded is nil when the unique indexes are there, or were a moment ago. Calls share a look.
func (s *Store) guarded(ctx context.Context) error {
	if time.Since(time.UnixMilli(s.looked.Load())) < lookEvery {
		return nil
	}
	result := s.looking.DoChan("", func() (any, error) {
		err := s.CheckUnique(context.WithoutCancel(ctx))
		if err == nil {
			s.looked.Store(time.Now().UnixMilli())
		} else {
			s.occupied.Forget() // what it has seen may not be there any more
		}
		return nil, err
	})
	select {
	case r := <-result:
		return r.Err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// ask decodes the answer to a command.
func (s *Store) ask(ctx context.Context, command bson.D, answer any) error {
	database, err := s.DB.Database(ctx)
	if err != nil {
		return err
	}
	return database.RunCommand(ctx, command).Decode(answer)
}
