package embedded

import (
	"context"
	"errors"
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

	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/telltale-iot/telltale/pkg/kafka"
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
	if err := k.Close(); err != nil {
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
	p := kafka.NewProducer(c.cfg, testLog(t), nil)
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
	if err := p.Send(ctx, records...); err != nil {
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

	t.Run("it tells clients the host that it was given", func(t *testing.T) {
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

// sweep is the janitor's round, now, of a process whose groups read the topic of newClient.
func sweep(t testing.TB, k *Kafka, retention time.Duration, maxBytes int64, groups ...string) {
	t.Helper()
	reads := map[string]string{}
	for _, group := range groups {
		reads[group] = "readings"
	}
	j := newJanitor(KafkaConfig{Retention: retention, MaxBytes: maxBytes, Groups: reads, Log: testLog(t)}, k)
	if err := j.sweep(t.Context(), inside(t, k)); err != nil {
		t.Fatal(err)
	}
}

func TestRetention(t *testing.T) {
	const mega = 1 << 20

	t.Run("what is beyond MaxBytes goes, from the disk too, and after a restart too", func(t *testing.T) {
		dir := t.TempDir()
		k := open(t, KafkaConfig{Dir: dir, MaxBytes: mega})
		c := newClient(t, k.Addr(), 1)
		c.send(t, 8000, 1000, time.Now())
		if n := diskUsage(t, dir); n < 8*mega*9/10 {
			t.Fatalf("%d bytes on disk before", n)
		}
		check := func() {
			t.Helper()
			sweep(t, k, 0, mega)
			if n := diskUsage(t, dir); n > 3*mega { // a segment ends with a batch, which here is 1 MB
				t.Errorf("%d bytes on disk, want little more than %d", n, mega)
			}
			if n := records(k, c.cfg.Topic); n < 10 || n > 2200 {
				t.Errorf("%d records, want about 1000", n)
			}
		}
		check()
		shut(t, k)
		k = open(t, KafkaConfig{Dir: dir, MaxBytes: mega})
		c = newClient(t, k.Addr(), 1)
		c.send(t, 8000, 1000, time.Now())
		check()
	})

	t.Run("what is older than Retention goes", func(t *testing.T) {
		dir := t.TempDir()
		k := open(t, KafkaConfig{Dir: dir, MaxBytes: mega})
		c := newClient(t, k.Addr(), 1)
		c.send(t, 3000, 1000, time.Now().Add(-2*time.Hour))
		c.send(t, 500, 1000, time.Now())
		sweep(t, k, time.Hour, 0)
		if n := records(k, c.cfg.Topic); n != 500 {
			t.Errorf("%d records, want 500", n)
		}
		if n := diskUsage(t, dir); n > 2*mega {
			t.Errorf("%d bytes on disk", n)
		}
	})

	t.Run("what a group has not read stays", func(t *testing.T) {
		k := open(t, KafkaConfig{Dir: t.TempDir(), MaxBytes: mega})
		c := newClient(t, k.Addr(), 1)
		c.send(t, 1000, 1000, time.Now().Add(-2*time.Hour))
		c.consume(t, "slow", 1000)
		c.send(t, 4000, 1000, time.Now().Add(-2*time.Hour))
		sweep(t, k, time.Hour, mega, "slow")
		if n := records(k, c.cfg.Topic); n < 4000 {
			t.Errorf("%d records, want the 4000 unread", n)
		}
		c.consume(t, "slow", 4000)
		sweep(t, k, time.Hour, mega, "slow")
		if n := records(k, c.cfg.Topic); n > 1000 {
			t.Errorf("%d records when all are read", n)
		}
	})

	t.Run("what a foreign group has not read goes", func(t *testing.T) {
		k := open(t, KafkaConfig{Dir: t.TempDir(), MaxBytes: mega})
		c := newClient(t, k.Addr(), 1)
		c.send(t, 1000, 1000, time.Now())
		c.consume(t, "looker", 1000) // once, and never again
		c.send(t, 4000, 1000, time.Now())
		sweep(t, k, 0, mega)
		if n := records(k, c.cfg.Topic); n > 2000 {
			t.Errorf("%d records are kept for a foreign group", n)
		}
	})

	t.Run("what a group has yet to begin with stays", func(t *testing.T) {
		k := open(t, KafkaConfig{Dir: t.TempDir(), MaxBytes: mega})
		c := newClient(t, k.Addr(), 1)
		c.send(t, 4000, 1000, time.Now().Add(-2*time.Hour))
		ctx, cancel := context.WithCancel(t.Context())
		consumer := kafka.NewConsumer(kafka.GroupConfig{Config: c.cfg, Group: "new", MaxBatch: 1000, MaxWait: 10 * time.Millisecond},
			func(ctx context.Context, _ []kafka.Record) error {
				<-ctx.Done() // its store hangs
				return ctx.Err()
			}, testLog(t), nil)
		ended := make(chan error)
		go func() { ended <- consumer.Run(ctx) }()
		if _, err := k.cluster.WaitGroupStable(ctx, "new", 1); err != nil {
			t.Fatal(err)
		}
		sweep(t, k, time.Hour, mega, "new")
		if n := records(k, c.cfg.Topic); n != 4000 {
			t.Errorf("%d records, want 4000", n)
		}
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})

	t.Run("what a group reads that has never been here stays, and no other topic for it", func(t *testing.T) {
		k := open(t, KafkaConfig{Dir: t.TempDir(), MaxBytes: mega})
		c := newClient(t, k.Addr(), 1)
		c.send(t, 4000, 1000, time.Now().Add(-2*time.Hour))
		other := client{c.cfg}
		other.cfg.Topic = c.cfg.DeadLetterTopic()
		other.send(t, 4000, 1000, time.Now().Add(-2*time.Hour))
		sweep(t, k, time.Hour, mega, "waits for its store")
		if n := records(k, c.cfg.Topic); n != 4000 {
			t.Errorf("%d records, want 4000", n)
		}
		if n := records(k, other.cfg.Topic); n != 1 {
			t.Errorf("%d records of a topic that the group does not read", n)
		}
		c.consume(t, "waits for its store", 4000)
		sweep(t, k, time.Hour, mega, "waits for its store")
		if n := records(k, c.cfg.Topic); n != 1 {
			t.Errorf("%d records when all are read", n)
		}
	})

	t.Run("the newest record stays, and offsets go on from it after a restart", func(t *testing.T) {
		dir := t.TempDir()
		k := open(t, KafkaConfig{Dir: dir})
		c := newClient(t, k.Addr(), 1)
		c.send(t, 100, 10, time.Now().Add(-2*time.Hour))
		c.consume(t, "a", 100)
		sweep(t, k, time.Hour, 0)
		shut(t, k)
		k = open(t, KafkaConfig{Dir: dir})
		c = newClient(t, k.Addr(), 1)
		c.send(t, 5, 10, time.Now())
		if p := k.cluster.PartitionInfo(c.cfg.Topic, 0); p.HighWatermark != 105 {
			t.Errorf("the log ends at %d, want 105", p.HighWatermark)
		}
		c.consume(t, "a", 5)
	})
}

// TestOffsetsDoNotExpire has a group that nobody was a member of for a year, and one for longer than never.
func TestOffsetsDoNotExpire(t *testing.T) {
	dir := t.TempDir()
	k := open(t, KafkaConfig{Dir: dir})
	newClient(t, k.Addr(), 1).send(t, 5, 10, time.Now())
	shut(t, k)
	var journal []byte
	for group, at := range map[string]time.Time{"ours": time.Now().AddDate(-1, 0, 0), "ancient": time.Unix(1, 0)} {
		entry := fmt.Appendf(nil, `{"type":"commit","g":%q,"t":"readings","o":3,"lc":%d}`, group, at.UnixMilli())
		journal = appendEntry(journal, entry)
	}
	looks := `{"version":1,"configs":{"offsets.retention.check.interval.ms":"1"}}`
	err := errors.Join(
		os.WriteFile(filepath.Join(dir, "groups.log"), journal, 0o600),
		os.WriteFile(filepath.Join(dir, "broker_configs.json"), []byte(looks), 0o600),
	)
	if err != nil {
		t.Fatal(err)
	}
	k = open(t, KafkaConfig{Dir: dir})
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	if _, err := k.cluster.WaitGroupInfo(ctx, "ancient", func(g *kfake.GroupInfo) bool { return g == nil }); err != nil {
		t.Fatalf("nothing expires, so this test shows nothing: %v", err)
	}
	if g := k.cluster.GroupInfo("ours"); g == nil || g.Commits["readings"][0].Offset != 3 {
		t.Errorf("the group is %+v", g)
	}
}
