package writer_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"github.com/telltale-iot/telltale/pkg/event"
	"github.com/telltale-iot/telltale/pkg/iot"
	"github.com/telltale-iot/telltale/pkg/kafka"
	"github.com/telltale-iot/telltale/pkg/readings"
	"github.com/telltale-iot/telltale/pkg/readings/sqlite"
	"github.com/telltale-iot/telltale/pkg/tlsfiles"
	"github.com/telltale-iot/telltale/services/ingest-writer/writer"
)

// TestBackfill fills a new, empty store: an SQLite file, or a database of the MongoDB that
// TEST_MONGODB_URI names.
func TestBackfill(t *testing.T) {
	e := newEnvironment(t)
	const n = 2500
	var records []kafka.Record
	for i := range n {
		records = append(records, event.Record(e.kafka.Topic, measured(iot.DeviceID(1+i%7), i, float64(i))))
	}
	start := now()
	e.produce(kafka.Record{Topic: e.kafka.Topic, Key: []byte("9"), Value: []byte("junk")})
	e.produce(records[0])
	from := now()
	e.produce(records[1:501]...)
	to := now()
	e.produce(records[501:]...)
	e.produce(event.Record(e.kafka.Topic, measured(1, 0, 99))) // a conflict

	store := &store{Store: emptyStore(t)}
	again := func(from, to time.Time) *writer.Backfill {
		return &writer.Backfill{Kafka: e.kafka, Store: store, From: from, To: to, Log: slog.New(slog.NewTextHandler(t.Output(), nil))}
	}
	steps := []struct {
		name     string
		from, to time.Time
		want     writer.Backfilled
	}{
		{"what came to Kafka between two times is stored", from, to,
			writer.Backfilled{Records: 500, Stored: 500}},
		{"what is stored already is a duplicate, and the rest is stored", start, time.Time{},
			writer.Backfilled{Records: n + 2, Stored: n - 500, Duplicates: 500, Conflicts: 1, Rejected: 1}},
		{"a second run stores nothing", start, time.Time{},
			writer.Backfilled{Records: n + 2, Duplicates: n, Conflicts: 1, Rejected: 1}},
	}
	for _, step := range steps {
		t.Run(step.name, func(t *testing.T) {
			got, err := again(step.from, step.to).Run(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(step.want, got); diff != "" {
				t.Errorf("backfilled (-want +got):\n%s", diff)
			}
		})
	}

	t.Run("while the store is away it waits", func(t *testing.T) {
		store.down.Store(true)
		done := make(chan error, 1)
		go func() {
			_, err := again(start, time.Time{}).Run(t.Context())
			done <- err
		}()
		e.eventually("the store refuses twice", func() bool { return store.refused.Load() > 1 })
		store.down.Store(false)
		if err := <-done; err != nil {
			t.Error(err)
		}
	})

	t.Run("it can be interrupted", func(t *testing.T) {
		store.down.Store(true)
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() {
			_, err := again(start, time.Time{}).Run(ctx)
			done <- err
		}()
		refused := store.refused.Load()
		e.eventually("the store refuses", func() bool { return store.refused.Load() > refused })
		cancel()
		if err := <-done; !errors.Is(err, context.Canceled) {
			t.Errorf("got %v, want %v", err, context.Canceled)
		}
	})
}

// now returns the time; what came to Kafka before has an earlier one.
func now() time.Time {
	time.Sleep(2 * time.Millisecond)
	return time.Now().Truncate(time.Millisecond)
}

func dropDatabase(t *testing.T, uri, name string) {
	client, err := mongo.Connect(options.Client().ApplyURI(uri))
	if err != nil {
		t.Error(err)
		return
	}
	defer func() { _ = client.Disconnect(context.Background()) }()
	if err := client.Database(name).Drop(context.Background()); err != nil {
		t.Error(err)
	}
}

func emptyStore(t *testing.T) readings.Store {
	t.Helper()
	open := func() (readings.Store, error) {
		return sqlite.Open(filepath.Join(t.TempDir(), "readings"), sqlite.Options{Log: slog.New(slog.DiscardHandler)})
	}
	if server := os.Getenv("TEST_MONGODB_URI"); server != "" {
		u, err := url.Parse(server)
		if err != nil {
			t.Fatal(err)
		}
		u.Path = fmt.Sprintf("/test-backfill-%d", time.Now().UnixNano())
		u.RawQuery = "authSource=admin"
		open = func() (readings.Store, error) { return readings.Open(u.String(), tlsfiles.Files{}) }
		t.Cleanup(func() { dropDatabase(t, u.String(), u.Path[1:]) })
	}
	s, err := open()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}
