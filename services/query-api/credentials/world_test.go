package credentials

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net"
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
	"github.com/telltale-iot/telltale/pkg/embedded/embeddedtest"
	"github.com/telltale-iot/telltale/pkg/iot"
	"github.com/telltale-iot/telltale/pkg/kafka"
	"github.com/telltale-iot/telltale/pkg/kafka/kafkatest"
	"github.com/telltale-iot/telltale/pkg/kafka/producer"
	"github.com/telltale-iot/telltale/pkg/metadata"
	"github.com/telltale-iot/telltale/pkg/metadata/sqlite"
	files "github.com/telltale-iot/telltale/pkg/sqlite"
)

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
