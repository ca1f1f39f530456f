package credentials

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"maps"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/telltale-iot/telltale/pkg/auth"
	"github.com/telltale-iot/telltale/pkg/credentials"
	"github.com/telltale-iot/telltale/pkg/embedded"
	"github.com/telltale-iot/telltale/pkg/embedded/embeddedtest"
	"github.com/telltale-iot/telltale/pkg/event"
	"github.com/telltale-iot/telltale/pkg/heaptest"
	"github.com/telltale-iot/telltale/pkg/iot"
	"github.com/telltale-iot/telltale/pkg/kafka"
	"github.com/telltale-iot/telltale/pkg/kafka/kafkatest"
	"github.com/telltale-iot/telltale/pkg/kafka/producer"
	"github.com/telltale-iot/telltale/pkg/metadata"
	"github.com/telltale-iot/telltale/pkg/metadata/sqlite"
	files "github.com/telltale-iot/telltale/pkg/sqlite"
)

var quiet = slog.New(slog.DiscardHandler)

// What is published lets in within moments, and what is ended does not any more.
func TestPublish(t *testing.T) {
	w := newWorld(t)
	k := w.replica(t)
	kafkatest.Start(t, k.Run)
	table := credentials.New(w.kafka, quiet)
	kafkatest.Start(t, table.Run)
	<-table.Ready()

	c, password := w.create(t, 7)
	if err := k.Publish(t.Context(), c); err != nil {
		t.Fatal(err)
	}
	kafkatest.Eventually(t, kafkatest.Timeout, "it lets in", func() bool { _, ok := table.Password("7", password); return ok })
	w.delete(t, c.ID)
	if err := k.End(t.Context(), c.ID); err != nil {
		t.Fatal(err)
	}
	kafkatest.Eventually(t, kafkatest.Timeout, "it does not let in", func() bool { _, ok := table.Password("7", password); return !ok })
}

// The topic becomes what the database is, whatever it was, and then stays.
func TestRepair(t *testing.T) {
	w := newWorld(t)
	k := w.replica(t)
	missing, _ := w.create(t, 1)
	there, _ := w.create(t, 2)
	w.send(t, event.CredentialRecord(w.topic, there), event.CredentialRecord(w.topic, iot.Credential{ID: 99, Type: iot.CredentialCertificate, Name: "gone"}))
	w.send(t, kafka.Record{Topic: w.topic, Key: []byte("another's"), Value: []byte("junk")})

	w.wantChanges(t, k, changes{published: 1, ended: 1, site: 1})
	w.wantTopic(t, missing.ID, there.ID)
	records := kafkatest.ReadAll(t, w.kafka.Brokers, w.topic)
	if last := string(records[len(records)-1].Key); last != "site" {
		t.Errorf("the last record is %q; bridges wait for the site to know all", last)
	}
	w.wantChanges(t, k, changes{})

	w.send(t, event.SiteRecord(w.topic, event.Site{Moved: true}))
	w.wantChanges(t, k, changes{site: 1})
	w.wantChanges(t, k, changes{})
	if got := w.read(t, k); *got.site != (event.Site{}) {
		t.Errorf("the site is %+v", *got.site)
	}
}

// A replica that is slow publishes a credential that another one has ended meanwhile: it does not come back.
func TestDeletedMeanwhile(t *testing.T) {
	t.Run("between commit and publishing", func(t *testing.T) {
		w := newWorld(t)
		slow, fast := w.replica(t), w.replica(t)
		c, _ := w.create(t, 7)
		w.delete(t, c.ID)
		if err := fast.End(t.Context(), c.ID); err != nil {
			t.Fatal(err)
		}
		if err := slow.Publish(t.Context(), c); err != nil {
			t.Fatal(err)
		}
		w.wantTopic(t)
	})
	t.Run("between comparing and publishing", func(t *testing.T) {
		w := newWorld(t)
		fast := w.replica(t)
		gone, _ := w.create(t, 7)
		stays, _ := w.create(t, 8)
		hooked := &hook{Store: w.store}
		hooked.found = func() {
			hooked.found = nil
			w.delete(t, gone.ID)
			if err := fast.End(t.Context(), gone.ID); err != nil {
				t.Error(err)
			}
		}
		slow := w.replicaOn(t, hooked)
		if _, err := slow.compare(t.Context()); err != nil {
			t.Fatal(err)
		}
		w.wantTopic(t, stays.ID)
	})
	t.Run("while kafka took nothing", func(t *testing.T) {
		w := newWorld(t)
		slow, fast := w.replica(t), w.replica(t)
		kafkatest.Start(t, slow.Run)
		kafkatest.Eventually(t, kafkatest.Timeout, "the site is published", func() bool { return w.read(t, fast).site != nil })
		c, _ := w.create(t, 7)
		ended, cancel := context.WithCancel(t.Context())
		cancel() // as that of a request whose time is over
		if err := slow.Publish(ended, c); err == nil {
			t.Fatal("it has not waited, and says that it was published")
		}
		w.delete(t, c.ID)
		if err := fast.End(t.Context(), c.ID); err != nil {
			t.Fatal(err)
		}
		w.eventuallyTopic(t)
	})
}

// A credential that another replica makes and publishes while the topic and the database are compared stays.
func TestMadeMeanwhile(t *testing.T) {
	w := newWorld(t)
	fast := w.replica(t)
	before, _ := w.create(t, 7)
	var meanwhile iot.Credential
	hooked := &hook{Store: w.store}
	hooked.found = func() {
		hooked.found = nil
		meanwhile, _ = w.create(t, 8)
		if err := fast.Publish(t.Context(), meanwhile); err != nil {
			t.Error(err)
		}
	}
	if _, err := w.replicaOn(t, hooked).compare(t.Context()); err != nil {
		t.Fatal(err)
	}
	w.wantTopic(t, before.ID, meanwhile.ID)
}

// hook is a store that calls found after credentials were found, before they are returned.
type hook struct {
	metadata.Store
	found func()
}

func (h *hook) Credentials(ctx context.Context, q iot.CredentialQuery) ([]iot.Credential, error) {
	all, err := h.Store.Credentials(ctx, q)
	if h.found != nil && len(all) > 0 {
		h.found()
	}
	return all, err
}

// Replicas create, delete and compare at the same time. What each has published is right without being compared once more, and
// no credential is on the topic after the request that deleted it was answered.
func TestReplicas(t *testing.T) {
	const replicas, rounds, devices = 3, 60, 5
	w := newWorld(t)
	for d := range iot.DeviceID(devices) {
		w.createDevice(t, d+1)
	}
	keepers := make([]*Keeper, replicas)
	for i := range keepers {
		keepers[i] = w.replica(t)
	}
	var group sync.WaitGroup
	for i, k := range keepers {
		group.Go(func() {
			rng := rand.New(rand.NewPCG(1, uint64(i)))
			for range rounds {
				device := iot.DeviceID(rng.IntN(devices) + 1)
				switch rng.IntN(5) {
				case 0:
					if _, err := k.compare(t.Context()); err != nil {
						t.Error(err)
					}
				case 1, 2:
					if c, err := w.store.CreateCredential(t.Context(), passwordOf(device)); err == nil {
						if err := k.Publish(t.Context(), c); err != nil {
							t.Error(err)
						}
					} else if !errors.Is(err, iot.ErrConflict) {
						t.Error(err)
					}
				default:
					all, err := w.store.Credentials(t.Context(), iot.CredentialQuery{Device: device, Limit: 1})
					if err != nil {
						t.Error(err)
					}
					if len(all) == 0 {
						continue
					}
					if err := w.store.DeleteCredential(t.Context(), all[0].ID); err != nil {
						continue // another replica was faster
					}
					if err := k.End(t.Context(), all[0].ID); err != nil {
						t.Error(err)
					}
				}
			}
		})
	}
	group.Wait()
	w.wantTopic(t, w.stored(t)...)
}

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

// TestManyCredentials bounds what a comparison takes of memory, and tells how long it takes, and publishing all of them.
func TestManyCredentials(t *testing.T) {
	const many, most = 100_000, 16 << 20
	w := newWorld(t)
	w.createMany(t, many)
	k := w.replica(t)
	grown, start := heaptest.Watch(t), time.Now()
	w.wantChanges(t, k, changes{published: many, site: 1})
	published := time.Since(start)
	start = time.Now()
	w.wantChanges(t, k, changes{})
	compared := time.Since(start)
	if n := grown(); n > most {
		t.Errorf("%d KiB, want %d at most", n>>10, most>>10)
	} else {
		t.Logf("%d KiB; published in %v, compared in %v", n>>10, published, compared)
	}
}

// world is a broker with a topic of credentials, and a database.
type world struct {
	kafka kafka.Config
	topic string
	file  string
	store metadata.Store
	away  *line // between the replicas and Kafka
}

func newWorld(t *testing.T) *world {
	t.Helper()
	broker := embeddedtest.Start(t)
	w := &world{file: filepath.Join(t.TempDir(), "metadata.db"), away: &line{}}
	w.kafka = kafka.Config{Brokers: []string{broker.Addr()}, Topic: "raw-data", Partitions: 1, Replication: -1, Retention: time.Hour, ClientID: "test"}
	w.topic = w.kafka.CredentialsTopic()
	if err := kafka.EnsureTopics(t.Context(), w.kafka, quiet); err != nil {
		t.Fatal(err)
	}
	w.store = w.open(t)
	if err := w.store.Prepare(t.Context()); err != nil {
		t.Fatal(err)
	}
	return w
}

func (w *world) open(t *testing.T) metadata.Store {
	t.Helper()
	store, err := sqlite.Open(w.file)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = store.Close() })
	return store
}

// replica returns the Keeper of another process.
func (w *world) replica(t *testing.T) *Keeper {
	t.Helper()
	return w.replicaOn(t, w.open(t))
}

func (w *world) replicaOn(t *testing.T, store metadata.Store) *Keeper {
	t.Helper()
	cfg := w.kafka
	cfg.Dial = w.away.dial
	sender := producer.New(cfg, quiet, nil)
	kafkatest.Start(t, sender.Run)
	kafkatest.WantWell(t, sender.Check)
	return New(store, cfg, sender, slog.New(slog.NewTextHandler(t.Output(), nil)), prometheus.NewRegistry())
}

// line is the way to Kafka, which can be cut.
type line struct {
	isCut atomic.Bool
	mu    sync.Mutex
	conns []net.Conn
}

func (l *line) dial(ctx context.Context, network, addr string) (net.Conn, error) {
	if l.isCut.Load() {
		return nil, errors.New("cut")
	}
	conn, err := new(net.Dialer).DialContext(ctx, network, addr)
	if err == nil {
		l.mu.Lock()
		l.conns = append(l.conns, conn)
		l.mu.Unlock()
	}
	return conn, err
}

func (l *line) cut() {
	l.isCut.Store(true)
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, conn := range l.conns {
		_ = conn.Close()
	}
}

func (l *line) restore() { l.isCut.Store(false) }

func (w *world) createDevice(t *testing.T, id iot.DeviceID) {
	t.Helper()
	if _, err := w.store.EnsureDevices(t.Context(), []iot.Identity{{ID: id}}, iot.Admission{}); err != nil {
		t.Fatal(err)
	}
}

func passwordOf(device iot.DeviceID) iot.Credential {
	return iot.Credential{Type: iot.CredentialPassword, Name: device.String(), Device: device, Secret: auth.Hash(auth.NewSecret(""))}
}

// create commits a credential of a device, and tells nobody.
func (w *world) create(t *testing.T, device iot.DeviceID) (c iot.Credential, password string) {
	t.Helper()
	w.createDevice(t, device)
	password = auth.NewSecret("")
	c = passwordOf(device)
	c.Secret = auth.Hash(password)
	c, err := w.store.CreateCredential(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	return c, password
}

func (w *world) delete(t *testing.T, id int64) {
	t.Helper()
	if err := w.store.DeleteCredential(t.Context(), id); err != nil {
		t.Fatal(err)
	}
}

// createMany puts credentials into the table at once.
func (w *world) createMany(t *testing.T, n int) {
	t.Helper()
	db, err := files.Open(w.file)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close() //nolint:errcheck // it is to be thrown away
	_, err = db.Write.ExecContext(t.Context(), fmt.Sprintf(`
WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < %d)
INSERT INTO device_credentials (type, name, device_id, viewer, secret, created_at)
SELECT 'password', i, i, 0, printf('%%064x', i), 1772366400000 FROM n`, n))
	if err != nil {
		t.Fatal(err)
	}
}

// stored returns the ids of the credentials in the database.
func (w *world) stored(t *testing.T) (ids []int64) {
	t.Helper()
	all, err := w.store.Credentials(t.Context(), iot.CredentialQuery{Limit: pageSize})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range all {
		ids = append(ids, c.ID)
	}
	return ids
}

func (w *world) send(t *testing.T, records ...kafka.Record) {
	t.Helper()
	sender := producer.New(w.kafka, quiet, nil)
	defer kafkatest.Start(t, sender.Run)()
	if err := kafkatest.Send(t.Context(), sender, records...); err != nil {
		t.Fatal(err)
	}
}

// onTopic returns the ids of the credentials that the topic has.
func (w *world) onTopic(t *testing.T) []int64 {
	t.Helper()
	ids := map[int64]bool{}
	for _, rec := range kafkatest.ReadAll(t, w.kafka.Brokers, w.topic) {
		digits, ok := strings.CutPrefix(string(rec.Key), "credential/")
		if !ok {
			continue
		}
		id, err := strconv.ParseInt(digits, 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		delete(ids, id)
		if len(rec.Value) > 0 {
			ids[id] = true
		}
	}
	return slices.Sorted(maps.Keys(ids))
}

func (w *world) wantTopic(t *testing.T, want ...int64) {
	t.Helper()
	if diff := cmp.Diff(want, w.onTopic(t)); diff != "" {
		t.Errorf("credentials on the topic (-want +got):\n%s", diff)
	}
}

func (w *world) eventuallyTopic(t *testing.T, want ...int64) {
	t.Helper()
	kafkatest.Eventually(t, kafkatest.Timeout, fmt.Sprintf("the topic has %v", want), func() bool { return slices.Equal(w.onTopic(t), want) })
}

func (w *world) wantChanges(t *testing.T, k *Keeper, want changes) {
	t.Helper()
	got, err := k.compare(t.Context())
	if err != nil || got != want {
		t.Errorf("changed %+v, %v, want %+v", got, err, want)
	}
}

func (w *world) read(t *testing.T, k *Keeper) said {
	t.Helper()
	s, err := k.readTopic(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return s
}
