package producer_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/telltale-iot/telltale/pkg/kafka"
	"github.com/telltale-iot/telltale/pkg/kafka/kafkatest"
	"github.com/telltale-iot/telltale/pkg/kafka/producer"
)

// start makes a topic of so many partitions, and a producer to it that runs until the test ends.
func start(t testing.TB, brokers []string, partitions int32) (kafka.Config, *producer.Producer) {
	t.Helper()
	cfg := kafkatest.NewTopic(t, brokers, partitions)
	p := producer.New(cfg, kafkatest.Logger(t), nil)
	kafkatest.Start(t, p.Run)
	return cfg, p
}

func TestProducer(t *testing.T) {
	t.Parallel()
	t.Run("every record arrives once, those of a key in order", func(t *testing.T) {
		t.Parallel()
		cfg, p := start(t, kafkatest.Brokers(t), 5)
		l := kafkatest.NewLedger(cfg.Topic, 100)
		for range 20_000 {
			l.Produce(t, p)
		}
		l.Check(t, cfg.Brokers)
	})

	t.Run("a record arrives as it was", func(t *testing.T) {
		t.Parallel()
		cfg, p := start(t, kafkatest.Brokers(t), 1)
		at := time.UnixMilli(1_700_000_000_123).UTC()
		want := []kafka.Record{
			{
				Topic: cfg.Topic, Offset: 0, Key: []byte("17"), Value: []byte("first"), Timestamp: at,
				Headers: []kafka.Header{{Key: "content-type", Value: []byte("text/plain")}, {Key: "detail", Value: []byte{0, 255}}},
			},
			{Topic: cfg.Topic, Offset: 1, Value: []byte("no key, and older"), Timestamp: at.Add(-time.Hour)},
			{Topic: cfg.Topic, Offset: 2, Key: []byte("17"), Value: bytes.Repeat([]byte("x"), 20_000), Timestamp: at.Add(time.Millisecond)},
		}
		if err := kafkatest.Send(t.Context(), p, want...); err != nil {
			t.Fatal(err)
		}
		got := kafkatest.ReadAll(t, cfg.Brokers, cfg.Topic)
		for i := range min(len(want), len(got)) {
			got[i].Timestamp = got[i].Timestamp.UTC()
			want[i].Timestamp = kafkatest.KeptTime(want[i].Timestamp, got[i].Timestamp)
		}
		if diff := cmp.Diff(want, got, cmpopts.EquateEmpty()); diff != "" {
			t.Errorf("sent (-), found (+):\n%s", diff)
		}
	})

	t.Run("a key lies where Kafka's Java client puts it", func(t *testing.T) {
		t.Parallel()
		cfg, p := start(t, kafkatest.Brokers(t), 12)
		// murmur2 of these, as in the tests of org.apache.kafka.common.utils.Utils.
		hashes := map[string]int32{
			"21": -973932308, "foobar": -790332482, "a-little-bit-long-string": -985981536,
			"a-little-bit-longer-string": -1486304829, "lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8": -58897971,
			"abc": 479470107,
		}
		for key := range hashes {
			if err := kafkatest.Send(t.Context(), p, kafka.Record{Topic: cfg.Topic, Key: []byte(key), Value: []byte(key)}); err != nil {
				t.Fatal(err)
			}
		}
		for _, r := range kafkatest.ReadAll(t, cfg.Brokers, cfg.Topic) {
			if want := (hashes[string(r.Key)] & 0x7fffffff) % 12; r.Partition != want {
				t.Errorf("key %q is in partition %d, want %d", r.Key, r.Partition, want)
			}
		}
	})

	t.Run("records without a key spread over the partitions", func(t *testing.T) {
		t.Parallel()
		cfg, p := start(t, kafkatest.Brokers(t), 4)
		for range 30 {
			if err := kafkatest.Send(t.Context(), p, kafka.Record{Topic: cfg.Topic, Value: []byte("x")}); err != nil {
				t.Fatal(err)
			}
		}
		used := map[int32]bool{}
		for _, r := range kafkatest.ReadAll(t, cfg.Brokers, cfg.Topic) {
			used[r.Partition] = true
		}
		if len(used) < 2 {
			t.Errorf("30 records lie in %d partition", len(used))
		}
	})

	t.Run("a record too large fails alone", func(t *testing.T) {
		t.Parallel()
		cfg, p := start(t, kafkatest.Brokers(t), 1)
		type outcome struct {
			Value string
			Err   error
		}
		var got []outcome
		var left sync.WaitGroup
		// Four are in order, one is more than the topic takes, one more than any broker takes.
		for i, length := range []int{1, 1, 3 << 20, 1, 101 << 20, 1} {
			value := make([]byte, length)
			value[0] = "abcdef"[i]
			left.Add(1)
			p.Produce(kafka.Record{Topic: cfg.Topic, Key: []byte("1"), Value: value}, func(err error) {
				got = append(got, outcome{string(value[:1]), err})
				left.Done()
			})
		}
		left.Wait()
		want := []outcome{{"a", nil}, {"b", nil}, {"c", producer.ErrTooLarge}, {"d", nil}, {"e", producer.ErrTooLarge}, {"f", nil}}
		if diff := cmp.Diff(want, got, cmpopts.EquateErrors()); diff != "" {
			t.Errorf("want (-), got (+):\n%s", diff)
		}
		var found string
		for _, r := range kafkatest.ReadAll(t, cfg.Brokers, cfg.Topic) {
			found += string(r.Value)
		}
		if found != "abdf" {
			t.Errorf("the topic holds %.20q, want %q", found, "abdf")
		}
	})

	t.Run("a record that its topic refuses takes none of its batch along", func(t *testing.T) {
		t.Parallel()
		cluster := kafkatest.Fake(t)
		cfg := kafka.Config{Brokers: cluster.ListenAddrs(), Topic: "narrow"}
		if err := cluster.CreateTopic(cfg.Topic, 1, map[string]string{"max.message.bytes": "2000"}); err != nil {
			t.Fatal(err)
		}
		p := producer.New(cfg, kafkatest.Logger(t), nil)
		var failed []int
		var left sync.WaitGroup
		for i := range 100 {
			value := fmt.Append(nil, i)
			if i%30 == 17 {
				value = make([]byte, 3000)
			}
			left.Add(1)
			p.Produce(kafka.Record{Topic: cfg.Topic, Key: []byte("1"), Value: value}, func(err error) {
				defer left.Done()
				if errors.Is(err, producer.ErrTooLarge) {
					failed = append(failed, i)
				} else if err != nil {
					t.Errorf("record %d: %v", i, err)
				}
			})
		}
		kafkatest.Start(t, p.Run) // now, so that they are all in one batch
		left.Wait()
		if diff := cmp.Diff([]int{17, 47, 77}, failed); diff != "" {
			t.Errorf("want (-) and got (+) refused:\n%s", diff)
		}
		next := 0
		for _, r := range kafkatest.ReadAll(t, cfg.Brokers, cfg.Topic) {
			if next%30 == 17 {
				next++
			}
			if string(r.Value) != strconv.Itoa(next) {
				t.Fatalf("found %q, want %d", r.Value, next)
			}
			next++
		}
		if next != 100 {
			t.Errorf("the last found is %d, want 99", next-1)
		}
	})

	t.Run("what was produced before the end is sent, what comes after is not", func(t *testing.T) {
		t.Parallel()
		brokers := kafkatest.Brokers(t)
		cfg := kafkatest.NewTopic(t, brokers, 3)
		p := producer.New(cfg, kafkatest.Logger(t), nil)
		stop := kafkatest.Start(t, p.Run)
		l := kafkatest.NewLedger(cfg.Topic, 10)
		for range 500 {
			l.Produce(t, p)
		}
		stop()
		l.Check(t, brokers)
		err := kafkatest.Send(t.Context(), p, kafka.Record{Topic: cfg.Topic, Value: []byte("late")})
		if !errors.Is(err, producer.ErrClosed) {
			t.Errorf("Send after the end: %v, want ErrClosed", err)
		}
		if err := p.Check(t.Context()); !errors.Is(err, producer.ErrClosed) {
			t.Errorf("Check after the end: %v, want ErrClosed", err)
		}
	})

	t.Run("done may produce", func(t *testing.T) {
		t.Parallel()
		cfg, p := start(t, kafkatest.Brokers(t), 1)
		finished := make(chan struct{})
		var again func(n int)
		again = func(n int) {
			p.Produce(kafka.Record{Topic: cfg.Topic, Value: []byte("x")}, func(error) {
				if n == 0 {
					close(finished)
					return
				}
				again(n - 1)
			})
		}
		again(3)
		<-finished
	})

	t.Run("Send waits for all, and no longer than its context", func(t *testing.T) {
		t.Parallel()
		p := producer.New(kafka.Config{Brokers: []string{"127.0.0.1:1"}, Topic: "t"}, kafkatest.Logger(t), nil)
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if err := kafkatest.Send(ctx, p, kafka.Record{Topic: "t"}); !errors.Is(err, context.Canceled) {
			t.Errorf("Send: %v, want context.Canceled", err)
		}
	})
}
