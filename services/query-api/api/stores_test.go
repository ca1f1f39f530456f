package api

import (
	"bytes"
	"context"
	"log/slog"
	"net/http"
	"path/filepath"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/telltale-iot/telltale/pkg/iot"
	"github.com/telltale-iot/telltale/pkg/latest"
	"github.com/telltale-iot/telltale/pkg/metadata"
	sqlitemetadata "github.com/telltale-iot/telltale/pkg/metadata/sqlite"
	"github.com/telltale-iot/telltale/pkg/readingjson"
	"github.com/telltale-iot/telltale/pkg/readings"
	sqlitereadings "github.com/telltale-iot/telltale/pkg/readings/sqlite"
	"github.com/telltale-iot/telltale/pkg/tlsfiles"
)

// stores is what an API serves from.
type stores struct {
	metadata metadata.Store
	readings readings.Store
	latest   latest.Cache
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
	stored, err := sqlitereadings.Open(filepath.Join(dir, "readings.db"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = stored.Close() })
	s := stores{devices, stored, openCache(t, "memory://")}
	s.prepare(t)
	return s
}

func (s stores) prepare(t testing.TB) {
	t.Helper()
	for _, prepare := range []func(context.Context) error{s.metadata.Prepare, s.readings.Prepare} {
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

// put caches readings as just received.
func (s stores) put(t testing.TB, batch ...iot.Reading) {
	t.Helper()
	if err := s.latest.PutLatest(t.Context(), batch, time.Hour); err != nil {
		t.Fatal(err)
	}
}

// api returns the API on s. It logs to log, which may be nil.
func (s stores) api(t testing.TB, log *slog.Logger) *API {
	if log == nil {
		log = slog.New(slog.NewTextHandler(t.Output(), nil))
	}
	return &API{Metadata: s.metadata, Readings: s.readings, Latest: s.latest, Log: log, Metrics: prometheus.NewRegistry()}
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

// reading returns reading number n of a device: one per second.
func reading(id iot.DeviceID, n int) iot.Reading {
	at := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC).Add(time.Duration(n) * time.Second)
	return iot.Reading{
		Device: id, At: at, Received: time.Now().UTC().Truncate(time.Millisecond), Stamped: iot.StampDevice,
		Metrics: []iot.Metric{{Name: iot.Humidity, Value: 40}, {Name: iot.Temperature, Value: float64(n%400) / 10}},
	}
}
