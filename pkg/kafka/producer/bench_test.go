//go:build unix

package producer_test

import (
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/IBM/sarama"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/telltale-iot/telltale/pkg/kafka"
	"github.com/telltale-iot/telltale/pkg/kafka/kafkatest"
	"github.com/telltale-iot/telltale/pkg/kafka/producer"
)

// The benchmarks report the CPU time of this process per million records, which holds on a busy machine:
//
//	TEST_KAFKA_BROKERS=127.0.0.1:9092 go test ./kafka/... -run - -bench . -benchtime 1000000x

// inFlight is how many records a benchmark has on their way at most.
const inFlight = 20_000

var (
	benchKey   = []byte("12345")
	benchValue = []byte(strings.Repeat("0123456789", 8))
)

// BenchmarkProducer compares the producer with the ones that sarama and franz-go bring along, all of them
// idempotent, with acks=all and a linger of 5 ms.
func BenchmarkProducer(b *testing.B) {
	brokers := kafkatest.Brokers(b)
	cfg := kafkatest.NewTopic(b, brokers, 12)
	key := func(i int) []byte { return strconv.AppendInt(nil, int64(i%1000), 10) }

	b.Run("ours", func(b *testing.B) {
		p := producer.New(cfg, kafkatest.Discard(), nil)
		defer kafkatest.Start(b, p.Run)()
		if err := kafkatest.Send(b.Context(), p, kafka.Record{Topic: cfg.Topic, Key: benchKey, Value: benchValue}); err != nil {
			b.Fatal(err)
		}
		slots := make(chan struct{}, inFlight)
		done := func(err error) {
			if err != nil {
				b.Error(err)
			}
			<-slots
		}
		stop := kafkatest.Measure(b)
		for i := range b.N {
			slots <- struct{}{}
			p.Produce(kafka.Record{Topic: cfg.Topic, Key: key(i), Value: benchValue}, done)
		}
		for range cap(slots) {
			slots <- struct{}{}
		}
		stop()
	})

	b.Run("sarama", func(b *testing.B) {
		config := kafkatest.SaramaConfig()
		config.Producer.Idempotent = true
		config.Producer.RequiredAcks = sarama.WaitForAll
		config.Net.MaxOpenRequests = 1 // what idempotence asks for there
		config.Producer.Return.Successes = true
		config.Producer.Flush.Frequency = 5 * time.Millisecond
		p, err := sarama.NewAsyncProducer(brokers, config)
		if err != nil {
			b.Fatal(err)
		}
		slots := make(chan struct{}, inFlight)
		go func() {
			for range p.Successes() {
				<-slots
			}
		}()
		go func() {
			for err := range p.Errors() {
				b.Error(err)
				<-slots
			}
		}()
		stop := kafkatest.Measure(b)
		for i := range b.N {
			slots <- struct{}{}
			p.Input() <- &sarama.ProducerMessage{Topic: cfg.Topic, Key: sarama.ByteEncoder(key(i)), Value: sarama.ByteEncoder(benchValue)}
		}
		for range cap(slots) {
			slots <- struct{}{}
		}
		stop()
		if err := p.Close(); err != nil {
			b.Error(err)
		}
	})

	b.Run("franz-go", func(b *testing.B) {
		client, err := kgo.NewClient(kgo.SeedBrokers(brokers...), kgo.ProducerLinger(5*time.Millisecond),
			kgo.MaxBufferedRecords(inFlight), kgo.ProducerBatchCompression(kgo.NoCompression()))
		if err != nil {
			b.Fatal(err)
		}
		defer client.Close()
		slots := make(chan struct{}, inFlight)
		done := func(_ *kgo.Record, err error) {
			if err != nil {
				b.Error(err)
			}
			<-slots
		}
		stop := kafkatest.Measure(b)
		for i := range b.N {
			slots <- struct{}{}
			client.Produce(b.Context(), &kgo.Record{Topic: cfg.Topic, Key: key(i), Value: benchValue}, done)
		}
		for range cap(slots) {
			slots <- struct{}{}
		}
		stop()
	})
}
