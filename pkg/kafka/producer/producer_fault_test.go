package producer_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/telltale-iot/telltale/pkg/kafka"
	"github.com/telltale-iot/telltale/pkg/kafka/kafkatest"
	"github.com/telltale-iot/telltale/pkg/kafka/producer"
)

func TestProducerRetries(t *testing.T) {
	t.Parallel()
	// What a broker may answer, and must not keep a record from arriving once and in order.
	for _, tc := range []struct {
		name string
		err  *kerr.Error
		when func(batches []kmsg.RecordBatch) bool // nil: always
	}{
		{"not the leader", kerr.NotLeaderForPartition, nil},
		{"too few replicas", kerr.NotEnoughReplicas, nil},
		{"too few replicas, but appended", kerr.NotEnoughReplicasAfterAppend, nil},
		{"replicas too slow, but appended", kerr.RequestTimedOut, nil},
		{"topic unknown", kerr.UnknownTopicOrPartition, nil},
		{"no leader", kerr.LeaderNotAvailable, nil},
		{"corrupted on the way", kerr.CorruptMessage, nil},
		{"disk full", kerr.KafkaStorageError, nil},
		{"an error that nobody thought of", kerr.UnknownServerError, nil},
		{"no permission, for now", kerr.TopicAuthorizationFailed, nil},
		{"batch too large", kerr.MessageTooLarge, ofManyRecords}, // one record would be given up
		{"batch refused", kerr.InvalidRecord, ofManyRecords},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			retry(t, kfake.Fault{Err: tc.err, Count: 6, When: onBatches(tc.when)})
		})
	}
	t.Run("time of this machine refused: without one it goes on", func(t *testing.T) {
		t.Parallel()
		retry(t, kfake.Fault{Err: kerr.InvalidTimestamp, Count: -1, When: onBatches(func(batches []kmsg.RecordBatch) bool {
			return slices.ContainsFunc(batches, func(b kmsg.RecordBatch) bool { return b.FirstTimestamp >= 0 })
		})})
	})
	for _, tc := range []struct {
		name string
		err  *kerr.Error
	}{
		{"sequence out of order", kerr.OutOfOrderSequenceNumber},
		{"producer unknown", kerr.UnknownProducerID},
		{"producer fenced", kerr.InvalidProducerEpoch},
	} {
		t.Run(tc.name+": under a new identity it goes on", func(t *testing.T) {
			t.Parallel()
			first := int64(-1)
			retry(t, kfake.Fault{Err: tc.err, Count: -1, When: onBatches(func(batches []kmsg.RecordBatch) bool {
				if first < 0 {
					first = batches[0].ProducerID
				}
				return batches[0].ProducerID == first
			})})
		})
	}
}

// retry has records flow while fault answers some produce requests, for two partitions of three.
func retry(t *testing.T, fault kfake.Fault) {
	cluster := kafkatest.Fake(t)
	cfg, p := start(t, cluster.ListenAddrs(), 3)
	l := kafkatest.NewLedger(cfg.Topic, 10)
	l.Flow(t, p, 100*time.Millisecond)
	fault.Keys, fault.Topic, fault.Partitions = []kmsg.Key{kmsg.Produce}, cfg.Topic, []int32{0, 2}
	handle := cluster.Fault(fault)
	l.Flow(t, p, 300*time.Millisecond)
	l.Check(t, cluster.ListenAddrs())
	if handle.Hits() == 0 {
		t.Error("the fault was not hit")
	}
}

// onBatches makes a condition on the batches of a produce request one on the request.
func onBatches(when func([]kmsg.RecordBatch) bool) func(kmsg.Request) bool {
	if when == nil {
		return nil
	}
	return func(r kmsg.Request) bool {
		var batches []kmsg.RecordBatch
		for _, topic := range r.(*kmsg.ProduceRequest).Topics {
			for _, p := range topic.Partitions {
				var batch kmsg.RecordBatch
				if err := batch.ReadFrom(p.Records); err != nil {
					return false
				}
				batches = append(batches, batch)
			}
		}
		return when(batches)
	}
}

func ofManyRecords(batches []kmsg.RecordBatch) bool {
	return !slices.ContainsFunc(batches, func(b kmsg.RecordBatch) bool { return b.NumRecords < 2 })
}

func TestProducerOutages(t *testing.T) {
	t.Parallel()
	t.Run("a batch whose answer was lost is not there twice", func(t *testing.T) {
		t.Parallel()
		cluster, proxy := kafkatest.FakeBehindProxy(t)
		cfg := kafkatest.NewTopic(t, cluster.ListenAddrs(), 3)
		metrics := prometheus.NewRegistry()
		p := producer.New(cfg, kafkatest.Logger(t), metrics)
		kafkatest.Start(t, p.Run)
		requests := 0
		cluster.ControlKey(int16(kmsg.Produce), func(kmsg.Request) (kmsg.Response, error, bool) {
			cluster.KeepControl()
			if requests++; requests%3 == 0 {
				proxy.LoseResponse()
			}
			return nil, nil, false
		})
		l := kafkatest.NewLedger(cfg.Topic, 10)
		kafkatest.Eventually(t, kafkatest.Timeout, "batches are sent again", func() bool {
			l.Flow(t, p, 100*time.Millisecond)
			return kafkatest.Metric(t, metrics, "telltale_kafka_producer_retries_total") > 10
		})
		l.Check(t, cluster.ListenAddrs())
		if n := kafkatest.Metric(t, metrics, "telltale_kafka_producer_identities_lost_total"); n != 0 {
			t.Errorf("%v changes of identity, want none", n)
		}
	})

	t.Run("cut connections lose nothing, double nothing, and keep the order", func(t *testing.T) {
		t.Parallel()
		cluster, proxy := kafkatest.FakeBehindProxy(t)
		cfg, p := start(t, cluster.ListenAddrs(), 3)
		l := kafkatest.NewLedger(cfg.Topic, 10)
		for range 10 {
			l.Flow(t, p, 50*time.Millisecond)
			proxy.Cut()
			proxy.Reopen()
		}
		l.Check(t, cluster.ListenAddrs())
	})

	t.Run("a Kafka that hangs is noticed within 5 s, and nothing is lost when it goes on", func(t *testing.T) {
		t.Parallel()
		cluster, proxy := kafkatest.FakeBehindProxy(t)
		cfg, p := start(t, cluster.ListenAddrs(), 3)
		l := kafkatest.NewLedger(cfg.Topic, 10)
		l.Flow(t, p, 100*time.Millisecond)
		l.Wait()
		if err := p.Check(t.Context()); err != nil {
			t.Fatalf("Check: %v", err)
		}
		proxy.Hang()
		began := time.Now()
		l.Flow(t, p, 100*time.Millisecond)
		kafkatest.Eventually(t, 5*time.Second, "Check fails", func() bool { return p.Check(t.Context()) != nil })
		t.Logf("noticed after %v: %v", time.Since(began), p.Check(t.Context()))
		l.Flow(t, p, 8*time.Second-time.Since(began)) // beyond every timeout
		proxy.Resume()
		kafkatest.Eventually(t, kafkatest.Timeout, "Check is well again", func() bool { return p.Check(t.Context()) == nil })
		l.Check(t, cluster.ListenAddrs())
	})

	t.Run("a Kafka that hangs is noticed when there is nothing to send", func(t *testing.T) {
		t.Parallel()
		cluster, proxy := kafkatest.FakeBehindProxy(t)
		_, p := start(t, cluster.ListenAddrs(), 1)
		kafkatest.Eventually(t, kafkatest.Timeout, "Check is well", func() bool { return p.Check(t.Context()) == nil })
		proxy.Hang()
		kafkatest.Eventually(t, 5*time.Second, "Check fails", func() bool { return p.Check(t.Context()) != nil })
		proxy.Resume()
		kafkatest.Eventually(t, kafkatest.Timeout, "Check is well again", func() bool { return p.Check(t.Context()) == nil })
	})

	t.Run("a broker that hangs does not keep the others waiting", func(t *testing.T) {
		t.Parallel()
		cluster, hung := kafkatest.FakeBehindProxy(t, kfake.NumBrokers(3))
		cfg := kafkatest.NewTopic(t, cluster.ListenAddrs(), 3)
		for partition := range int32(3) {
			if err := cluster.MoveTopicPartition(cfg.Topic, partition, partition); err != nil {
				t.Fatal(err)
			}
		}
		p := producer.New(cfg, kafkatest.Logger(t), nil)
		kafkatest.Start(t, p.Run)
		l := kafkatest.NewLedger(cfg.Topic, 30)
		l.Flow(t, p, 200*time.Millisecond)
		l.Wait()
		hung.Hang()
		l.Flow(t, p, 7*time.Second) // the look-ups, too, meet the broker that hangs
		before, produced := l.Acknowledged(), l.Produced()
		l.Flow(t, p, time.Second)
		kafkatest.Eventually(t, 3*time.Second, "about two thirds get through", func() bool {
			return l.Acknowledged()-before > (l.Produced()-produced)/2
		})
		if err := p.Check(t.Context()); err == nil {
			t.Error("Check is well while a third of the records wait")
		}
		hung.Resume()
		l.Check(t, cluster.ListenAddrs())
	})

	t.Run("leaders that move are followed", func(t *testing.T) {
		t.Parallel()
		cluster := kafkatest.Fake(t, kfake.NumBrokers(3))
		cfg, p := start(t, cluster.ListenAddrs(), 6)
		l := kafkatest.NewLedger(cfg.Topic, 30)
		for range 10 {
			l.Flow(t, p, 50*time.Millisecond)
			cluster.ShufflePartitionLeaders()
		}
		l.Check(t, cluster.ListenAddrs())
	})

	t.Run("Kafka may start later", func(t *testing.T) {
		t.Parallel()
		address, open := kafkatest.Reserve(t)
		cfg := kafka.Config{Brokers: []string{address}, Topic: "later", ClientID: "test"}
		p := producer.New(cfg, kafkatest.Logger(t), nil)
		kafkatest.Start(t, p.Run)
		l := kafkatest.NewLedger(cfg.Topic, 10)
		l.Flow(t, p, 500*time.Millisecond)
		err := p.Check(t.Context())
		if err == nil || !strings.Contains(err.Error(), address) {
			t.Errorf("Check: %v, want the address in it", err)
		}
		cluster := kafkatest.Fake(t, kfake.ListenFn(open))
		kafkatest.WantMissing(t, p.Check, cfg.Topic)
		l.Check(t, cluster.ListenAddrs())
		kafkatest.Eventually(t, kafkatest.Timeout, "Check is well", func() bool { return p.Check(t.Context()) == nil })
	})

	t.Run("a topic that is deleted and made again, with fewer partitions, gets what waited", func(t *testing.T) {
		t.Parallel()
		cluster := kafkatest.Fake(t)
		cfg, p := start(t, cluster.ListenAddrs(), 6)
		first := kafkatest.NewLedger(cfg.Topic, 30)
		first.Flow(t, p, 100*time.Millisecond)
		first.Wait()
		cluster.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.CreateTopics}, Count: -1}) // the producer would make it with 6
		if err := cluster.DeleteTopic(cfg.Topic); err != nil {
			t.Fatal(err)
		}
		l := kafkatest.NewLedger(cfg.Topic, 30)
		l.Flow(t, p, 3500*time.Millisecond)
		if err := p.Check(t.Context()); err == nil {
			t.Error("Check is well while the topic is away")
		}
		if err := cluster.CreateTopic(cfg.Topic, 2, nil); err != nil {
			t.Fatal(err)
		}
		l.Wait()
		if got, want := len(kafkatest.ReadAll(t, cluster.ListenAddrs(), cfg.Topic)), l.Acknowledged(); got != want {
			t.Errorf("%d records, want %d", got, want)
		}
	})

	t.Run("partitions that are added are used", func(t *testing.T) {
		t.Parallel()
		brokers := kafkatest.Brokers(t)
		cfg, p := start(t, brokers, 2)
		kafkatest.AddPartitions(t, brokers, cfg.Topic, 6)
		kafkatest.Eventually(t, kafkatest.Timeout, "a record in a new partition", func() bool {
			if err := kafkatest.Send(t.Context(), p, kafka.Record{Topic: cfg.Topic, Value: []byte("x")}); err != nil {
				t.Fatal(err)
			}
			for _, r := range kafkatest.ReadAll(t, brokers, cfg.Topic) {
				if r.Partition >= 2 {
					return true
				}
			}
			return false
		})
	})

	t.Run("the end comes also when Kafka is away", func(t *testing.T) {
		t.Parallel()
		cluster, proxy := kafkatest.FakeBehindProxy(t)
		cfg := kafkatest.NewTopic(t, cluster.ListenAddrs(), 1)
		metrics := prometheus.NewRegistry()
		p := producer.New(cfg, kafkatest.Logger(t), metrics)
		stop := kafkatest.Start(t, p.Run)
		if err := kafkatest.Send(t.Context(), p, kafka.Record{Topic: cfg.Topic, Value: []byte("x")}); err != nil {
			t.Fatal(err)
		}
		proxy.Hang()
		sent := make(chan error)
		go func() {
			sent <- kafkatest.Send(context.Background(), p, kafka.Record{Topic: cfg.Topic, Value: []byte("y")})
		}()
		kafkatest.Eventually(t, kafkatest.Timeout, "the record is taken", func() bool {
			return kafkatest.Metric(t, metrics, "telltale_kafka_producer_unacknowledged_records") == 1
		})
		began := time.Now()
		go stop()
		if err := <-sent; !errors.Is(err, producer.ErrClosed) {
			t.Errorf("Send: %v, want ErrClosed", err)
		}
		stop()
		if d := time.Since(began); d > 6*time.Second {
			t.Errorf("the end took %v", d)
		}
	})
}
