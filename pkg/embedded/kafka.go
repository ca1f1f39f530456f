package embedded

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"runtime/debug"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/twmb/franz-go/pkg/kfake"

	"github.com/telltale-iot/telltale/pkg/internal/dirsync"
)

// KafkaConfig configures StartKafka.
type KafkaConfig struct {
	// Addr is the host:port to listen on; port 0 takes a free one. That host is
	// advertised to clients, or localhost where it is empty or a wildcard.
	Addr string
	// Writes lets clients that come to Addr produce, and make and delete topics. Without it they read.
	Writes bool
	// Account says who a client is that comes to Addr. An error that is Denied is told to who logs in; any error ends the
	// connection of who does not, or has. It is asked again, each second at most. nil lets all do everything.
	Account func(context.Context, Login) (Account, error)
	// Internal are topics that are for accounts with access to Everything alone.
	Internal []string
	Refused  func(Refusal) // is told of what a client asked for and may not do; nil: nobody is. It must not block
	TLS      *tls.Config   // of clients that come to Addr; nil without TLS
	Dir      string        // keeps the log and the groups' offsets; "" keeps them in memory only
	// Records older than Retention are dropped, and a topic's oldest beyond MaxBytes, of which each of its partitions
	// has its share; 0 keeps them.
	// Either way a record stays until each of Groups that reads its topic has committed it, also one that has
	// yet to begin, and the newest stays always, so that offsets go on from it.
	Retention time.Duration
	MaxBytes  int64
	// Retentions are those of single topics, in place of Retention: nothing is compacted here.
	Retentions map[string]time.Duration
	// Kept are topics of which all records stay, whatever Retention and MaxBytes say.
	Kept []string
	// Groups are those of the services in this process, and the topic that each reads. Nobody else can join
	// them, or commit for them.
	Groups  map[string]string
	Log     *slog.Logger          // nil logs nothing
	Metrics prometheus.Registerer // nil measures nothing
}

// never is how long kfake waits before it deletes old records, which the retention here does, and offsets of a group
// without members: a service is no member while it waits for its store. kfake's sums overflow beyond 292 years.
const never = 30 * 365 * 24 * time.Hour

// Kafka is a running broker.
type Kafka struct {
	cluster *kfake.Cluster
	port    *port
	disk    *disk
	damaged []string // copies of damaged files
	unlock  func()

	stop    context.CancelFunc
	stopped chan struct{} // closed when the retention has ended

	closing  sync.Once
	closed   chan struct{} // closed when closeErr says what came of it
	closeErr error
}

// StartKafka starts a broker. It fails when it cannot listen on Addr, when it cannot read Dir or write to it,
// and when another process has Dir open.
func StartKafka(cfg KafkaConfig) (_ *Kafka, err error) {
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	k := &Kafka{unlock: func() {}, stopped: make(chan struct{}), closed: make(chan struct{})}
	defer func() {
		if err != nil {
			k.unlock()
		}
	}()
	log := recovery{dir: cfg.Dir, log: cfg.Log}
	if cfg.Dir != "" {
		if err := errors.Join(os.MkdirAll(cfg.Dir, 0o700), dirsync.Sync(filepath.Dir(cfg.Dir))); err != nil {
			return nil, fmt.Errorf("open the kafka log: %w", err)
		}
		if k.unlock, err = lock(cfg.Dir); err != nil {
			k.unlock = func() {}
			return nil, fmt.Errorf("open the kafka log in %s: %w", cfg.Dir, err)
		}
		if err := log.run(); err != nil {
			return nil, fmt.Errorf("open the kafka log in %s: %w", cfg.Dir, err)
		}
	}
	k.damaged = log.copies
	k.disk = newDisk(cfg.Dir, log.tails, cfg.Log)
	k.port = newPort(cfg, k.disk)
	if err := k.port.listen(cfg.Addr); err != nil {
		return nil, errors.Join(fmt.Errorf("open the kafka port: %w", err), k.disk.close())
	}
	k.cluster, err = kfake.NewCluster(options(cfg, k.port, k.disk)...)
	if err == nil {
		err = k.disk.sync() // kfake may have begun new files
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("open the kafka log in %s: %w", cfg.Dir, err), k.port.Close(), k.disk.close())
	}
	debug.FreeOSMemory() // the log was read through, and is as long as all the rest is small
	ctx, stop := context.WithCancel(context.Background())
	k.stop = stop
	go func() {
		defer close(k.stopped)
		newRetention(cfg, k).run(ctx)
	}()
	return k, nil
}

// Addr is the address that is advertised to clients.
func (k *Kafka) Addr() string { return string(k.port.addr) }

// Dial connects from within this process, whatever the address. What comes that way may do everything.
func (k *Kafka) Dial(ctx context.Context, network, addr string) (net.Conn, error) {
	return k.port.dial(ctx, network, addr)
}

// Wait returns nil when ctx ends, or before that an error: nothing is acknowledged any more, because a write or
// a sync failed. Only another start finds out what the disk has.
func (k *Kafka) Wait(ctx context.Context) error {
	select {
	case <-ctx.Done():
		return nil
	case <-k.disk.failed:
		return k.disk.check()
	}
}

// Check is nil while records are taken, and all that were taken can be read.
func (k *Kafka) Check(context.Context) error { return k.disk.check() }

// State says, for people, what damage was found at the start.
func (k *Kafka) State() string {
	if len(k.damaged) == 0 {
		return "no damage found"
	}
	return fmt.Sprintf("damage found at the start; the files as they were: %s", strings.Join(k.damaged, ", "))
}

// Close stops the broker and closes its files. Connections are cut. kfake writes a summary of everything, file by file,
// each with a sync of its own, which takes a slow disk long: it fails when ctx ends before that is done. Then it goes
// on, Dir is not free before its end, and nothing is lost when the process ends meanwhile: the next start reads the
// whole log, as after any end but a good one.
func (k *Kafka) Close(ctx context.Context) error {
	k.closing.Do(func() {
		go func() {
			defer close(k.closed)
			k.stop()
			<-k.stopped
			k.cluster.Close()
			err := k.disk.sync() // the journals are new
			k.closeErr = errors.Join(err, k.disk.close())
			k.unlock()
		}()
	})
	select {
	case <-k.closed:
		return k.closeErr
	case <-ctx.Done():
		return fmt.Errorf("the kafka log is still being closed, and the next start reads all of it: %w", ctx.Err())
	}
}

func options(cfg KafkaConfig, port *port, disk *disk) []kfake.Opt {
	opts := []kfake.Opt{
		kfake.NumBrokers(1),
		kfake.ListenFn(func(string, string) (net.Listener, error) { return port, nil }),
		kfake.WithLogger(disk),
		kfake.MaxVersions(versions),
		kfake.BrokerConfigs(map[string]string{
			// A segment's file goes when its last record does.
			"log.segment.bytes":         strconv.FormatInt(segmentBytes(cfg.MaxBytes), 10),
			"log.cleaner.backoff.ms":    strconv.FormatInt(never.Milliseconds(), 10),
			"offsets.retention.minutes": strconv.Itoa(int(never.Minutes())),
			"group.max.size":            strconv.Itoa(maxMembers),
		}),
	}
	if cfg.Dir != "" {
		opts = append(opts, kfake.DataDir(cfg.Dir)) // without kfake.SyncWrites, which ignores what a sync says
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

var errLocked = errors.New("another process has it open")
