package embedded

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/twmb/franz-go/pkg/kfake"

	"github.com/telltale-iot/telltale/pkg/kafka"
)

// sweep is the round of retention, now, of a process whose groups read the topic of newClient.
func sweep(t testing.TB, k *Kafka, retention time.Duration, maxBytes int64, groups ...string) {
	t.Helper()
	reads := map[string]string{}
	for _, group := range groups {
		reads[group] = "readings"
	}
	j := newRetention(KafkaConfig{Retention: retention, MaxBytes: maxBytes, Groups: reads, Log: testLog(t)}, k)
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

	t.Run("the partitions of a topic share its MaxBytes", func(t *testing.T) {
		k := open(t, KafkaConfig{Dir: t.TempDir(), MaxBytes: 2 * mega})
		c := newClient(t, k.Addr(), 4)
		c.send(t, 8000, 1000, time.Now())
		sweep(t, k, 0, 2*mega)
		if n := records(k, c.cfg.Topic); n < 500 || n > 3000 {
			t.Errorf("%d records, want about 2000", n)
		}
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

	t.Run("a topic may have a retention of its own", func(t *testing.T) {
		k := open(t, KafkaConfig{Dir: t.TempDir()})
		c := newClient(t, k.Addr(), 1)
		c.send(t, 100, 10, time.Now().Add(-2*time.Hour))
		c.send(t, 10, 10, time.Now())
		j := newRetention(KafkaConfig{Retention: 24 * time.Hour, Retentions: map[string]time.Duration{c.cfg.Topic: time.Hour}, Log: testLog(t)}, k)
		if err := j.sweep(t.Context(), inside(t, k)); err != nil {
			t.Fatal(err)
		}
		if size := testutil.ToFloat64(j.size); size < 1100 { // before
			t.Errorf("the log has %v bytes", size)
		}
		if n := records(k, c.cfg.Topic); n != 10 {
			t.Errorf("%d records, want the 10 of the last hour", n)
		}
	})

	t.Run("a topic may keep all", func(t *testing.T) {
		k := open(t, KafkaConfig{Dir: t.TempDir()})
		c := newClient(t, k.Addr(), 1)
		c.send(t, 4000, 1000, time.Now().Add(-2*time.Hour))
		j := newRetention(KafkaConfig{Retention: time.Hour, MaxBytes: mega, Kept: []string{c.cfg.Topic}, Log: testLog(t)}, k)
		if err := j.sweep(t.Context(), inside(t, k)); err != nil {
			t.Fatal(err)
		}
		if n := records(k, c.cfg.Topic); n != 4000 {
			t.Errorf("%d records, want all 4000", n)
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
