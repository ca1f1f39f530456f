package kafka_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/IBM/sarama"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/telltale-iot/telltale/pkg/kafka"
)

// admin returns a client for what operators do.
func admin(t testing.TB, brokers []string) sarama.ClusterAdmin {
	t.Helper()
	a, err := sarama.NewClusterAdmin(brokers, saramaConfig())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = a.Close() })
	return a
}

// partitionsOf returns how many partitions a topic has, 0 while it is missing.
func partitionsOf(t testing.TB, a sarama.ClusterAdmin, topic string) int {
	t.Helper()
	described, err := a.DescribeTopics([]string{topic})
	if err != nil || len(described) != 1 {
		t.Fatalf("describe topic %q: %v, %v", topic, described, err)
	}
	return len(described[0].Partitions)
}

// wantMissing waits until check says that topic is missing.
func wantMissing(t testing.TB, check func(context.Context) error, topic string) {
	t.Helper()
	eventually(t, patience, "Check says that "+topic+" is missing", func() bool {
		err := check(t.Context())
		return err != nil && strings.Contains(err.Error(), fmt.Sprintf("topic %q is missing", topic))
	})
}

func wantWell(t testing.TB, check func(context.Context) error) {
	t.Helper()
	eventually(t, patience, "Check is nil", func() bool { return check(t.Context()) == nil })
}

// TestMissingTopics deletes topics that are in use, as operators do, and as a Kafka that lost its disk has.
func TestMissingTopics(t *testing.T) {
	t.Parallel()
	for _, dead := range []bool{false, true} {
		topicOf := func(cfg kafka.Config) string {
			if dead {
				return cfg.DeadLetterTopic()
			}
			return cfg.Topic
		}
		t.Run(fmt.Sprintf("a producer makes its topic again, and sends what waited; dead letters: %v", dead), func(t *testing.T) {
			t.Parallel()
			cfg := newTopic(t, brokers(t), 3)
			topic, operator := topicOf(cfg), admin(t, cfg.Brokers)
			p := kafka.NewProducer(cfg, logger(t), nil)
			start(t, p.Run)
			if err := p.Send(t.Context(), kafka.Record{Topic: topic, Key: []byte("a")}); err != nil {
				t.Fatal(err)
			}
			deleted := time.Now() // the producer may notice before the operator has his answer
			if err := operator.DeleteTopic(topic); err != nil {
				t.Fatal(err)
			}
			wantMissing(t, p.Check, topic)
			sent := make(chan error, 1)
			go func() { sent <- p.Send(t.Context(), kafka.Record{Topic: topic, Key: []byte("b")}) }()
			if err := <-sent; err != nil {
				t.Fatal(err)
			}
			if took := time.Since(deleted); took < 5*time.Second {
				t.Errorf("it was made again after %v, which is too soon for an operator who has settings of his own", took)
			}
			wantWell(t, p.Check)
			if n := partitionsOf(t, operator, topic); n != 3 {
				t.Errorf("it has %d partitions, want 3", n)
			}
			if records := readAll(t, cfg.Brokers, topic); len(records) != 1 || string(records[0].Key) != "b" {
				t.Errorf("it holds %+v, want what waited", records)
			}
		})

		t.Run(fmt.Sprintf("an idle producer is not well without its topic, and makes it again; dead letters: %v", dead), func(t *testing.T) {
			t.Parallel()
			cfg := newTopic(t, brokers(t), 3)
			p := kafka.NewProducer(cfg, logger(t), nil)
			start(t, p.Run)
			wantWell(t, p.Check)
			if err := admin(t, cfg.Brokers).DeleteTopic(topicOf(cfg)); err != nil {
				t.Fatal(err)
			}
			wantMissing(t, p.Check, topicOf(cfg))
			wantWell(t, p.Check)
		})

		t.Run(fmt.Sprintf("a consumer makes its topic again, and consumes it; dead letters: %v", dead), func(t *testing.T) {
			t.Parallel()
			cfg := groupConfig(newTopic(t, brokers(t), 3))
			cfg.ReadTopic = topicOf(cfg.Config)
			read := cfg.Config
			read.Topic = cfg.ReadTopic
			produce(t, read, 50)
			j := newJournal(t)
			c := kafka.NewConsumer(cfg, j.handle, logger(t), nil)
			start(t, c.Run)
			j.waitFor(t, 50)
			wantWell(t, c.Check)
			operator := admin(t, cfg.Brokers)
			for _, topic := range []string{cfg.Topic, cfg.DeadLetterTopic()} {
				if err := operator.DeleteTopic(topic); err != nil {
					t.Fatal(err)
				}
			}
			wantMissing(t, c.Check, cfg.Topic)
			wantWell(t, c.Check)
			for _, topic := range []string{cfg.Topic, cfg.DeadLetterTopic()} {
				if n := partitionsOf(t, operator, topic); n != 3 {
					t.Errorf("%s has %d partitions, want 3", topic, n)
				}
			}
			again := newJournal(t)
			j.mu.Lock()
			j.handled = again.handled
			j.mu.Unlock()
			produce(t, read, 40)
			j.waitFor(t, 40)
		})
	}

	t.Run("many clients that miss it at once make it once", func(t *testing.T) {
		t.Parallel()
		cluster := fake(t)
		cfg := groupConfig(newTopic(t, cluster.ListenAddrs(), 5))
		checks := map[string]func(context.Context) error{}
		for i := range 4 {
			p := kafka.NewProducer(cfg.Config, logger(t), nil)
			c := kafka.NewConsumer(cfg, newJournal(t).handle, logger(t), nil)
			start(t, p.Run)
			start(t, c.Run)
			checks[fmt.Sprint("producer ", i)], checks[fmt.Sprint("consumer ", i)] = p.Check, c.Check
		}
		for _, check := range checks {
			wantWell(t, check)
		}
		// The first that makes it ends what the others have yet to notice.
		refusal := cluster.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.CreateTopics}, Count: -1})
		if err := cluster.DeleteTopic(cfg.Topic); err != nil {
			t.Fatal(err)
		}
		for _, check := range checks {
			wantMissing(t, check, cfg.Topic)
		}
		refusal.Remove()
		for _, check := range checks {
			wantWell(t, check)
		}
		if n := len(cluster.PartitionInfos(cfg.Topic)); n != 5 {
			t.Errorf("it has %d partitions, want 5", n)
		}
	})

	t.Run("one that may not be made is named with the reason, and made when it may", func(t *testing.T) {
		t.Parallel()
		cluster := fake(t)
		cfg := newTopic(t, cluster.ListenAddrs(), 1)
		p := kafka.NewProducer(cfg, logger(t), nil)
		start(t, p.Run)
		wantWell(t, p.Check)
		refusal := cluster.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.CreateTopics}, Err: kerr.PolicyViolation, Count: -1})
		if err := cluster.DeleteTopic(cfg.Topic); err != nil {
			t.Fatal(err)
		}
		eventually(t, patience, "Check says why", func() bool { return errors.Is(p.Check(t.Context()), sarama.ErrPolicyViolation) })
		wantMissing(t, p.Check, cfg.Topic)
		refusal.Remove()
		wantWell(t, p.Check)
	})

	t.Run("topics that Kafka lost with its disk are what Check names, not the connection, and all goes on with new ones", func(t *testing.T) {
		t.Parallel()
		address, open := reserve(t)
		cluster := fake(t, kfake.ListenFn(open))
		cfg := groupConfig(newTopic(t, []string{address}, 6))
		cfg.Partitions = 2 // from now on
		p := kafka.NewProducer(cfg.Config, logger(t), nil)
		start(t, p.Run)
		j := newJournal(t)
		c := kafka.NewConsumer(cfg, j.handle, logger(t), nil)
		start(t, c.Run)
		before := newLedger(cfg.Topic, 30)
		before.flow(t, p, 100*time.Millisecond)
		before.left.Wait()
		j.waitFor(t, before.acknowledged())
		cluster.Close()
		l := newLedger(cfg.Topic, 30)
		l.flow(t, p, 100*time.Millisecond)
		eventually(t, patience, "Check says that Kafka is away", func() bool { return p.Check(t.Context()) != nil })
		cluster = fake(t, kfake.ListenFn(open))
		unmade := cluster.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.CreateTopics}, Count: -1})
		checks := []func(context.Context) error{p.Check, c.Check}
		for _, check := range checks {
			wantMissing(t, check, cfg.Topic)
		}
		tried := unmade.Hits()
		eventually(t, patience, "making it was tried again and again", func() bool {
			for _, check := range checks {
				if err := check(t.Context()); err == nil {
					t.Fatal("Check is nil while the topic is missing")
				}
			}
			return unmade.Hits() >= tried+6
		})
		for _, check := range checks { // not the connection, although it was lost
			wantMissing(t, check, cfg.Topic)
		}
		unmade.Remove()
		l.left.Wait()
		j.mu.Lock()
		clear(j.handled)
		j.mu.Unlock()
		l2 := newLedger(cfg.Topic, 30)
		l2.flow(t, p, 100*time.Millisecond)
		l2.left.Wait()
		j.waitFor(t, l2.acknowledged())
		wantWell(t, p.Check)
		wantWell(t, c.Check)
	})
}

// TestRemadeTopic has a topic deleted and made again, and become longer than what was consumed of the old one.
func TestRemadeTopic(t *testing.T) {
	t.Parallel()
	remake := func(t *testing.T, cluster *kfake.Cluster, cfg kafka.GroupConfig, records int) {
		t.Helper()
		if err := cluster.DeleteTopic(cfg.Topic); err != nil {
			t.Fatal(err)
		}
		if err := cluster.CreateTopic(cfg.Topic, 1, nil); err != nil {
			t.Fatal(err)
		}
		produce(t, cfg.Config, records)
	}
	for _, tt := range []struct {
		name    string
		again   int // records on the new topic
		mark    func(old string) string
		handled int
	}{
		{"it is read from its start", 250, func(old string) string { return old }, 250},
		{"it is read from its start when it has just as many records", 100, func(old string) string { return old }, 100},
		{"an offset that says nothing of its topic is taken, as of an older version or an operator", 250, func(string) string { return "" }, 150},
		{"an offset with another program's words is taken", 250, func(string) string { return "from backup" }, 150},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			cluster := fake(t)
			cfg := groupConfig(newTopic(t, cluster.ListenAddrs(), 1))
			produce(t, cfg.Config, 100)
			stop := start(t, kafka.NewConsumer(cfg, newJournal(t).handle, logger(t), nil).Run)
			eventually(t, patience, "100 records are committed", func() bool { return sum(committed(t, cfg)) == 100 })
			stop()
			old := cluster.GroupInfo(cfg.Group).Commits[cfg.Topic][0]
			remake(t, cluster, cfg, tt.again)
			commitMarked(t, cfg, 0, old.Offset, tt.mark(old.Metadata)) // as a broker that lost the log, and not the offsets, has it
			j := newJournal(t)
			metrics := prometheus.NewRegistry()
			start(t, kafka.NewConsumer(cfg, j.handle, logger(t), metrics).Run)
			j.waitFor(t, tt.handled)
			eventually(t, patience, "all is committed", func() bool { return sum(committed(t, cfg)) == int64(tt.again) })
			if n, again := j.distinct(); n != tt.handled || again != 0 {
				t.Errorf("%d records were handled, %d of them again, want %d", n, again, tt.handled)
			}
			rewinds := 0
			if tt.handled == tt.again {
				rewinds = 1
			}
			if n := metric(t, metrics, "telltale_kafka_consumer_rewinds_total"); int(n) != rewinds {
				t.Errorf("%v rewinds, want %d", n, rewinds)
			}
		})
	}

	t.Run("an offset of an older version is one of the topic from the first session on", func(t *testing.T) {
		t.Parallel()
		cluster := fake(t)
		cfg := groupConfig(newTopic(t, cluster.ListenAddrs(), 1))
		produce(t, cfg.Config, 100)
		stop := start(t, kafka.NewConsumer(cfg, newJournal(t).handle, logger(t), nil).Run)
		eventually(t, patience, "100 records are committed", func() bool { return sum(committed(t, cfg)) == 100 })
		stop()
		commit(t, cfg, 0, 100)
		start(t, kafka.NewConsumer(cfg, newJournal(t).handle, logger(t), nil).Run)
		eventually(t, patience, "the commit names its topic", func() bool {
			c := cluster.GroupInfo(cfg.Group).Commits[cfg.Topic][0]
			return c.Offset == 100 && c.Metadata != ""
		})
	})

	t.Run("it is noticed while it is being read", func(t *testing.T) {
		t.Parallel()
		cluster := fake(t)
		cfg := groupConfig(newTopic(t, cluster.ListenAddrs(), 1))
		produce(t, cfg.Config, 100)
		j := newJournal(t)
		start(t, kafka.NewConsumer(cfg, j.handle, logger(t), nil).Run)
		eventually(t, patience, "100 records are committed", func() bool { return sum(committed(t, cfg)) == 100 })
		// A consumer that fetches before the new topic is that long would be told.
		away := cluster.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Fetch}, Err: kerr.KafkaStorageError, Count: -1})
		j.mu.Lock()
		clear(j.handled)
		j.mu.Unlock()
		remake(t, cluster, cfg, 250)
		away.Remove()
		j.waitFor(t, 250)
	})
}
