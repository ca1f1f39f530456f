package credentials

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/telltale-iot/telltale/pkg/credentials"
	"github.com/telltale-iot/telltale/pkg/embedded"
	"github.com/telltale-iot/telltale/pkg/embedded/embeddedtest"
	"github.com/telltale-iot/telltale/pkg/iot"
	"github.com/telltale-iot/telltale/pkg/kafka"
	"github.com/telltale-iot/telltale/pkg/kafka/kafkatest"
	"github.com/telltale-iot/telltale/pkg/metadata"
)

// Kafka is away: changes are committed, and reach bridges when it is back, whoever of the replicas is left.
func TestKafkaAway(t *testing.T) {
	w := newWorld(t)
	k := w.replica(t)
	kafkatest.Start(t, k.Run)
	before, _ := w.create(t, 1)
	if err := k.Publish(t.Context(), before); err != nil {
		t.Fatal(err)
	}
	w.away.cut()
	kafkatest.Eventually(t, kafkatest.Timeout, "it is known that kafka is away", func() bool { return k.sender.Check(t.Context()) != nil })
	after, _ := w.create(t, 2)
	if err := k.Publish(t.Context(), after); err == nil {
		t.Error("it says that it was published")
	}
	w.delete(t, before.ID)
	if err := k.End(t.Context(), before.ID); err == nil {
		t.Error("it says that it was ended")
	}
	if got := k.sender.State(); !strings.HasPrefix(got, "0 records") {
		t.Errorf("records pile up: %s", got)
	}
	w.away.restore()
	w.eventuallyTopic(t, after.ID)
}

// The database is away: nobody is thrown out by that.
func TestDatabaseAway(t *testing.T) {
	w := newWorld(t)
	c, _ := w.create(t, 7)
	store := &flaky{Store: w.store}
	k := w.replicaOn(t, store)
	w.wantChanges(t, k, changes{published: 1, site: 1})
	for _, call := range []string{"Moved", "Credentials"} {
		store.fails = call
		if _, err := k.compare(t.Context()); err == nil {
			t.Errorf("%s fails, and the comparison does not", call)
		}
		w.wantTopic(t, c.ID)
	}
}

type flaky struct {
	metadata.Store
	fails string
}

func (f *flaky) Moved(ctx context.Context) (bool, error) {
	if f.fails == "Moved" {
		return false, errors.New("away")
	}
	return f.Store.Moved(ctx)
}

func (f *flaky) Credentials(ctx context.Context, q iot.CredentialQuery) ([]iot.Credential, error) {
	if f.fails == "Credentials" {
		return nil, errors.New("away")
	}
	return f.Store.Credentials(ctx, q)
}

// A topic that is deleted is made again, with all that was on it.
func TestTopicDeleted(t *testing.T) {
	w := newWorld(t)
	k := w.replica(t)
	c, _ := w.create(t, 7)
	kafkatest.Start(t, k.Run)
	w.eventuallyTopic(t, c.ID)
	admin := kafkatest.Admin(t, w.kafka.Brokers)
	if err := admin.DeleteTopic(w.topic); err != nil {
		t.Fatal(err)
	}
	k.Wake() // else it is noticed within a minute
	kafkatest.Eventually(t, kafkatest.Timeout, "the topic is there", func() bool {
		topics, err := admin.ListTopics()
		return err == nil && topics[w.topic].NumPartitions == 1
	})
	w.eventuallyTopic(t, c.ID)
}

// The embedded broker has all credentials when it is started again, for bridges that begin before query-api does.
func TestBrokerStartedAgain(t *testing.T) {
	const changes = 200
	w := newWorld(t)
	config := embedded.KafkaConfig{Dir: t.TempDir(), Retention: time.Millisecond, MaxBytes: 1, Kept: []string{w.topic}}
	start := func() (stop func()) {
		broker := embeddedtest.StartWith(t, config)
		w.kafka.Brokers = []string{broker.Addr()}
		return sync.OnceFunc(func() { _ = broker.Close(context.Background()) })
	}
	stop := start()
	defer func() { stop() }()
	if err := kafka.EnsureTopics(t.Context(), w.kafka, quiet); err != nil {
		t.Fatal(err)
	}
	k := w.replica(t)
	c, password := w.create(t, 7)
	if _, err := k.compare(t.Context()); err != nil {
		t.Fatal(err)
	}
	for range changes { // superseded records
		if err := k.Publish(t.Context(), c); err != nil {
			t.Fatal(err)
		}
	}
	stop()
	size := 0
	_ = filepath.WalkDir(config.Dir, func(path string, _ fs.DirEntry, _ error) error {
		if info, err := os.Stat(path); err == nil && info.Mode().IsRegular() {
			size += int(info.Size())
		}
		return nil
	})
	if size > changes*256 {
		t.Errorf("%d bytes for each change", size/changes)
	}
	t.Logf("%d bytes for each change", size/changes)
	stop = start()
	table := credentials.New(w.kafka, quiet)
	kafkatest.Start(t, table.Run)
	<-table.Ready()
	if _, ok := table.Password("7", password); !ok {
		t.Error("it does not let in")
	}
}
