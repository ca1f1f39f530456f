package embedded

import (
	"context"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/telltale-iot/telltale/pkg/kafka"
	"github.com/telltale-iot/telltale/pkg/kafka/kafkatest"
	"github.com/telltale-iot/telltale/pkg/kafka/producer"
)

func testLog(t testing.TB) *slog.Logger { return slog.New(slog.NewTextHandler(t.Output(), nil)) }

func open(t testing.TB, cfg KafkaConfig) *Kafka {
	t.Helper()
	if cfg.Addr == "" {
		cfg.Addr = "127.0.0.1:0"
	}
	cfg.Log, cfg.Writes = testLog(t), true
	k, err := StartKafka(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { shut(t, k) })
	return k
}

func shut(t testing.TB, k *Kafka) {
	t.Helper()
	if err := k.Close(context.Background()); err != nil {
		t.Error(err)
	}
}

// client is a producer and a consumer of a broker that may come and go.
type client struct {
	cfg kafka.Config
}

func newClient(t testing.TB, addr string, partitions int32) client {
	t.Helper()
	cfg := kafka.Config{
		Brokers: []string{addr}, Topic: "readings", Partitions: partitions, Replication: -1, Retention: 7 * 24 * time.Hour,
	}
	if err := kafka.EnsureTopics(t.Context(), cfg, testLog(t)); err != nil {
		t.Fatal(err)
	}
	return client{cfg}
}

// send produces n records of size bytes, stamped at.
func (c client) send(t testing.TB, n, size int, at time.Time) {
	t.Helper()
	p := producer.New(c.cfg, testLog(t), nil)
	ctx, cancel := context.WithCancel(t.Context())
	var running sync.WaitGroup
	running.Go(func() { _ = p.Run(ctx) })
	defer running.Wait()
	defer cancel()
	var records []kafka.Record
	for i := range n {
		records = append(records, kafka.Record{
			Topic: c.cfg.Topic, Key: fmt.Append(nil, i), Value: []byte(strings.Repeat("x", size)), Timestamp: at,
		})
	}
	if err := kafkatest.Send(ctx, p, records...); err != nil {
		t.Fatal(err)
	}
}

// consume reads as the group until it has n more records.
func (c client) consume(t testing.TB, group string, n int) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	enough := make(chan struct{})
	var mu sync.Mutex
	consumer := kafka.NewConsumer(kafka.GroupConfig{Config: c.cfg, Group: group, MaxBatch: 1000, MaxWait: 10 * time.Millisecond},
		func(_ context.Context, batch []kafka.Record) error {
			mu.Lock()
			defer mu.Unlock()
			if n > 0 && n <= len(batch) {
				close(enough)
			}
			n -= len(batch)
			return nil
		}, testLog(t), nil)
	ended := make(chan error)
	go func() { ended <- consumer.Run(ctx) }()
	select {
	case <-enough:
	case <-ctx.Done():
		t.Errorf("group %q did not get the last %d records", group, n)
	}
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	if n < 0 {
		t.Errorf("group %q got %d records too many", group, -n)
	}
}

// records counts what the broker has of the topic.
func records(k *Kafka, topic string) (n int64) {
	for _, p := range k.cluster.PartitionInfos(topic) {
		n += p.HighWatermark - p.LogStartOffset
	}
	return n
}

func diskUsage(t testing.TB, dir string) (bytes int64) {
	t.Helper()
	err := filepath.WalkDir(dir, func(_ string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		info, err := d.Info()
		if err == nil {
			bytes += info.Size()
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return bytes
}

func TestKafka(t *testing.T) {
	t.Run("records and offsets survive a restart", func(t *testing.T) {
		dir := t.TempDir()
		k := open(t, KafkaConfig{Dir: dir})
		c := newClient(t, k.Addr(), 3)
		c.send(t, 100, 10, time.Now())
		c.consume(t, "a", 100)
		c.send(t, 50, 10, time.Now())
		shut(t, k)

		k = open(t, KafkaConfig{Dir: dir})
		c = newClient(t, k.Addr(), 3)
		if n := records(k, c.cfg.Topic); n != 150 {
			t.Errorf("%d records, want 150", n)
		}
		c.consume(t, "a", 50)
		c.consume(t, "b", 150)
	})

	t.Run("a disk that refuses writes for a while costs no record", func(t *testing.T) {
		dir := t.TempDir()
		k := open(t, KafkaConfig{Dir: dir})
		c := newClient(t, k.Addr(), 1)
		// In the place of the partition's directory is a file: what has to be written cannot be.
		place := filepath.Join(dir, "partitions", c.cfg.Topic+"-0")
		if err := os.RemoveAll(place); err != nil {
			t.Fatal(err)
		}
		if err := os.MkdirAll(filepath.Dir(place), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(place, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		var attempts atomic.Int32
		k.cluster.ControlKey(int16(kmsg.Produce), func(kmsg.Request) (kmsg.Response, error, bool) {
			k.cluster.KeepControl()
			if attempts.Add(1) == 3 {
				if err := os.Remove(place); err != nil {
					t.Error(err)
				}
			}
			return nil, nil, false
		})
		c.send(t, 100, 10, time.Now())
		if n := attempts.Load(); n < 3 {
			t.Errorf("acknowledged at attempt %d, while nothing could be written", n)
		}
		if n := records(k, c.cfg.Topic); n != 100 {
			t.Errorf("%d records are there, and 100 were acknowledged", n)
		}
	})

	t.Run("without a directory it keeps nothing", func(t *testing.T) {
		k := open(t, KafkaConfig{})
		c := newClient(t, k.Addr(), 1)
		c.send(t, 10, 10, time.Now())
		c.consume(t, "a", 10)
	})

	t.Run("it advertises the host that it was given", func(t *testing.T) {
		for given, want := range map[string]string{
			"127.0.0.1:0": "127.0.0.1", "localhost:0": "localhost", ":0": "localhost", "0.0.0.0:0": "localhost", "[::]:0": "localhost",
		} {
			k := open(t, KafkaConfig{Addr: given})
			host, port, err := net.SplitHostPort(k.Addr())
			if err != nil || host != want || port == "0" {
				t.Errorf("Addr of %q: %q, want host %q and a port", given, k.Addr(), want)
			}
			newClient(t, k.Addr(), 1).send(t, 1, 1, time.Now())
		}
	})

	t.Run("a first reading gets through within seconds of the start", func(t *testing.T) {
		began := time.Now()
		k := open(t, KafkaConfig{Dir: t.TempDir()})
		c := newClient(t, k.Addr(), 3)
		c.send(t, 1, 10, time.Now())
		c.consume(t, "a", 1)
		if d := time.Since(began); d > 5*time.Second { // 0.3 s on an idle machine
			t.Errorf("it took %v", d)
		}
	})
}

func TestStartKafkaFails(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	busy, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = busy.Close() }()
	locked := t.TempDir()
	open(t, KafkaConfig{Dir: locked})
	for _, tc := range []struct {
		name string
		cfg  KafkaConfig
		want []string // parts of the error
	}{
		{"when the port is in use", KafkaConfig{Addr: busy.Addr().String()}, []string{"open the kafka port", "address already in use"}},
		{"when the address is none", KafkaConfig{Addr: "nowhere"}, []string{"open the kafka port", "nowhere"}},
		{"when the directory is a file", KafkaConfig{Addr: "127.0.0.1:0", Dir: file}, []string{"open the kafka log", file}},
		{"when the directory is below a file", KafkaConfig{Addr: "127.0.0.1:0", Dir: filepath.Join(file, "x")}, []string{"open the kafka log", file}},
		{"when another has the directory", KafkaConfig{Addr: "127.0.0.1:0", Dir: locked}, []string{locked, "another process has it open"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			_, err := StartKafka(tc.cfg)
			if err == nil {
				t.Fatal("it started")
			}
			for _, part := range tc.want {
				if !strings.Contains(err.Error(), part) {
					t.Errorf("error %q lacks %q", err, part)
				}
			}
		})
	}
	t.Run("and leaves the directory free", func(t *testing.T) {
		dir := t.TempDir()
		if _, err := StartKafka(KafkaConfig{Addr: busy.Addr().String(), Dir: dir}); err == nil {
			t.Fatal("it started")
		}
		open(t, KafkaConfig{Dir: dir})
	})
}
