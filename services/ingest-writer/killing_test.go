package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"slices"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.mongodb.org/mongo-driver/v2/bson"
	driver "go.mongodb.org/mongo-driver/v2/mongo"

	"github.com/telltale-iot/telltale/pkg/event"
	"github.com/telltale-iot/telltale/pkg/iot"
	"github.com/telltale-iot/telltale/pkg/kafka"
	"github.com/telltale-iot/telltale/pkg/kafka/kafkatest"
	"github.com/telltale-iot/telltale/pkg/kafka/producer"
	"github.com/telltale-iot/telltale/pkg/mongodb/mongodbtest"
	"github.com/telltale-iot/telltale/pkg/proxytest"
	"github.com/telltale-iot/telltale/pkg/readings/mongo"
	"github.com/telltale-iot/telltale/pkg/tlsfiles"
	"github.com/telltale-iot/telltale/services/ingest-writer/writer"
)

// asProcess is the variable that has this program be ingest-writer: see TestMain.
const asProcess = "TEST_AS_INGEST_WRITER"

// killing is a database, and the writers that are killed.
type killing struct {
	*testing.T
	db      *driver.Database
	store   *mongo.Store // of the test
	writers []*killedWriter

	mu       sync.Mutex
	readings []iot.Reading // that were published, or stored by the test, each once
	places   map[int64]bool
	devices  int
	random   *rand.Rand
}

// killedWriter is a process that is started again and again. Its Kafka is its own.
type killedWriter struct {
	*killing
	random                 *rand.Rand
	uri, ops               string
	topic                  kafka.Config
	producer               *producer.Producer
	mongoProxy, kafkaProxy *proxytest.Proxy
	process                *exec.Cmd
}

// The readings are of three days that are rolled up already, as if they came late.
var (
	killedFrom = time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)
	killedDays = 3
)

func newKilling(t *testing.T) *killing {
	db, uri := mongodbtest.Database(t)
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	k := &killing{T: t, db: db, places: map[int64]bool{}, devices: 3, random: rand.New(rand.NewPCG(seed, 0))}
	var err error
	if k.store, err = mongo.Open(uri, tlsfiles.Files{}, mongo.Options{}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = k.store.Close() })
	if err := k.store.Prepare(t.Context()); err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	begun := make(chan error)
	go func() { begun <- k.store.Maintain(ctx) }()
	until := bson.DateTime(killedFrom.AddDate(0, 0, killedDays).UnixMilli())
	k.eventually("the rollups have begun", func() bool {
		result, err := db.Collection("readings_dirty").UpdateOne(t.Context(), bson.D{{Key: "generation", Value: bson.D{{Key: "$exists", Value: true}}}},
			bson.D{{Key: "$set", Value: bson.D{{Key: "since", Value: bson.DateTime(killedFrom.UnixMilli())}, {Key: "until", Value: until}, {Key: "closing", Value: until}}}})
		return err == nil && result.MatchedCount == 1
	})
	stop()
	if err := <-begun; err != nil {
		t.Fatal(err)
	}
	for i := range 2 {
		k.writers = append(k.writers, k.newWriter(uri, rand.New(rand.NewPCG(seed, uint64(1+i)))))
	}
	return k
}

func (k *killing) newWriter(uri string, random *rand.Rand) *killedWriter {
	u, err := url.Parse(uri)
	if err != nil {
		k.Fatal(err)
	}
	w := &killedWriter{killing: k, random: random, mongoProxy: proxytest.New(k, u.Host)}
	u.Host = w.mongoProxy.Addr()
	addrs, err := proxytest.FreeAddrs(1)
	if err != nil {
		k.Fatal(err)
	}
	w.uri, w.ops = u.String(), addrs[0]
	_, w.kafkaProxy = kafkatest.FakeBehindProxy(k)
	w.topic = kafkatest.NewTopic(k, []string{w.kafkaProxy.Addr()}, 1)
	w.producer = producer.New(w.topic, kafkatest.Discard(), prometheus.NewRegistry())
	kafkatest.Start(k, w.producer.Run)
	k.Cleanup(func() {
		if w.process != nil {
			w.kill()
		}
	})
	return w
}

func (k *killing) eventually(what string, is func() bool) {
	k.Helper()
	for deadline := time.Now().Add(time.Minute); !is(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			k.Fatalf("not within a minute: %s", what)
		}
	}
}

// documents is how many a collection has.
func (k *killing) documents(collection string) int {
	n, err := k.db.Collection(collection).CountDocuments(k.Context(), bson.D{})
	if err != nil {
		k.Error(err)
	}
	return int(n)
}

func (k *killing) published() int {
	k.mu.Lock()
	defer k.mu.Unlock()
	return len(k.readings)
}

// newReadings returns some that nobody has had, and adds them to those that are to be stored.
func (k *killing) newReadings(n int) []iot.Reading {
	k.mu.Lock()
	defer k.mu.Unlock()
	for added := 0; added < n; {
		at := k.random.Int64N(int64(killedDays) * (24 * time.Hour).Milliseconds())
		if k.places[at] {
			continue
		}
		k.places[at] = true
		when := killedFrom.Add(time.Duration(at) * time.Millisecond)
		k.readings = append(k.readings, iot.Reading{
			Device: iot.DeviceID(1 + k.random.IntN(k.devices)), At: when, Received: when.Add(time.Second), Stamped: iot.StampDevice,
			Metrics: []iot.Metric{{Name: iot.Temperature, Value: float64(k.random.IntN(4000)) / 4}}, // sums are exact
		})
		added++
	}
	return slices.Clone(k.readings[len(k.readings)-n:])
}

// publish publishes new readings, and some that were published already.
func (w *killedWriter) publish() error {
	const fresh, again = 20, 10
	batch := w.newReadings(fresh)
	w.mu.Lock()
	for range again {
		batch = append(batch, w.readings[w.random.IntN(len(w.readings))])
	}
	w.mu.Unlock()
	var records []kafka.Record
	for _, r := range batch {
		records = append(records, event.Record(w.topic.Topic, r))
	}
	return kafkatest.Send(w.Context(), w.producer, records...)
}

// command is the process with arguments.
func (w *killedWriter) command(args ...string) *exec.Cmd {
	cmd := exec.CommandContext(w.Context(), os.Args[0], args...)
	cmd.Env = append(os.Environ(), asProcess+"=1", "MONGODB_URI="+w.uri, "KAFKA_BROKERS="+w.kafkaProxy.Addr(), "KAFKA_TOPIC="+w.topic.Topic,
		"KAFKA_PARTITIONS=1", "OPS_ADDR="+w.ops, "LOG_LEVEL=error")
	cmd.Stderr = w.Output()
	return cmd
}

// run starts the process, when its last one is no member any more, and has no lease.
func (w *killedWriter) run() error {
	if err := errors.Join(kafkatest.EndSessions(w.topic.Brokers, writer.Group), w.expireLease()); err != nil {
		return err
	}
	w.process = w.command()
	return w.process.Start()
}

func (w *killedWriter) expireLease() error {
	_, err := w.db.Collection("readings_dirty").UpdateOne(w.Context(), bson.D{{Key: "_id", Value: "rollups"}}, bson.D{{Key: "$unset", Value: bson.D{{Key: "lease", Value: ""}}}})
	return err
}

func (w *killedWriter) kill() {
	_ = w.process.Process.Kill()
	_ = w.process.Wait()
	w.process = nil
	for _, p := range []*proxytest.Proxy{w.mongoProxy, w.kafkaProxy} {
		p.Cut()
		p.Reopen()
		select {
		case <-p.Stalled():
		default:
		}
	}
}

// stop ends the process as an update does, once it knows signals.
func (w *killedWriter) stop() {
	w.eventually("the process is alive", func() bool {
		response, err := http.Get("http://" + w.ops + "/livez")
		if err == nil {
			_ = response.Body.Close()
		}
		return err == nil
	})
	if err := w.process.Process.Signal(syscall.SIGTERM); err != nil {
		w.Error(err)
	}
	if err := w.process.Wait(); err != nil {
		w.Errorf("the process ended: %v", err)
	}
	w.process = nil
}

// killBehind publishes some, and kills the process when a server has done what a step asks for. There is always something to
// compute.
func (w *killedWriter) killBehind(s step, proxy *proxytest.Proxy) error {
	for range 5 { // the other process may have computed it
		if err := w.publish(); err != nil {
			return err
		}
		w.hangBehind(s, proxy)
		if err := w.run(); err != nil {
			return err
		}
		reached := hangs(proxy)
		if reached && s.lost {
			proxy.Cut()
			w.hangBehind(s, proxy)
			proxy.Reopen()
			reached = hangs(proxy)
		}
		w.kill()
		if reached {
			return nil
		}
	}
	return fmt.Errorf("not reached: %s", s.name)
}

// hangBehind has the next response of a step stay away.
func (w *killedWriter) hangBehind(s step, proxy *proxytest.Proxy) {
	w.mongoProxy.HangResponses(func(request []byte) bool {
		if leased.of(request) {
			w.mu.Lock()
			w.devices++
			w.mu.Unlock()
			_, err := w.store.InsertReadings(w.Context(), w.newReadings(10))
			if err = errors.Join(err, w.expireLease()); err != nil {
				w.Error(err)
			}
		}
		return proxy == w.mongoProxy && s.of(request)
	})
	if proxy != w.mongoProxy {
		proxy.HangResponses(s.of)
	}
}

// hangs reports whether a response stays away before long.
func hangs(proxy *proxytest.Proxy) bool {
	select {
	case <-proxy.Stalled():
		return true
	case <-time.After(10 * time.Second):
		return false
	}
}
