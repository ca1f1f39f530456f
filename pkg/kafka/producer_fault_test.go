package kafka_test

import (
	"context"
	"errors"
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/telltale-iot/telltale/pkg/kafka"
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
	cluster := fake(t)
	cfg := newTopic(t, cluster.ListenAddrs(), 3)
	p := kafka.NewProducer(cfg, logger(t), nil)
	start(t, p.Run)
	l := newLedger(cfg.Topic, 10)
	l.flow(t, p, 100*time.Millisecond)
	fault.Keys, fault.Topic, fault.Partitions = []kmsg.Key{kmsg.Produce}, cfg.Topic, []int32{0, 2}
	handle := cluster.Fault(fault)
	l.flow(t, p, 300*time.Millisecond)
	l.check(t, cluster.ListenAddrs())
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
		var way proxy
		cluster := fake(t, behind(t, &way))
		cfg := newTopic(t, cluster.ListenAddrs(), 3)
		metrics := prometheus.NewRegistry()
		p := kafka.NewProducer(cfg, logger(t), metrics)
		start(t, p.Run)
		requests := 0
		cluster.ControlKey(int16(kmsg.Produce), func(kmsg.Request) (kmsg.Response, error, bool) {
			cluster.KeepControl()
			if requests++; requests%3 == 0 {
				way.loseAnswer()
			}
			return nil, nil, false
		})
		l := newLedger(cfg.Topic, 10)
		eventually(t, patience, "batches are sent again", func() bool {
			l.flow(t, p, 100*time.Millisecond)
			return metric(t, metrics, "telltale_kafka_producer_retries_total") > 10
		})
		l.check(t, cluster.ListenAddrs())
		if n := metric(t, metrics, "telltale_kafka_producer_identities_lost_total"); n != 0 {
			t.Errorf("%v changes of identity, want none", n)
		}
	})

	t.Run("cut connections lose nothing, double nothing, and keep the order", func(t *testing.T) {
		t.Parallel()
		var way proxy
		cluster := fake(t, behind(t, &way))
		cfg := newTopic(t, cluster.ListenAddrs(), 3)
		p := kafka.NewProducer(cfg, logger(t), nil)
		start(t, p.Run)
		l := newLedger(cfg.Topic, 10)
		for range 10 {
			l.flow(t, p, 50*time.Millisecond)
			way.cut()
		}
		l.check(t, cluster.ListenAddrs())
	})

	t.Run("a Kafka that hangs is noticed within 5 s, and nothing is lost when it goes on", func(t *testing.T) {
		t.Parallel()
		var way proxy
		cluster := fake(t, behind(t, &way))
		cfg := newTopic(t, cluster.ListenAddrs(), 3)
		p := kafka.NewProducer(cfg, logger(t), nil)
		start(t, p.Run)
		l := newLedger(cfg.Topic, 10)
		l.flow(t, p, 100*time.Millisecond)
		l.left.Wait()
		if err := p.Check(t.Context()); err != nil {
			t.Fatalf("Check: %v", err)
		}
		way.pause()
		began := time.Now()
		l.flow(t, p, 100*time.Millisecond)
		eventually(t, 5*time.Second, "Check fails", func() bool { return p.Check(t.Context()) != nil })
		t.Logf("noticed after %v: %v", time.Since(began), p.Check(t.Context()))
		l.flow(t, p, 8*time.Second-time.Since(began)) // beyond every timeout
		way.resume()
		eventually(t, patience, "Check is well again", func() bool { return p.Check(t.Context()) == nil })
		l.check(t, cluster.ListenAddrs())
	})

	t.Run("a Kafka that hangs is noticed when there is nothing to send", func(t *testing.T) {
		t.Parallel()
		var way proxy
		cluster := fake(t, behind(t, &way))
		p := kafka.NewProducer(newTopic(t, cluster.ListenAddrs(), 1), logger(t), nil)
		start(t, p.Run)
		eventually(t, patience, "Check is well", func() bool { return p.Check(t.Context()) == nil })
		way.pause()
		eventually(t, 5*time.Second, "Check fails", func() bool { return p.Check(t.Context()) != nil })
		way.resume()
		eventually(t, patience, "Check is well again", func() bool { return p.Check(t.Context()) == nil })
	})

	t.Run("a broker that hangs does not keep the others waiting", func(t *testing.T) {
		t.Parallel()
		hung := &proxy{}
		n := 0
		cluster := fake(t, kfake.NumBrokers(3), kfake.ListenFn(func(network, address string) (net.Listener, error) {
			if n++; n == 2 {
				return hung.listen(t, network, address)
			}
			return net.Listen(network, address)
		}))
		cfg := newTopic(t, cluster.ListenAddrs(), 3)
		for partition := range int32(3) {
			if err := cluster.MoveTopicPartition(cfg.Topic, partition, partition); err != nil {
				t.Fatal(err)
			}
		}
		p := kafka.NewProducer(cfg, logger(t), nil)
		start(t, p.Run)
		l := newLedger(cfg.Topic, 30)
		l.flow(t, p, 200*time.Millisecond)
		l.left.Wait()
		hung.pause()
		l.flow(t, p, 7*time.Second) // the look-ups, too, meet the broker that hangs
		before, produced := l.acknowledged(), l.produced()
		l.flow(t, p, time.Second)
		eventually(t, 3*time.Second, "about two thirds get through", func() bool {
			return l.acknowledged()-before > (l.produced()-produced)/2
		})
		if err := p.Check(t.Context()); err == nil {
			t.Error("Check is well while a third of the records wait")
		}
		hung.resume()
		l.check(t, cluster.ListenAddrs())
	})

	t.Run("leaders that move are followed", func(t *testing.T) {
		t.Parallel()
		cluster := fake(t, kfake.NumBrokers(3))
		cfg := newTopic(t, cluster.ListenAddrs(), 6)
		p := kafka.NewProducer(cfg, logger(t), nil)
		start(t, p.Run)
		l := newLedger(cfg.Topic, 30)
		for range 10 {
			l.flow(t, p, 50*time.Millisecond)
			cluster.ShufflePartitionLeaders()
		}
		l.check(t, cluster.ListenAddrs())
	})

	t.Run("Kafka may start later", func(t *testing.T) {
		t.Parallel()
		address, open := reserve(t)
		cfg := kafka.Config{Brokers: []string{address}, Topic: "later", ClientID: "test"}
		p := kafka.NewProducer(cfg, logger(t), nil)
		start(t, p.Run)
		l := newLedger(cfg.Topic, 10)
		l.flow(t, p, 500*time.Millisecond)
		err := p.Check(t.Context())
		if err == nil || !strings.Contains(err.Error(), address) {
			t.Errorf("Check: %v, want the address in it", err)
		}
		cluster := fake(t, kfake.ListenFn(open))
		wantMissing(t, p.Check, cfg.Topic)
		l.check(t, cluster.ListenAddrs())
		eventually(t, patience, "Check is well", func() bool { return p.Check(t.Context()) == nil })
	})

	t.Run("a topic that is deleted and made again, with fewer partitions, gets what waited", func(t *testing.T) {
		t.Parallel()
		cluster := fake(t)
		cfg := newTopic(t, cluster.ListenAddrs(), 6)
		p := kafka.NewProducer(cfg, logger(t), nil)
		start(t, p.Run)
		first := newLedger(cfg.Topic, 30)
		first.flow(t, p, 100*time.Millisecond)
		first.left.Wait()
		cluster.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.CreateTopics}, Count: -1}) // the producer would make it with 6
		if err := cluster.DeleteTopic(cfg.Topic); err != nil {
			t.Fatal(err)
		}
		l := newLedger(cfg.Topic, 30)
		l.flow(t, p, 3500*time.Millisecond)
		if err := p.Check(t.Context()); err == nil {
			t.Error("Check is well while the topic is away")
		}
		if err := cluster.CreateTopic(cfg.Topic, 2, nil); err != nil {
			t.Fatal(err)
		}
		l.left.Wait()
		if got, want := len(readAll(t, cluster.ListenAddrs(), cfg.Topic)), l.acknowledged(); got != want {
			t.Errorf("%d records, want %d", got, want)
		}
	})

	t.Run("partitions that are added are used", func(t *testing.T) {
		t.Parallel()
		brokers := brokers(t)
		cfg := newTopic(t, brokers, 2)
		p := kafka.NewProducer(cfg, logger(t), nil)
		start(t, p.Run)
		addPartitions(t, brokers, cfg.Topic, 6)
		eventually(t, patience, "a record in a new partition", func() bool {
			if err := p.Send(t.Context(), kafka.Record{Topic: cfg.Topic, Value: []byte("x")}); err != nil {
				t.Fatal(err)
			}
			for _, r := range readAll(t, brokers, cfg.Topic) {
				if r.Partition >= 2 {
					return true
				}
			}
			return false
		})
	})

	t.Run("the end comes also when Kafka is away", func(t *testing.T) {
		t.Parallel()
		var way proxy
		cluster := fake(t, behind(t, &way))
		cfg := newTopic(t, cluster.ListenAddrs(), 1)
		metrics := prometheus.NewRegistry()
		p := kafka.NewProducer(cfg, logger(t), metrics)
		stop := start(t, p.Run)
		if err := p.Send(t.Context(), kafka.Record{Topic: cfg.Topic, Value: []byte("x")}); err != nil {
			t.Fatal(err)
		}
		way.pause()
		sent := make(chan error)
		go func() {
			sent <- p.Send(context.Background(), kafka.Record{Topic: cfg.Topic, Value: []byte("y")})
		}()
		eventually(t, patience, "the record is taken", func() bool {
			return metric(t, metrics, "telltale_kafka_producer_unacknowledged_records") == 1
		})
		began := time.Now()
		go stop()
		if err := <-sent; !errors.Is(err, kafka.ErrClosed) {
			t.Errorf("Send: %v, want ErrClosed", err)
		}
		stop()
		if d := time.Since(began); d > 6*time.Second {
			t.Errorf("the end took %v", d)
		}
	})
}

// reserve returns an address at which nothing listens, and a function that listens there.
func reserve(t testing.TB) (address string, open func(network, _ string) (net.Listener, error)) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address = l.Addr().String()
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	return address, func(network, _ string) (net.Listener, error) { return net.Listen(network, address) }
}
