package kafka_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/IBM/sarama"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/telltale-iot/telltale/pkg/kafka"
	"github.com/telltale-iot/telltale/pkg/kafka/kafkatest"
	"github.com/telltale-iot/telltale/pkg/kafka/producer"
)

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
			cfg := kafkatest.NewTopic(t, kafkatest.Brokers(t), 3)
			topic, operator := topicOf(cfg), kafkatest.Admin(t, cfg.Brokers)
			p := producer.New(cfg, kafkatest.Logger(t), nil)
			kafkatest.Start(t, p.Run)
			if err := kafkatest.Send(t.Context(), p, kafka.Record{Topic: topic, Key: []byte("a")}); err != nil {
				t.Fatal(err)
			}
			deleted := time.Now() // the producer may notice before the operator has his answer
			if err := operator.DeleteTopic(topic); err != nil {
				t.Fatal(err)
			}
			kafkatest.WantMissing(t, p.Check, topic)
			sent := make(chan error, 1)
			go func() { sent <- kafkatest.Send(t.Context(), p, kafka.Record{Topic: topic, Key: []byte("b")}) }()
			if err := <-sent; err != nil {
				t.Fatal(err)
			}
			if took := time.Since(deleted); took < 5*time.Second {
				t.Errorf("it was made again after %v, which is too soon for an operator who has settings of his own", took)
			}
			kafkatest.WantWell(t, p.Check)
			if n := kafkatest.PartitionsOf(t, operator, topic); n != 3 {
				t.Errorf("it has %d partitions, want 3", n)
			}
			if records := kafkatest.ReadAll(t, cfg.Brokers, topic); len(records) != 1 || string(records[0].Key) != "b" {
				t.Errorf("it holds %+v, want what waited", records)
			}
		})

		t.Run(fmt.Sprintf("an idle producer is not well without its topic, and makes it again; dead letters: %v", dead), func(t *testing.T) {
			t.Parallel()
			cfg := kafkatest.NewTopic(t, kafkatest.Brokers(t), 3)
			p := producer.New(cfg, kafkatest.Logger(t), nil)
			kafkatest.Start(t, p.Run)
			kafkatest.WantWell(t, p.Check)
			if err := kafkatest.Admin(t, cfg.Brokers).DeleteTopic(topicOf(cfg)); err != nil {
				t.Fatal(err)
			}
			kafkatest.WantMissing(t, p.Check, topicOf(cfg))
			kafkatest.WantWell(t, p.Check)
		})

		t.Run(fmt.Sprintf("a consumer makes its topic again, and consumes it; dead letters: %v", dead), func(t *testing.T) {
			t.Parallel()
			cfg := groupConfig(kafkatest.NewTopic(t, kafkatest.Brokers(t), 3))
			cfg.ReadTopic = topicOf(cfg.Config)
			read := cfg.Config
			read.Topic = cfg.ReadTopic
			produce(t, read, 50)
			j := newJournal(t)
			c := kafka.NewConsumer(cfg, j.handle, kafkatest.Logger(t), nil)
			kafkatest.Start(t, c.Run)
			j.waitFor(t, 50)
			kafkatest.WantWell(t, c.Check)
			operator := kafkatest.Admin(t, cfg.Brokers)
			for _, topic := range []string{cfg.Topic, cfg.DeadLetterTopic()} {
				if err := operator.DeleteTopic(topic); err != nil {
					t.Fatal(err)
				}
			}
			kafkatest.WantMissing(t, c.Check, cfg.Topic)
			kafkatest.WantWell(t, c.Check)
			for _, topic := range []string{cfg.Topic, cfg.DeadLetterTopic()} {
				if n := kafkatest.PartitionsOf(t, operator, topic); n != 3 {
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
		cluster := kafkatest.Fake(t)
		cfg := groupConfig(kafkatest.NewTopic(t, cluster.ListenAddrs(), 5))
		cfg.Hurry()
		checks := map[string]func(context.Context) error{}
		for i := range 4 {
			p := producer.New(cfg.Config, kafkatest.Logger(t), nil)
			c := kafka.NewConsumer(cfg, newJournal(t).handle, kafkatest.Logger(t), nil)
			kafkatest.Start(t, p.Run)
			kafkatest.Start(t, c.Run)
			checks[fmt.Sprint("producer ", i)], checks[fmt.Sprint("consumer ", i)] = p.Check, c.Check
		}
		for _, check := range checks {
			kafkatest.WantWell(t, check)
		}
		// The first that makes it ends what the others have yet to notice.
		refusal := cluster.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.CreateTopics}, Count: -1})
		if err := cluster.DeleteTopic(cfg.Topic); err != nil {
			t.Fatal(err)
		}
		for _, check := range checks {
			kafkatest.WantMissing(t, check, cfg.Topic)
		}
		refusal.Remove()
		for _, check := range checks {
			kafkatest.WantWell(t, check)
		}
		if n := len(cluster.PartitionInfos(cfg.Topic)); n != 5 {
			t.Errorf("it has %d partitions, want 5", n)
		}
	})

	t.Run("one that may not be made is named with the reason, and made when it may", func(t *testing.T) {
		t.Parallel()
		cluster := kafkatest.Fake(t)
		cfg := kafkatest.NewTopic(t, cluster.ListenAddrs(), 1)
		cfg.Hurry()
		p := producer.New(cfg, kafkatest.Logger(t), nil)
		kafkatest.Start(t, p.Run)
		kafkatest.WantWell(t, p.Check)
		refusal := cluster.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.CreateTopics}, Err: kerr.PolicyViolation, Count: -1})
		if err := cluster.DeleteTopic(cfg.Topic); err != nil {
			t.Fatal(err)
		}
		kafkatest.Eventually(t, kafkatest.Timeout, "Check says why", func() bool { return errors.Is(p.Check(t.Context()), sarama.ErrPolicyViolation) })
		kafkatest.WantMissing(t, p.Check, cfg.Topic)
		refusal.Remove()
		kafkatest.WantWell(t, p.Check)
	})

	t.Run("topics that Kafka lost with its disk are what Check names, not the connection, and all goes on with new ones", func(t *testing.T) {
		t.Parallel()
		address, open := kafkatest.Reserve(t)
		cluster := kafkatest.Fake(t, kfake.ListenFn(open))
		cfg := groupConfig(kafkatest.NewTopic(t, []string{address}, 6))
		cfg.Hurry()
		cfg.Partitions = 2 // from now on
		p := producer.New(cfg.Config, kafkatest.Logger(t), nil)
		kafkatest.Start(t, p.Run)
		j := newJournal(t)
		c := kafka.NewConsumer(cfg, j.handle, kafkatest.Logger(t), nil)
		kafkatest.Start(t, c.Run)
		before := kafkatest.NewLedger(cfg.Topic, 30)
		before.Flow(t, p, 100*time.Millisecond)
		before.Wait()
		j.waitFor(t, before.Acknowledged())
		cluster.Close()
		l := kafkatest.NewLedger(cfg.Topic, 30)
		l.Flow(t, p, 100*time.Millisecond)
		kafkatest.Eventually(t, kafkatest.Timeout, "Check says that Kafka is away", func() bool { return p.Check(t.Context()) != nil })
		cluster = kafkatest.Fake(t, kfake.ListenFn(open))
		unmade := cluster.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.CreateTopics}, Count: -1})
		checks := []func(context.Context) error{p.Check, c.Check}
		for _, check := range checks {
			kafkatest.WantMissing(t, check, cfg.Topic)
		}
		tried := unmade.Hits()
		kafkatest.Eventually(t, kafkatest.Timeout, "making it was tried again and again", func() bool {
			for _, check := range checks {
				if err := check(t.Context()); err == nil {
					t.Fatal("Check is nil while the topic is missing")
				}
			}
			return unmade.Hits() >= tried+4
		})
		for _, check := range checks { // not the connection, although it was lost
			kafkatest.WantMissing(t, check, cfg.Topic)
		}
		unmade.Remove()
		l.Wait()
		j.mu.Lock()
		clear(j.handled)
		j.mu.Unlock()
		l2 := kafkatest.NewLedger(cfg.Topic, 30)
		l2.Flow(t, p, 100*time.Millisecond)
		l2.Wait()
		j.waitFor(t, l2.Acknowledged())
		kafkatest.WantWell(t, p.Check)
		kafkatest.WantWell(t, c.Check)
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
			cluster := kafkatest.Fake(t)
			cfg := groupConfig(kafkatest.NewTopic(t, cluster.ListenAddrs(), 1))
			produce(t, cfg.Config, 100)
			stop := kafkatest.Start(t, kafka.NewConsumer(cfg, newJournal(t).handle, kafkatest.Logger(t), nil).Run)
			kafkatest.Eventually(t, kafkatest.Timeout, "100 records are committed", func() bool { return sum(committed(t, cfg)) == 100 })
			stop()
			old := cluster.GroupInfo(cfg.Group).Commits[cfg.Topic][0]
			remake(t, cluster, cfg, tt.again)
			commitMarked(t, cfg, 0, old.Offset, tt.mark(old.Metadata)) // as a broker that lost the log, and not the offsets, has it
			j := newJournal(t)
			metrics := prometheus.NewRegistry()
			kafkatest.Start(t, kafka.NewConsumer(cfg, j.handle, kafkatest.Logger(t), metrics).Run)
			j.waitFor(t, tt.handled)
			kafkatest.Eventually(t, kafkatest.Timeout, "all is committed", func() bool { return sum(committed(t, cfg)) == int64(tt.again) })
			if n, again := j.distinct(); n != tt.handled || again != 0 {
				t.Errorf("%d records were handled, %d of them again, want %d", n, again, tt.handled)
			}
			rewinds := 0
			if tt.handled == tt.again {
				rewinds = 1
			}
			if n := kafkatest.Metric(t, metrics, "telltale_kafka_consumer_rewinds_total"); int(n) != rewinds {
				t.Errorf("%v rewinds, want %d", n, rewinds)
			}
		})
	}

	t.Run("an offset of an older version is one of the topic from the first session on", func(t *testing.T) {
		t.Parallel()
		cluster := kafkatest.Fake(t)
		cfg := groupConfig(kafkatest.NewTopic(t, cluster.ListenAddrs(), 1))
		produce(t, cfg.Config, 100)
		stop := kafkatest.Start(t, kafka.NewConsumer(cfg, newJournal(t).handle, kafkatest.Logger(t), nil).Run)
		kafkatest.Eventually(t, kafkatest.Timeout, "100 records are committed", func() bool { return sum(committed(t, cfg)) == 100 })
		stop()
		commit(t, cfg, 0, 100)
		kafkatest.Start(t, kafka.NewConsumer(cfg, newJournal(t).handle, kafkatest.Logger(t), nil).Run)
		kafkatest.Eventually(t, kafkatest.Timeout, "the commit names its topic", func() bool {
			c := cluster.GroupInfo(cfg.Group).Commits[cfg.Topic][0]
			return c.Offset == 100 && c.Metadata != ""
		})
	})

	t.Run("it is noticed while it is being read", func(t *testing.T) {
		t.Parallel()
		cluster := kafkatest.Fake(t)
		cfg := groupConfig(kafkatest.NewTopic(t, cluster.ListenAddrs(), 1))
		produce(t, cfg.Config, 100)
		j := newJournal(t)
		kafkatest.Start(t, kafka.NewConsumer(cfg, j.handle, kafkatest.Logger(t), nil).Run)
		kafkatest.Eventually(t, kafkatest.Timeout, "100 records are committed", func() bool { return sum(committed(t, cfg)) == 100 })
		// A consumer that fetches before the new topic is that long would get an error.
		away := cluster.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Fetch}, Err: kerr.KafkaStorageError, Count: -1})
		j.mu.Lock()
		clear(j.handled)
		j.mu.Unlock()
		remake(t, cluster, cfg, 250)
		away.Remove()
		j.waitFor(t, 250)
	})
}
