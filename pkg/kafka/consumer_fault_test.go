package kafka_test

import (
	"context"
	"errors"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/telltale-iot/telltale/pkg/kafka"
	"github.com/telltale-iot/telltale/pkg/kafka/kafkatest"
	"github.com/telltale-iot/telltale/pkg/kafka/producer"
)

// watchCommits checks, until the test's end, that no offset is committed before all below it are handled.
func watchCommits(t testing.TB, j *journal, committed func() map[int32]int64) (stop func()) {
	return kafkatest.Start(t, func(ctx context.Context) error {
		for ctx.Err() == nil {
			for id, next := range committed() {
				j.mu.Lock()
				for offset := range next {
					if j.handled[id][offset] == 0 {
						t.Errorf("partition %d: offset %d is committed, but %d was not handled", id, next, offset)
						break
					}
				}
				j.mu.Unlock()
			}
			time.Sleep(20 * time.Millisecond)
		}
		return nil
	})
}

// Kafka goes away when the group is joined, and before the session has looked at its topic.
func TestConsumerWhoseSessionDoesNotBegin(t *testing.T) {
	t.Parallel()
	cluster := kafkatest.Fake(t)
	cfg := groupConfig(kafkatest.NewTopic(t, cluster.ListenAddrs(), 1))
	produce(t, cfg.Config, 10)
	var joined, away atomic.Bool
	cluster.ControlKey(int16(kmsg.SyncGroup), func(kmsg.Request) (kmsg.Response, error, bool) {
		joined.Store(true)
		return nil, nil, false
	})
	cluster.ControlKey(int16(kmsg.Metadata), func(kmsg.Request) (kmsg.Response, error, bool) {
		cluster.KeepControl()
		if joined.Load() && away.CompareAndSwap(false, true) {
			return nil, errors.New("away"), true
		}
		return nil, nil, false
	})
	j := newJournal(t)
	kafkatest.Start(t, kafka.NewConsumer(cfg, j.handle, kafkatest.Logger(t), nil).Run)
	j.waitFor(t, 10)
	if !away.Load() {
		t.Error("Kafka was not away")
	}
}

func TestConsumerRebalance(t *testing.T) {
	t.Parallel()
	t.Run("members come and go: every record is handled, few twice, and none is committed before", func(t *testing.T) {
		t.Parallel()
		cfg := groupConfig(kafkatest.NewTopic(t, kafkatest.Brokers(t), 6))
		j := newJournal(t)
		stopWatching := watchCommits(t, j, func() map[int32]int64 { return committed(t, cfg) })
		p := producer.New(cfg.Config, kafkatest.Discard(), nil)
		kafkatest.Start(t, p.Run)
		l := kafkatest.NewLedger(cfg.Topic, 100)
		var outages atomic.Int64
		handle := func(ctx context.Context, batch []kafka.Record) error {
			if rand.IntN(20) == 0 {
				outages.Add(1)
				return errors.New("the store is away")
			}
			select {
			case <-time.After(time.Duration(rand.IntN(10)) * time.Millisecond):
			case <-ctx.Done():
				return ctx.Err()
			}
			return j.handle(ctx, batch)
		}
		flowing := kafkatest.Start(t, func(ctx context.Context) error {
			for ctx.Err() == nil {
				l.Flow(t, p, 10*time.Millisecond)
			}
			return nil
		})
		var members []func()
		for i := range 10 {
			members = append(members, kafkatest.Start(t, kafka.NewConsumer(cfg, handle, kafkatest.Logger(t), nil).Run))
			if len(members) > 3 {
				members[0]()
				members = members[1:]
			}
			time.Sleep(time.Duration(200+100*i) * time.Millisecond)
		}
		flowing()
		l.Wait()
		j.waitFor(t, l.Acknowledged())
		for _, stop := range members {
			stop()
		}
		stopWatching()
		n, again := j.distinct()
		if n != l.Acknowledged() {
			t.Errorf("%d records are handled, want %d", n, l.Acknowledged())
		}
		if got := sum(committed(t, cfg)); int(got) != n {
			t.Errorf("%d records are committed, want %d", got, n)
		}
		t.Logf("%d records, %d of them handled again, %d failures", n, again, outages.Load())
		if again > n/20 {
			t.Errorf("%d of %d records were handled more than once", again, n)
		}
	})

	t.Run("a store that is away for longer than the session lasts keeps the member in its group", func(t *testing.T) {
		t.Parallel()
		cluster := kafkatest.Fake(t)
		cfg := groupConfig(kafkatest.NewTopic(t, cluster.ListenAddrs(), 2))
		cfg.Hurry()
		produce(t, cfg.Config, 100)
		c := kafka.NewConsumer(cfg, func(context.Context, []kafka.Record) error {
			return errors.New("the store is away")
		}, kafkatest.Logger(t), nil)
		kafkatest.Start(t, c.Run)
		kafkatest.Eventually(t, kafkatest.Timeout, "the group is joined", func() bool { return c.Check(t.Context()) == nil })
		before := cluster.GroupInfo(cfg.Group)
		time.Sleep(7 * time.Second) // the session lasts 6 s without heartbeats
		after := cluster.GroupInfo(cfg.Group)
		if before.Epoch != after.Epoch || after.State != "Stable" {
			t.Errorf("generation %d became %d, %s", before.Epoch, after.Epoch, after.State)
		}
	})

	t.Run("a member that waits for its store lets a partition go when another member joins", func(t *testing.T) {
		t.Parallel()
		cfg := groupConfig(kafkatest.NewTopic(t, kafkatest.Brokers(t), 4))
		produce(t, cfg.Config, 5000)
		stuck := kafka.NewConsumer(cfg, func(context.Context, []kafka.Record) error {
			return errors.New("the store is away")
		}, kafkatest.Logger(t), nil)
		kafkatest.Start(t, stuck.Run)
		kafkatest.Eventually(t, kafkatest.Timeout, "the first has joined", func() bool { return stuck.Check(t.Context()) == nil })
		j := newJournal(t)
		kafkatest.Start(t, kafka.NewConsumer(cfg, j.handle, kafkatest.Logger(t), nil).Run)
		j.waitFor(t, 2000) // about half is the second's
	})
}

func TestConsumerOutages(t *testing.T) {
	t.Parallel()
	t.Run("Kafka may start later, and Check says what is waited for", func(t *testing.T) {
		t.Parallel()
		address, open := kafkatest.Reserve(t)
		cfg := groupConfig(kafka.Config{Brokers: []string{address}, Topic: "later"})
		j := newJournal(t)
		c := kafka.NewConsumer(cfg, j.handle, kafkatest.Logger(t), nil)
		kafkatest.Start(t, c.Run)
		kafkatest.Eventually(t, kafkatest.Timeout, "Check names the address", func() bool {
			err := c.Check(t.Context())
			return err != nil && strings.Contains(err.Error(), address) && strings.Contains(err.Error(), "refused")
		})
		kafkatest.Fake(t, kfake.ListenFn(open))
		kafkatest.WantMissing(t, c.Check, cfg.Topic)
		produce(t, cfg.Config, 100)
		j.waitFor(t, 100)
		kafkatest.Eventually(t, kafkatest.Timeout, "Check is nil", func() bool { return c.Check(t.Context()) == nil })
	})

	t.Run("a Kafka that hangs is noticed within 5 s, and consumption goes on within 10 s of its return", func(t *testing.T) {
		t.Parallel()
		cluster, proxy := kafkatest.FakeBehindProxy(t)
		cfg := groupConfig(kafkatest.NewTopic(t, cluster.ListenAddrs(), 3))
		cfg.Hurry()
		j := newJournal(t)
		c := kafka.NewConsumer(cfg, j.handle, kafkatest.Logger(t), nil)
		kafkatest.Start(t, c.Run)
		produce(t, cfg.Config, 100)
		j.waitFor(t, 100)
		proxy.Hang()
		kafkatest.Eventually(t, 5*time.Second, "Check fails", func() bool { return c.Check(t.Context()) != nil })
		t.Log(c.Check(t.Context()))
		time.Sleep(7 * time.Second) // the session is over for the broker, and every timeout has struck
		proxy.Resume()
		produce(t, cfg.Config, 100)
		back := time.Now()
		j.waitFor(t, 200)
		if d := time.Since(back); d > 10*time.Second {
			t.Errorf("it took %v to go on", d)
		}
		kafkatest.Eventually(t, kafkatest.Timeout, "Check is well", func() bool { return c.Check(t.Context()) == nil })
	})

	t.Run("cut connections lose nothing", func(t *testing.T) {
		t.Parallel()
		cluster, proxy := kafkatest.FakeBehindProxy(t)
		cfg := groupConfig(kafkatest.NewTopic(t, cluster.ListenAddrs(), 3))
		j := newJournal(t)
		watchCommits(t, j, func() map[int32]int64 { // not through the proxy
			offsets := map[int32]int64{}
			if g := cluster.GroupInfo(cfg.Group); g != nil {
				for id, commit := range g.Commits[cfg.Topic] {
					offsets[id] = commit.Offset
				}
			}
			return offsets
		})
		c := kafka.NewConsumer(cfg, j.handle, kafkatest.Logger(t), nil)
		kafkatest.Start(t, c.Run)
		p := producer.New(cfg.Config, kafkatest.Discard(), nil)
		kafkatest.Start(t, p.Run)
		l := kafkatest.NewLedger(cfg.Topic, 10)
		for range 5 {
			l.Flow(t, p, 500*time.Millisecond)
			proxy.Cut()
			proxy.Reopen()
		}
		l.Wait()
		j.waitFor(t, l.Acknowledged())
	})

	t.Run("the end comes also when Kafka is away", func(t *testing.T) {
		t.Parallel()
		cluster, proxy := kafkatest.FakeBehindProxy(t)
		cfg := groupConfig(kafkatest.NewTopic(t, cluster.ListenAddrs(), 3))
		produce(t, cfg.Config, 100)
		j := newJournal(t)
		stop := kafkatest.Start(t, kafka.NewConsumer(cfg, j.handle, kafkatest.Logger(t), nil).Run)
		j.waitFor(t, 100)
		proxy.Hang()
		began := time.Now()
		stop()
		if d := time.Since(began); d > 6*time.Second {
			t.Errorf("the end took %v", d)
		}
	})

	t.Run("records that were deleted unread are reported, and the rest is handled", func(t *testing.T) {
		t.Parallel()
		cluster := kafkatest.Fake(t)
		cfg := groupConfig(kafkatest.NewTopic(t, cluster.ListenAddrs(), 1))
		produce(t, cfg.Config, 100)
		j := newJournal(t)
		stop := kafkatest.Start(t, kafka.NewConsumer(cfg, j.handle, kafkatest.Logger(t), nil).Run)
		j.waitFor(t, 100)
		stop()
		produce(t, cfg.Config, 200)
		if err := cluster.DeleteRecords(cfg.Topic, 0, 150); err != nil {
			t.Fatal(err)
		}
		metrics := prometheus.NewRegistry()
		kafkatest.Start(t, kafka.NewConsumer(cfg, j.handle, kafkatest.Logger(t), metrics).Run)
		j.waitFor(t, 250)
		if n := kafkatest.Metric(t, metrics, "telltale_kafka_consumer_deleted_records_total"); n != 50 {
			t.Errorf("%v records are reported as deleted, want 50", n)
		}
	})

	t.Run("records deleted while it consumes are reported too", func(t *testing.T) {
		t.Parallel()
		cluster := kafkatest.Fake(t)
		cfg := groupConfig(kafkatest.NewTopic(t, cluster.ListenAddrs(), 1))
		cfg.MaxBatch = 1
		produce(t, cfg.Config, 10)
		j := newJournal(t)
		metrics := prometheus.NewRegistry()
		inHand, resume := make(chan struct{}), make(chan struct{})
		begin := sync.OnceFunc(func() { close(inHand) })
		kafkatest.Start(t, kafka.NewConsumer(cfg, func(ctx context.Context, batch []kafka.Record) error {
			begin()
			<-resume
			return j.handle(ctx, batch)
		}, kafkatest.Logger(t), metrics).Run)
		<-inHand
		produce(t, cfg.Config, 20_000) // more than is fetched while the first batch is in hand
		if err := cluster.DeleteRecords(cfg.Topic, 0, 20_000); err != nil {
			t.Fatal(err)
		}
		close(resume)
		kafkatest.Eventually(t, kafkatest.Timeout, "the last record is handled", func() bool {
			j.mu.Lock()
			defer j.mu.Unlock()
			return j.handled[0][20_009] > 0
		})
		n, _ := j.distinct()
		if lost := kafkatest.Metric(t, metrics, "telltale_kafka_consumer_deleted_records_total"); int(lost) != 20_010-n {
			t.Errorf("%v records are reported as deleted, want %d", lost, 20_010-n)
		}
	})

	t.Run("a log that became shorter is read from its start, and counted on from there", func(t *testing.T) {
		t.Parallel()
		cluster := kafkatest.Fake(t)
		cfg := groupConfig(kafkatest.NewTopic(t, cluster.ListenAddrs(), 1))
		produce(t, cfg.Config, 100)
		stop := kafkatest.Start(t, kafka.NewConsumer(cfg, newJournal(t).handle, kafkatest.Logger(t), nil).Run)
		kafkatest.Eventually(t, kafkatest.Timeout, "100 records are committed", func() bool { return sum(committed(t, cfg)) == 100 })
		stop()
		commits := cluster.GroupInfo(cfg.Group).Commits[cfg.Topic][0].Offset
		if err := cluster.DeleteTopic(cfg.Topic); err != nil {
			t.Fatal(err)
		}
		if err := cluster.CreateTopic(cfg.Topic, 1, nil); err != nil {
			t.Fatal(err)
		}
		commit(t, cfg, 0, commits) // kafka forgets offsets with their topic, a broker that lost its disk does not
		produce(t, cfg.Config, 30)
		j := newJournal(t)
		metrics := prometheus.NewRegistry()
		kafkatest.Start(t, kafka.NewConsumer(cfg, j.handle, kafkatest.Logger(t), metrics).Run)
		j.waitFor(t, 30)
		kafkatest.Eventually(t, kafkatest.Timeout, "30 records are committed", func() bool { return sum(committed(t, cfg)) == 30 })
		if n := kafkatest.Metric(t, metrics, "telltale_kafka_consumer_rewinds_total"); n != 1 {
			t.Errorf("%v rewinds, want 1", n)
		}
	})

	t.Run("partitions that are added are consumed", func(t *testing.T) {
		t.Parallel()
		brokers := kafkatest.Brokers(t)
		cfg := groupConfig(kafkatest.NewTopic(t, brokers, 2))
		cfg.Hurry()
		produce(t, cfg.Config, 10)
		j := newJournal(t)
		kafkatest.Start(t, kafka.NewConsumer(cfg, j.handle, kafkatest.Logger(t), nil).Run)
		j.waitFor(t, 10)
		kafkatest.AddPartitions(t, brokers, cfg.Topic, 6)
		produce(t, cfg.Config, 300)
		j.waitFor(t, 310)
	})
}
