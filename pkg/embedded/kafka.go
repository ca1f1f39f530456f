// Package embedded is a Kafka-protocol broker in this process: for the all-in-one binary and for tests.
//
// It is kfake of franz-go with a directory, and with what that lacks as a place to keep things: a lock on
// the directory, a log that is whole after a kill, and a retention that deletes nothing unread. It is one
// broker without replicas. A batch is acknowledged when it was synced to disk; the death of the process
// loses nothing, a power cut nothing that the disk said it had.
//
// Records are read from disk; in memory is an index of some 100 bytes per batch. The log is read through
// when it is opened, so MaxBytes bounds the time and the memory that takes after a kill.
package embedded

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"runtime/debug"
	"strconv"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"
)

// KafkaConfig configures StartKafka.
type KafkaConfig struct {
	// Addr is the host:port to listen on; port 0 takes a free one. Clients are told to come to that
	// host, or to localhost where it is empty or a wildcard.
	Addr string
	Dir  string // keeps the log and the groups' offsets; "" keeps them in memory only
	// Records older than Retention are dropped, and a partition's oldest beyond MaxBytes; 0 keeps them.
	// Either way a record stays until each group that reads its topic has committed it, and the newest
	// stays always, so that offsets go on from it.
	Retention time.Duration
	MaxBytes  int64
	Log       *slog.Logger // nil logs nothing
}

// Kafka is a running broker.
type Kafka struct {
	cluster *kfake.Cluster
	addr    string
	unlock  func()

	close   sync.Once
	stop    context.CancelFunc
	stopped chan struct{}
}

// StartKafka starts a broker. With Dir, every record it acknowledged was synced to disk before, and a
// kill of the process loses none. It fails when it cannot listen on Addr, when it cannot write to Dir, and
// when another process has Dir open.
func StartKafka(cfg KafkaConfig) (_ *Kafka, err error) {
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	unlock := func() {}
	if cfg.Dir != "" {
		if err := os.MkdirAll(cfg.Dir, 0o755); err != nil {
			return nil, fmt.Errorf("open the kafka log: %w", err)
		}
		if unlock, err = lock(cfg.Dir); err != nil {
			return nil, fmt.Errorf("open the kafka log in %s: %w", cfg.Dir, err)
		}
		if err := repair(cfg.Dir, cfg.Log); err != nil {
			unlock()
			return nil, fmt.Errorf("repair the kafka log in %s: %w", cfg.Dir, err)
		}
	}
	listener, err := listen(cfg.Addr)
	if err != nil {
		unlock()
		return nil, fmt.Errorf("open the kafka port: %w", err)
	}
	cluster, err := kfake.NewCluster(options(cfg, listener)...)
	if err != nil {
		_ = listener.Close()
		unlock()
		return nil, fmt.Errorf("open the kafka log in %s: %w", cfg.Dir, err)
	}
	debug.FreeOSMemory() // the log was read through, and is as long as all the rest is small
	ctx, stop := context.WithCancel(context.Background())
	k := &Kafka{cluster: cluster, addr: listener.Addr().String(), unlock: unlock, stop: stop, stopped: make(chan struct{})}
	go func() {
		defer close(k.stopped)
		newJanitor(cfg, k).run(ctx)
	}()
	return k, nil
}

// Addr is the address it listens on, as clients are told it.
func (k *Kafka) Addr() string { return k.addr }

// Close stops the broker and closes its files. Connections are cut.
func (k *Kafka) Close() error {
	k.close.Do(func() {
		k.stop()
		<-k.stopped
		k.cluster.Close()
		k.unlock()
	})
	return nil
}

func options(cfg KafkaConfig, listener net.Listener) []kfake.Opt {
	opts := []kfake.Opt{
		kfake.NumBrokers(1),
		kfake.ListenFn(func(string, string) (net.Listener, error) { return listener, nil }),
		kfake.WithLogger(logger{cfg.Log}),
		kfake.BrokerConfigs(map[string]string{
			// A segment's file goes when its last record does.
			"log.segment.bytes": strconv.FormatInt(segmentBytes(cfg.MaxBytes), 10),
			// kfake's own retention is put off for 30 years; see janitor.
			"log.cleaner.backoff.ms": strconv.FormatInt((30 * 365 * 24 * time.Hour).Milliseconds(), 10),
		}),
	}
	if cfg.Dir != "" {
		opts = append(opts, kfake.DataDir(cfg.Dir), kfake.SyncWrites())
	}
	return opts
}

// segmentBytes divides a partition into some ten files.
func segmentBytes(maxBytes int64) int64 {
	if maxBytes <= 0 {
		return 16 << 20
	}
	return min(max(maxBytes/10, 64<<10), 16<<20)
}

// listen opens addr. The listener's address is the one that clients are to use.
func listen(addr string) (net.Listener, error) {
	host, _, err := net.SplitHostPort(addr)
	if err != nil {
		return nil, err
	}
	l, err := net.Listen("tcp", addr)
	if err != nil {
		return nil, err
	}
	if ip := net.ParseIP(host); host == "" || ip.IsUnspecified() {
		host = "localhost"
	}
	return advertised{l, net.JoinHostPort(host, strconv.Itoa(l.Addr().(*net.TCPAddr).Port))}, nil
}

// advertised is a listener that goes by another address: kfake sends clients to its listener's.
type advertised struct {
	net.Listener
	addr string
}

func (a advertised) Addr() net.Addr { return address(a.addr) }

type address string

func (address) Network() string  { return "tcp" }
func (a address) String() string { return string(a) }

// logger passes on what kfake warns of.
type logger struct{ log *slog.Logger }

func (l logger) Logf(level kfake.LogLevel, format string, args ...any) {
	if level > kfake.LogLevelWarn {
		return
	}
	l.log.Warn("warning of the embedded kafka", "err", fmt.Errorf(format, args...))
}

var errLocked = errors.New("another process has it open")
