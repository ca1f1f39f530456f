package api

import (
	"bytes"
	"context"
	"encoding/json"
	"log/slog"
	"net/http"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/telltale-iot/telltale/pkg/auth"
	"github.com/telltale-iot/telltale/pkg/deadletters"
	sqlitedeadletters "github.com/telltale-iot/telltale/pkg/deadletters/sqlite"
	"github.com/telltale-iot/telltale/pkg/embedded/embeddedtest"
	"github.com/telltale-iot/telltale/pkg/event"
	"github.com/telltale-iot/telltale/pkg/httpguard"
	"github.com/telltale-iot/telltale/pkg/iot"
	"github.com/telltale-iot/telltale/pkg/kafka"
	"github.com/telltale-iot/telltale/pkg/kafka/producer"
	"github.com/telltale-iot/telltale/pkg/latest"
	"github.com/telltale-iot/telltale/pkg/mapping"
	"github.com/telltale-iot/telltale/pkg/metadata"
	sqlitemetadata "github.com/telltale-iot/telltale/pkg/metadata/sqlite"
	"github.com/telltale-iot/telltale/pkg/readingjson"
	"github.com/telltale-iot/telltale/pkg/readings"
	sqlitereadings "github.com/telltale-iot/telltale/pkg/readings/sqlite"
	"github.com/telltale-iot/telltale/pkg/tlsfiles"
	"github.com/telltale-iot/telltale/services/query-api/access"
	"github.com/telltale-iot/telltale/services/query-api/credentials"
	"github.com/telltale-iot/telltale/services/query-api/ignored"
	"github.com/telltale-iot/telltale/services/query-api/ingest"
	"github.com/telltale-iot/telltale/services/query-api/live"
	"github.com/telltale-iot/telltale/services/query-api/refused"
	"github.com/telltale-iot/telltale/services/query-api/replay"
	"github.com/telltale-iot/telltale/services/query-api/system"
	"github.com/telltale-iot/telltale/services/query-api/trace"
)

// stores is what an API serves from.
type stores struct {
	metadata    metadata.Store
	readings    readings.Store
	latest      latest.Cache
	deadLetters deadletters.Store // beside the readings
	kafka       kafka.Config      // where dead letters are replayed to; away where it names no brokers
}

// urls says where stores are.
type urls struct{ metadata, readings, latest string }

func (u urls) open(t testing.TB) stores {
	t.Helper()
	var (
		s   stores
		err error
	)
	if s.metadata, err = metadata.Open(u.metadata, tlsfiles.Files{}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.metadata.Close() })
	if s.readings, err = readings.Open(u.readings, tlsfiles.Files{}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.readings.Close() })
	if s.deadLetters, err = deadletters.Open(u.readings, tlsfiles.Files{}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.deadLetters.Close() })
	s.latest = openCache(t, u.latest)
	return s
}

func openCache(t testing.TB, url string) latest.Cache {
	t.Helper()
	c, err := latest.Open(url, tlsfiles.Files{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c
}

// backends are the stores that the cases are run on.
var backends = []struct {
	name string
	open func(t testing.TB) stores // new and empty
}{
	{"embedded", embedded},
	{"mysql", onServers(mysqlDatabase)},
	{"postgres", onServers(postgresSchema)},
}

// embedded opens new, empty stores that need no server.
func embedded(t testing.TB) stores {
	t.Helper()
	dir := t.TempDir()
	devices, err := sqlitemetadata.Open(filepath.Join(dir, "metadata.db"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = devices.Close() })
	stored, err := sqlitereadings.Open(filepath.Join(dir, "readings"), sqlitereadings.Options{Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = stored.Close() })
	deadLetters, err := sqlitedeadletters.Open(filepath.Join(dir, "readings.db"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = deadLetters.Close() })
	s := stores{metadata: devices, readings: stored, latest: openCache(t, "memory://"), deadLetters: deadLetters}
	s.prepare(t)
	return s
}

func (s stores) prepare(t testing.TB) {
	t.Helper()
	for _, prepare := range []func(context.Context) error{s.metadata.Prepare, s.readings.Prepare, s.deadLetters.Prepare} {
		if err := prepare(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
}

// insert stores readings.
func (s stores) insert(t testing.TB, batch ...iot.Reading) {
	t.Helper()
	inserted, err := s.readings.InsertReadings(t.Context(), batch)
	if err != nil || inserted.New != len(batch) {
		t.Fatalf("insert %d readings: %+v, %v", len(batch), inserted, err)
	}
}

// keep stores dead letters.
func (s stores) keep(t testing.TB, deadLetters ...iot.DeadLetter) {
	t.Helper()
	if n, err := s.deadLetters.InsertDeadLetters(t.Context(), deadLetters); err != nil || n != len(deadLetters) {
		t.Fatalf("insert %d dead letters: %d, %v", len(deadLetters), n, err)
	}
}

// put caches readings as just received.
func (s stores) put(t testing.TB, batch ...iot.Reading) {
	t.Helper()
	if _, err := s.latest.PutLatest(t.Context(), batch, time.Hour); err != nil {
		t.Fatal(err)
	}
}

// see has devices report, as lines say: the id of a device, and how long ago.
func (s stores) see(t testing.TB, lines []byte) {
	t.Helper()
	var contacts []iot.Contact
	for line := range strings.Lines(string(lines)) {
		id, ago, _ := strings.Cut(strings.TrimSpace(line), " ")
		device, _, err := iot.ParseDevice(id)
		if err != nil {
			t.Fatal(err)
		}
		d, err := time.ParseDuration(ago)
		if err != nil {
			t.Fatal(err)
		}
		contacts = append(contacts, iot.Contact{Device: device, At: time.Now().Add(-d).Truncate(time.Millisecond)})
	}
	if err := s.metadata.KeepContacts(t.Context(), contacts); err != nil {
		t.Fatal(err)
	}
}

// api returns the API on s. It logs to log, which may be nil.
func (s stores) api(t testing.TB, log *slog.Logger) *API {
	if log == nil {
		log = slog.New(slog.NewTextHandler(t.Output(), nil))
	}
	metrics := prometheus.NewRegistry()
	sender := producer.New(s.kafka, log, metrics)
	if len(s.kafka.Brokers) > 0 {
		background(t, sender.Run)
		for sender.Check(t.Context()) != nil {
			time.Sleep(time.Millisecond)
		}
	}
	return &API{
		Auth:   access.New(access.Settings{Mode: auth.Off, Store: s.metadata, Log: log}),
		Stores: Stores{Metadata: s.metadata, Accounts: s.metadata, Readings: s.readings, Latest: s.latest, DeadLetters: s.deadLetters}, Log: log, Metrics: metrics,
		Rules: presets(t), Replayer: replay.New(sender, s.kafka.Topic, presets(t), s.deadLetters, s.readings, metrics),
		Ingester: ingest.New(sender, s.kafka, presets(t), log, metrics), Ignored: ignored.New(s.kafka, sender, log), Refused: refused.New(s.kafka, sender, log),
		System:       system.New(s.kafka, log),
		Bridges:      trace.New(s.kafka, log),
		OfflineAfter: time.Minute,
		Guard:        httpguard.New(httpguard.Config{AllowedHosts: []string{"example.com"}}, log, metrics), // the host of package httptest
		Live:         live.New(s.kafka, liveDevices(s.metadata, time.Minute), log, metrics),
		Credentials:  credentials.New(s.metadata, s.kafka, sender, log, metrics),
	}
}

// presets are the rules that there are without settings.
func presets(t testing.TB) *mapping.Set {
	t.Helper()
	rules, err := mapping.Config{}.Load()
	if err != nil {
		t.Fatal(err)
	}
	return rules
}

// startKafka starts a broker of s's own.
func (s *stores) startKafka(t testing.TB) (stop func()) {
	t.Helper()
	quiet := slog.New(slog.DiscardHandler)
	server := embeddedtest.Start(t)
	s.kafka = kafka.Config{Brokers: []string{server.Addr()}, Topic: "raw-data", Partitions: 1, ClientID: "query-api"}
	if err := kafka.EnsureTopics(t.Context(), s.kafka, quiet); err != nil {
		t.Fatal(err)
	}
	return func() { _ = server.Close(context.Background()) }
}

// ignore produces what bridges say that they ignored: one thing per line.
func (s stores) ignore(t testing.TB, lines []byte) {
	t.Helper()
	produce(t, s.kafka, lines, func(i event.Ignored) (kafka.Record, error) { return i.Record(s.kafka.IgnoredTopic()) })
}

// tell produces what bridges say that they saw: a part per line.
func (s stores) tell(t testing.TB, lines []byte) {
	t.Helper()
	produce(t, s.kafka, lines, func(seen event.Seen) (kafka.Record, error) { return seen.Record(s.kafka.TraceTopic()) })
}

// say produces what services say of themselves: one report per line.
func (s stores) say(t testing.TB, lines []byte) {
	t.Helper()
	produce(t, s.kafka, lines, func(r event.Report) (kafka.Record, error) { return r.Record(s.kafka.SystemTopic()) })
}

// refuse produces whom services refused: one per line.
func (s stores) refuse(t testing.TB, lines []byte) {
	t.Helper()
	produce(t, s.kafka, lines, func(r event.Refusal) (kafka.Record, error) { return r.Record(s.kafka.RefusedTopic()) })
}

// produce produces the record of each line.
func produce[T any](t testing.TB, cfg kafka.Config, lines []byte, record func(T) (kafka.Record, error)) {
	t.Helper()
	sender := producer.New(cfg, slog.New(slog.DiscardHandler), prometheus.NewRegistry())
	background(t, sender.Run)
	for line := range bytes.Lines(lines) {
		var v T
		if err := json.Unmarshal(line, &v); err != nil {
			t.Fatalf("%s: %v", line, err)
		}
		rec, err := record(v)
		if err != nil {
			t.Fatal(err)
		}
		answer := make(chan error, 1)
		sender.Produce(rec, func(err error) { answer <- err })
		if err := <-answer; err != nil {
			t.Fatal(err)
		}
	}
}

// background runs f until t ends.
func background(t testing.TB, f func(context.Context) error) {
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	var wait sync.WaitGroup
	wait.Go(func() {
		if err := f(ctx); err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(func() { cancel(); wait.Wait() })
}

func (s stores) handler(t testing.TB) http.Handler { return s.api(t, nil).Handler() }

// parseReadings reads a reading per line.
func parseReadings(t testing.TB, lines []byte) []iot.Reading {
	t.Helper()
	var list []iot.Reading
	for line := range bytes.Lines(lines) {
		r, err := readingjson.Parse(line)
		if err != nil {
			t.Fatalf("%s: %v", line, err)
		}
		r.Received = time.Now().UTC().Truncate(time.Millisecond)
		list = append(list, r)
	}
	return list
}

// parseDeadLetters reads a dead letter per line: with payload as text or bytes in base64, and topic for the device
// id that the topic names.
func parseDeadLetters(t testing.TB, lines []byte) []iot.DeadLetter {
	t.Helper()
	var list []iot.DeadLetter
	for line := range bytes.Lines(lines) {
		var l struct {
			ID, Reason, Detail, Source, Client, Principal, Payload, Topic, Type string
			Bytes                                                               []byte
			Device                                                              iot.DeviceID
			Received                                                            time.Time
			Retained                                                            bool
		}
		if err := json.Unmarshal(line, &l); err != nil {
			t.Fatalf("%s: %v", line, err)
		}
		id, err := iot.ParseDeadLetterID(l.ID)
		if err != nil {
			t.Fatal(err)
		}
		list = append(list, iot.DeadLetter{
			Rejection: iot.Rejection{Reason: iot.Reason(l.Reason), Detail: l.Detail, Device: l.Device, Bytes: append(l.Bytes, l.Payload...)},
			ID:        id, Source: l.Source, Client: l.Client, Principal: l.Principal, Received: l.Received, TopicDevice: l.Topic, Retained: l.Retained, ContentType: l.Type,
		})
	}
	return list
}

// reading returns reading number n of a device: one per second.
func reading(id iot.DeviceID, n int) iot.Reading {
	at := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC).Add(time.Duration(n) * time.Second)
	return iot.Reading{
		Device: id, At: at, Received: time.Now().UTC().Truncate(time.Millisecond), Stamped: iot.StampDevice,
		Metrics: []iot.Metric{{Name: iot.Humidity, Value: 40}, {Name: iot.Temperature, Value: float64(n%400) / 10}},
	}
}
