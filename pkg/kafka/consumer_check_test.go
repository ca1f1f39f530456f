package kafka_test

import (
	"bytes"
	"context"
	"errors"
	"runtime"
	"slices"
	"strings"
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

// TestConsumerCheck has things fail that leave the member in its group.
func TestConsumerCheck(t *testing.T) {
	t.Parallel()
	says := func(t *testing.T, c *kafka.Consumer, text string, ofKafka bool) {
		t.Helper()
		kafkatest.Eventually(t, kafkatest.Timeout, "Check says "+text, func() bool {
			err := c.Check(t.Context())
			return err != nil && strings.Contains(err.Error(), text) && ofKafka != errors.As(err, new(interface{ Elsewhere() }))
		})
	}
	isWell := func(t *testing.T, c *kafka.Consumer) {
		t.Helper()
		kafkatest.Eventually(t, kafkatest.Timeout, "Check is nil", func() bool { return c.Check(t.Context()) == nil })
	}

	t.Run("a consumer that is not run says so", func(t *testing.T) {
		t.Parallel()
		cfg := kafka.GroupConfig{Config: kafka.Config{Brokers: []string{"127.0.0.1:1"}, Topic: "t"}, Group: "g"}
		says(t, kafka.NewConsumer(cfg, newJournal(t).handle, kafkatest.Logger(t), nil), "not started", false)
	})

	t.Run("a batch that fails again and again is named with its error, until it is handled", func(t *testing.T) {
		t.Parallel()
		cfg := groupConfig(kafkatest.NewTopic(t, kafkatest.Fake(t).ListenAddrs(), 1))
		produce(t, cfg.Config, 10)
		heal := make(chan struct{})
		c := kafka.NewConsumer(cfg, func(context.Context, []kafka.Record) error {
			select {
			case <-heal:
				return nil
			default:
				return errors.New("no dead letter can be sent")
			}
		}, kafkatest.Logger(t), nil)
		kafkatest.Start(t, c.Run)
		says(t, c, "no dead letter can be sent", false)
		close(heal)
		isWell(t, c)
	})

	t.Run("commits that fail again and again are named", func(t *testing.T) {
		t.Parallel()
		cluster := kafkatest.Fake(t)
		cfg := groupConfig(kafkatest.NewTopic(t, cluster.ListenAddrs(), 1))
		p := producer.New(cfg.Config, kafkatest.Discard(), nil)
		kafkatest.Start(t, p.Run)
		cluster.ControlKey(int16(kmsg.OffsetCommit), func(r kmsg.Request) (kmsg.Response, error, bool) {
			cluster.KeepControl()
			request := r.(*kmsg.OffsetCommitRequest)
			response := request.ResponseKind().(*kmsg.OffsetCommitResponse)
			for _, topic := range request.Topics {
				answer := kmsg.NewOffsetCommitResponseTopic()
				answer.Topic, answer.TopicID = topic.Topic, topic.TopicID
				for _, partition := range topic.Partitions {
					refused := kmsg.NewOffsetCommitResponseTopicPartition()
					refused.Partition, refused.ErrorCode = partition.Partition, kerr.TopicAuthorizationFailed.Code
					answer.Partitions = append(answer.Partitions, refused)
				}
				response.Topics = append(response.Topics, answer)
			}
			return response, nil, true
		})
		c := kafka.NewConsumer(cfg, newJournal(t).handle, kafkatest.Logger(t), nil)
		kafkatest.Start(t, c.Run)
		kafkatest.Start(t, func(ctx context.Context) error { // something to commit, all the time
			for ctx.Err() == nil {
				_ = kafkatest.Send(ctx, p, kafka.Record{Topic: cfg.Topic, Value: []byte("x")})
			}
			return nil
		})
		says(t, c, "not authorized", true)
	})

	t.Run("a partition whose end Kafka does not return keeps its lag, and is named", func(t *testing.T) {
		t.Parallel()
		cluster := kafkatest.Fake(t)
		cfg := groupConfig(kafkatest.NewTopic(t, cluster.ListenAddrs(), 1))
		produce(t, cfg.Config, 50)
		metrics := prometheus.NewRegistry()
		c := kafka.NewConsumer(cfg, func(context.Context, []kafka.Record) error { return errors.New("the store is away") }, kafkatest.Logger(t), metrics)
		kafkatest.Start(t, c.Run)
		lag := func() float64 { return kafkatest.Metric(t, metrics, "telltale_kafka_consumer_lag_records") }
		kafkatest.Eventually(t, kafkatest.Timeout, "50 records are behind", func() bool { return lag() == 50 })
		asked := make(chan struct{}, 100)
		cluster.ControlKey(int16(kmsg.ListOffsets), func(r kmsg.Request) (kmsg.Response, error, bool) {
			cluster.KeepControl()
			request := r.(*kmsg.ListOffsetsRequest)
			response := request.ResponseKind().(*kmsg.ListOffsetsResponse)
			answer := kmsg.NewListOffsetsResponseTopic()
			answer.Topic = request.Topics[0].Topic
			refused := kmsg.NewListOffsetsResponseTopicPartition()
			refused.ErrorCode, refused.Offset = kerr.NotLeaderForPartition.Code, -1
			answer.Partitions = append(answer.Partitions, refused)
			response.Topics = append(response.Topics, answer)
			asked <- struct{}{}
			return response, nil, true
		})
		for range 3 { // the first answer is taken in by then
			<-asked
		}
		if n := lag(); n != 50 {
			t.Errorf("lag is %v records, want 50", n)
		}
		says(t, c, "newest offset of partition 0", true)
	})
}

func TestConsumerOfLongRecords(t *testing.T) {
	const length, count = 900_000, 200
	cluster := kafkatest.Fake(t, kfake.DataDir(t.TempDir())) // which keeps them out of this process's memory
	cfg := groupConfig(kafkatest.NewTopic(t, cluster.ListenAddrs(), 1))
	cfg.MaxBatch = 1000
	p := producer.New(cfg.Config, kafkatest.Discard(), nil)
	stop := kafkatest.Start(t, p.Run)
	some := slices.Repeat([]kafka.Record{{Topic: cfg.Topic, Value: bytes.Repeat([]byte("x"), length)}}, 20)
	for range count / len(some) {
		if err := kafkatest.Send(t.Context(), p, some...); err != nil {
			t.Fatal(err)
		}
	}
	stop()
	before := heap()
	var longest int
	resolve := make(chan struct{})
	handled := make(chan int, count)
	c := kafka.NewConsumer(cfg, func(ctx context.Context, batch []kafka.Record) error {
		select {
		case <-resolve:
		case <-ctx.Done():
			return ctx.Err()
		}
		longest = max(longest, len(batch))
		handled <- len(batch)
		return nil
	}, kafkatest.Discard(), nil)
	kafkatest.Start(t, c.Run)
	// Wait until nothing more is fetched: twice the same, with a pause in which 30 MB would come.
	last := uint64(0)
	kafkatest.Eventually(t, kafkatest.Timeout, "the consumer is full", func() bool {
		time.Sleep(300 * time.Millisecond)
		now := heap()
		full := now > before+length && now < last+length
		last = now
		return full
	})
	if used := int64(last - before); used > 40<<20 {
		t.Errorf("%d MiB are in memory while the store is away, of %d MiB that wait", used>>20, length*count>>20)
	}
	close(resolve)
	for n := 0; n < count; {
		n += <-handled
	}
	if longest > 2 {
		t.Errorf("a batch of %d records of %d bytes", longest, length)
	}
}

func heap() uint64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

func TestAbortedTransaction(t *testing.T) {
	t.Parallel()
	cfg := groupConfig(kafkatest.NewTopic(t, kafkatest.Brokers(t), 1))
	config := kafkatest.SaramaConfig()
	config.Producer.Transaction.ID = cfg.Topic
	config.Producer.Idempotent = true
	config.Producer.RequiredAcks = sarama.WaitForAll
	config.Producer.Return.Successes = true
	config.Net.MaxOpenRequests = 1
	p, err := sarama.NewSyncProducer(cfg.Brokers, config)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = p.Close() }()
	for _, end := range []struct {
		value string
		call  func() error
	}{{"aborted", p.AbortTxn}, {"committed", p.CommitTxn}} {
		if err := p.BeginTxn(); err != nil {
			t.Fatal(err)
		}
		if _, _, err := p.SendMessage(&sarama.ProducerMessage{Topic: cfg.Topic, Value: sarama.StringEncoder(end.value)}); err != nil {
			t.Fatal(err)
		}
		if err := end.call(); err != nil {
			t.Fatal(err)
		}
	}
	j := newJournal(t)
	kafkatest.Start(t, kafka.NewConsumer(cfg, j.handle, kafkatest.Logger(t), nil).Run)
	j.waitFor(t, 1)
	if got := strings.Join(j.values, " "); got != "committed" {
		t.Errorf("handled %q, want what was committed", got)
	}
}
