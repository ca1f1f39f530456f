package kafka_test

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/IBM/sarama"

	"github.com/telltale-iot/telltale/pkg/kafka"
	telltalev1 "github.com/telltale-iot/telltale/proto/telltale/v1"
	"google.golang.org/protobuf/proto"
)

func cpuTime() time.Duration {
	var u syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &u)
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

func BenchmarkProducer(b *testing.B) {
	brokers := strings.Split(os.Getenv("TEST_KAFKA_BROKERS"), ",")
	cfg := kafka.Config{Brokers: brokers, Topic: fmt.Sprintf("bench-%d", time.Now().UnixNano()), Partitions: 12, ClientID: "bench"}
	sc := sarama.NewConfig()
	sc.Version = sarama.V4_1_0_0
	admin, err := sarama.NewClusterAdmin(brokers, sc)
	if err != nil {
		b.Fatal(err)
	}
	defer admin.Close()
	if err := admin.CreateTopic(cfg.Topic, &sarama.TopicDetail{NumPartitions: 12, ReplicationFactor: -1}, false); err != nil {
		b.Fatal(err)
	}
	defer admin.DeleteTopic(cfg.Topic)
	var values [1024][]byte
	for i := range values {
		values[i], _ = proto.Marshal(&telltalev1.Reading{DeviceId: int64(i), TimestampMs: 1e12 + rand.Int64N(1e9), ReceivedAtMs: 1e12 + rand.Int64N(1e9), TimestampSource: 1,
			Metrics: []*telltalev1.Metric{{Name: "humidity", Value: float64(rand.IntN(1000)) / 10}, {Name: "temperature", Value: float64(rand.IntN(1000)) / 10}}})
	}
	fmt.Println(len(values[7]))
	b.Run("ours", func(b *testing.B) {
		ctx, cancel := context.WithCancel(context.Background())
		p := kafka.NewProducer(cfg, slog.Default(), nil)
		var wg sync.WaitGroup
		wg.Go(func() { p.Run(ctx) })
		p.Send(ctx, kafka.Record{Topic: cfg.Topic, Key: []byte("1"), Value: values[0]})
		slots := make(chan struct{}, 20000)
		t0, c0 := time.Now(), cpuTime()
		b.ReportAllocs()
		b.ResetTimer()
		for i := range b.N {
			slots <- struct{}{}
			p.Produce(kafka.Record{Topic: cfg.Topic, Key: strconv.AppendInt(nil, int64(i%1000), 10), Value: values[i%1024], Headers: []kafka.Header{{Key: "content-type", Value: []byte("application/x-protobuf")}}}, func(err error) {
				if err != nil {
					panic(err)
				}
				<-slots
			})
		}
		for range cap(slots) {
			slots <- struct{}{}
		}
		b.StopTimer()
		b.ReportMetric((cpuTime()-c0).Seconds()/float64(b.N)*1e6, "CPU-s/M")
		b.ReportMetric(float64(b.N)/time.Since(t0).Seconds(), "records/s")
		cancel()
		wg.Wait()
	})
	b.Run("sarama", func(b *testing.B) {
		sc := sarama.NewConfig()
		sc.Version = sarama.V4_1_0_0
		sc.Producer.Idempotent = true
		sc.Net.MaxOpenRequests = 1
		sc.Producer.RequiredAcks = sarama.WaitForAll
		sc.Producer.Return.Successes = true
		sc.Producer.Flush.Frequency = 5 * time.Millisecond
		p, err := sarama.NewAsyncProducer(brokers, sc)
		if err != nil {
			b.Fatal(err)
		}
		slots := make(chan struct{}, 20000)
		go func() {
			for range p.Successes() {
				<-slots
			}
		}()
		go func() {
			for err := range p.Errors() {
				panic(err)
			}
		}()
		t0, c0 := time.Now(), cpuTime()
		b.ReportAllocs()
		b.ResetTimer()
		for i := range b.N {
			slots <- struct{}{}
			p.Input() <- &sarama.ProducerMessage{Topic: cfg.Topic, Key: sarama.ByteEncoder(strconv.AppendInt(nil, int64(i%1000), 10)), Value: sarama.ByteEncoder(values[i%1024]),
				Headers: []sarama.RecordHeader{{Key: []byte("content-type"), Value: []byte("application/x-protobuf")}}}
		}
		for range cap(slots) {
			slots <- struct{}{}
		}
		b.StopTimer()
		b.ReportMetric((cpuTime()-c0).Seconds()/float64(b.N)*1e6, "CPU-s/M")
		b.ReportMetric(float64(b.N)/time.Since(t0).Seconds(), "records/s")
		p.Close()
	})
}
