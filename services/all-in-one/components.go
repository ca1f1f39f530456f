package main

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/telltale-iot/telltale/pkg/daemon"
	"github.com/telltale-iot/telltale/pkg/deadletters"
	sqlitedeadletters "github.com/telltale-iot/telltale/pkg/deadletters/sqlite"
	"github.com/telltale-iot/telltale/pkg/embedded"
	"github.com/telltale-iot/telltale/pkg/iot"
	"github.com/telltale-iot/telltale/pkg/kafka"
	"github.com/telltale-iot/telltale/pkg/latest"
	"github.com/telltale-iot/telltale/pkg/metadata"
	sqlitemetadata "github.com/telltale-iot/telltale/pkg/metadata/sqlite"
	"github.com/telltale-iot/telltale/pkg/ownca"
	"github.com/telltale-iot/telltale/pkg/readings"
	sqlitereadings "github.com/telltale-iot/telltale/pkg/readings/sqlite"
	"github.com/telltale-iot/telltale/pkg/tlsfiles"
	"github.com/telltale-iot/telltale/services/cache-updater/updater"
	"github.com/telltale-iot/telltale/services/ingest-writer/archive"
	"github.com/telltale-iot/telltale/services/ingest-writer/writer"
	"github.com/telltale-iot/telltale/services/query-api/registrar"
)

// partitions of the embedded broker's topics. Each is synced to disk by itself, so that more of them write more, and one
// machine has nothing to divide among them.
const partitions = 1

// systemRetention is how long records are kept of what the services say of themselves, a few each minute: all of them are in
// this process, which says it again.
const systemRetention = time.Hour

// components is what the services run on: embedded, or clients of real servers.
type components struct {
	kafka       kafka.Config
	broker      *embedded.Kafka // nil when the brokers are others
	accounts    *kafkaAccounts  // of the broker's clients; nil likewise
	readings    readings.Store
	deadLetters deadletters.Store // beside the readings
	metadata    metadata.Store
	latest      latest.Cache
	mqtt        net.Listener // nil when the bridge subscribes to a broker
	webSocket   net.Listener // nil without MQTT over WebSocket
	http        net.Listener
	demo        string           // name:password@ of the demo devices; "" where they need none
	httpTLS     *tls.Config      // nil without TLS
	mqttTLS     *tls.Config      // likewise, of mqtt and webSocket
	kafkaTLS    *tls.Config      // likewise, of the embedded broker
	authority   *ownca.Authority // that signs certificates of our own; nil without

	opened []component
}

// component is something to close at the end.
type component struct {
	name   string
	close  func(context.Context) error // nil for a client
	client io.Closer                   // of a server, which may hang
}

// open opens every component. It fails when the data directory is taken or cannot be written, an address is in
// use, or a setting cannot work; servers that are away are waited for later, by the services.
func (c *command) open(ctx context.Context, p *daemon.Process) (_ *components, err error) {
	components := new(components)
	defer func() {
		if err != nil {
			components.close(ctx, p.Log)
		}
	}()
	dir, err := filepath.Abs(c.DataDir)
	if err != nil {
		return nil, err
	}
	lock, err := lockDir(dir)
	if err != nil {
		return nil, fmt.Errorf("data directory (DATA_DIR): %w", err)
	}
	components.add("lock", lock.Close)
	if err := closeData(dir, p.Log); err != nil {
		return nil, fmt.Errorf("data directory (DATA_DIR): %w", err)
	}
	// Listeners first: the most frequent error should come before anything is written.
	if c.MQTTURL == "" {
		if components.mqtt, err = components.listen("MQTT_LISTEN_ADDR", c.MQTTListenAddr); err != nil {
			return nil, err
		}
	}
	if c.MQTTWSListenAddr != "" {
		if components.webSocket, err = components.listen("MQTT_WS_LISTEN_ADDR", c.MQTTWSListenAddr); err != nil {
			return nil, err
		}
	}
	if components.http, err = components.listen("HTTP_ADDR", c.HTTPAddr); err != nil {
		return nil, err
	}
	if err := c.openStores(ctx, components, dir, p); err != nil {
		return nil, err
	}
	if err := c.openTLS(ctx, components, dir, p); err != nil {
		return nil, err
	}
	if err := c.openKafka(components, dir, p); err != nil {
		return nil, err
	}
	return components, nil
}

// kafkaConfig names no brokers when the broker is embedded.
func (c *command) kafkaConfig() kafka.Config {
	return kafka.Config{
		Brokers: c.KafkaBrokers, Topic: c.KafkaTopic, Partitions: 12, Replication: -1, Retention: c.LogRetention,
	}
}

func (c *command) openKafka(components *components, dir string, p *daemon.Process) error {
	components.kafka = c.kafkaConfig()
	if len(c.KafkaBrokers) > 0 {
		components.kafka.Security = c.Kafka
		return nil
	}
	addr, err := net.ResolveTCPAddr("tcp", c.KafkaListenAddr)
	if err != nil {
		return &daemon.ConfigError{Variable: "KAFKA_LISTEN_ADDR", Value: c.KafkaListenAddr, Err: err}
	}
	// Connections come by Dial, whatever the address. What the broker is started with makes some later.
	components.kafka.Brokers, components.kafka.Partitions = []string{c.KafkaListenAddr}, partitions
	components.kafka.Dial = func(ctx context.Context, network, addr string) (net.Conn, error) {
		return components.broker.Dial(ctx, network, addr)
	}
	components.accounts = newKafkaAccounts(components.kafka, c.Auth.Mode, addr, components.metadata, p.Log, p.Metrics)
	broker, err := embedded.StartKafka(embedded.KafkaConfig{
		Addr: c.KafkaListenAddr, TLS: components.kafkaTLS, Account: components.accounts.account, Internal: components.kafka.Internal(), Refused: components.accounts.tell,
		Writes: c.KafkaListenWrites, Dir: filepath.Join(dir, "kafka"),
		Retention: c.LogRetention, MaxBytes: int64(c.LogMaxBytes), Log: p.Log, Metrics: p.Metrics,
		Retentions: map[string]time.Duration{components.kafka.SystemTopic(): min(systemRetention, c.LogRetention)},
		Kept:       []string{components.kafka.CredentialsTopic()},
		Groups: map[string]string{
			writer.Group: c.KafkaTopic, updater.Group: c.KafkaTopic, registrar.Group: c.KafkaTopic,
			archive.Group: components.kafka.DeadLetterTopic(),
		},
	})
	if errors.Is(err, syscall.EADDRINUSE) {
		return daemon.ListenError("KAFKA_LISTEN_ADDR", c.KafkaListenAddr, err)
	}
	if err != nil {
		return fmt.Errorf("KAFKA_LISTEN_ADDR, DATA_DIR: %w", err)
	}
	components.opened = append(components.opened, component{name: "kafka", close: broker.Close})
	p.Log.Info("listening for Kafka clients", "addr", broker.Addr(), "tls", components.kafkaTLS != nil, "writes", c.KafkaListenWrites)
	components.broker = broker
	components.kafka.Brokers = []string{broker.Addr()}
	return nil
}

func (c *command) openStores(ctx context.Context, components *components, dir string, p *daemon.Process) (err error) {
	retention := iot.Retention{Readings: c.Retention.Readings, Rollups: c.Retention.Rollups, MaxBytes: int64(c.DataMaxBytes)}
	if c.MongoDBURI != "" {
		open := func(url string, files tlsfiles.Files) (readings.Store, error) {
			return readings.OpenOwned(url, files, readings.Options{Log: p.Log, Retention: retention, Metrics: p.Metrics})
		}
		components.readings, err = openServer(components, open, "MONGODB_URI", c.MongoDBURI, c.MongoDBTLS)
		if err == nil {
			components.deadLetters, err = openServer(components, deadletters.Open, "MONGODB_URI", c.MongoDBURI, c.MongoDBTLS)
		}
	} else {
		open := func(path string) (*sqlitereadings.Store, error) {
			return sqlitereadings.Open(path, sqlitereadings.Options{Log: p.Log, Retention: retention, SealAfter: c.SealAfter, Metrics: p.Metrics})
		}
		components.readings, err = openFile(ctx, components, open, dir, "readings")
		if err == nil {
			components.deadLetters, err = openFile(ctx, components, sqlitedeadletters.Open, dir, "readings.db")
		}
	}
	if err != nil {
		return err
	}
	if c.DatabaseURL != "" {
		components.metadata, err = openServer(components, metadata.Open, "DATABASE_URL", c.DatabaseURL, c.DatabaseTLS)
	} else {
		components.metadata, err = openFile(ctx, components, sqlitemetadata.Open, dir, "metadata.db")
	}
	if err != nil {
		return err
	}
	if components.latest, err = latest.Open(cmp.Or(c.RedisURL, "memory://"), c.RedisTLS); err != nil {
		return &daemon.ConfigError{Variable: "REDIS_URL", Value: c.RedisURL, Err: err}
	}
	components.opened = append(components.opened, component{name: "REDIS_URL", client: components.latest})
	return nil
}

// registerStores makes the stores dependencies of the process.
func (c *command) registerStores(ctx context.Context, health *daemon.Health, components *components) {
	readingsAt, metadataAt := "readings.db", "metadata.db"
	if c.MongoDBURI != "" {
		readingsAt = "mongodb"
	}
	if c.DatabaseURL != "" {
		metadataAt, _, _ = strings.Cut(c.DatabaseURL, ":")
	}
	health.Register(ctx, readingsAt, components.readings)
	health.Register(ctx, metadataAt, components.metadata)
	if c.RedisURL != "" {
		health.Register(ctx, "redis", components.latest)
	}
}

// store is what the stores in files and on servers have in common.
type store interface {
	Prepare(context.Context) error
	Close() error
}

// openServer opens the store on the server at url, the setting of variable.
func openServer[S store](components *components, open func(string, tlsfiles.Files) (S, error), variable, url string, files tlsfiles.Files) (S, error) {
	s, err := open(url, files)
	if err != nil {
		return s, &daemon.ConfigError{Variable: variable, Value: url, Err: err}
	}
	components.opened = append(components.opened, component{name: variable, client: s})
	return s, nil
}

// openFile opens the store in a SQLite file, or a folder of them, in dir. It is prepared here: unlike a server, it cannot
// be waited for.
func openFile[S store](ctx context.Context, components *components, open func(string) (S, error), dir, file string) (S, error) {
	s, err := open(filepath.Join(dir, file))
	if err != nil {
		return s, fmt.Errorf("data directory (DATA_DIR): %w", err)
	}
	components.add(file, s.Close)
	if err := s.Prepare(ctx); err != nil {
		return s, fmt.Errorf("data directory (DATA_DIR): %w", err)
	}
	return s, nil
}

// listen listens on addr, the setting of variable.
func (p *components) listen(variable, addr string) (net.Listener, error) {
	l, err := daemon.Listen(variable, addr)
	if err != nil {
		return nil, err
	}
	p.add(variable, func() error {
		if err := l.Close(); !errors.Is(err, net.ErrClosed) {
			return err
		}
		return nil // by the service that it was given to
	})
	return l, nil
}

func (p *components) add(name string, close func() error) {
	p.opened = append(p.opened, component{name: name, close: func(context.Context) error { return close() }})
}

// close closes the components in the reverse order, and clients all at once. When ctx has ended the log of the broker is
// not waited for.
func (p *components) close(ctx context.Context, log *slog.Logger) {
	var clients sync.WaitGroup
	defer clients.Wait()
	for _, component := range slices.Backward(p.opened) {
		if component.client != nil {
			clients.Go(func() { daemon.Close(log, component.name, component.client) })
			continue
		}
		if err := component.close(ctx); err != nil {
			log.Warn("cannot close a component", "part", component.name, "err", err)
		}
	}
}
