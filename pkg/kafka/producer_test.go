package kafka_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/telltale-iot/telltale/pkg/kafka"
)

// ledger produces numbered records under many keys, and knows which of them were acknowledged.
type ledger struct {
	topic string
	keys  int

	mu     sync.Mutex
	next   []int // by key: the number of the next record
	acked  []int // by key: how many were acknowledged, which must be the first so many
	failed []error
	left   sync.WaitGroup
}

func newLedger(topic string, keys int) *ledger {
	return &ledger{topic: topic, keys: keys, next: make([]int, keys), acked: make([]int, keys)}
}

// produce sends one record under a random key.
func (l *ledger) produce(t testing.TB, p *kafka.Producer) {
	l.mu.Lock()
	key := rand.IntN(l.keys)
	number := l.next[key]
	l.next[key]++
	l.mu.Unlock()
	l.left.Add(1)
	p.Produce(kafka.Record{
		Topic: l.topic,
		Key:   strconv.AppendInt(nil, int64(key), 10),
		Value: fmt.Appendf(nil, "%d:%d", key, number),
	}, func(err error) {
		defer l.left.Done()
		l.mu.Lock()
		defer l.mu.Unlock()
		switch {
		case err != nil:
			l.failed = append(l.failed, err)
		case number != l.acked[key]:
			t.Errorf("key %d: record %d was acknowledged when it was %d's turn", key, number, l.acked[key])
		default:
			l.acked[key]++
		}
	})
}

// produced is how many records were.
func (l *ledger) produced() (n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, k := range l.next {
		n += k
	}
	return n
}

// acknowledged is how many of them were acknowledged.
func (l *ledger) acknowledged() (n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, k := range l.acked {
		n += k
	}
	return n
}

// flow produces for a while, some thousand records per second.
func (l *ledger) flow(t testing.TB, p *kafka.Producer, during time.Duration) {
	for end := time.Now().Add(during); time.Now().Before(end); time.Sleep(time.Millisecond) {
		for range 5 {
			l.produce(t, p)
		}
	}
}

// check compares the topic with what was acknowledged: every record once, each key's in order.
func (l *ledger) check(t testing.TB, brokers []string) {
	t.Helper()
	l.left.Wait()
	for _, err := range l.failed {
		t.Errorf("a record failed: %v", err)
	}
	found := make([]int, l.keys)
	for _, r := range readAll(t, brokers, l.topic) {
		var key, number int
		if _, err := fmt.Sscanf(string(r.Value), "%d:%d", &key, &number); err != nil {
			t.Fatalf("record %q: %v", r.Value, err)
		}
		if number != found[key] {
			t.Fatalf("key %d: found record %d where %d should be (lower: a duplicate or disorder, higher: a loss)",
				key, number, found[key])
		}
		found[key]++
	}
	if diff := cmp.Diff(l.acked, found); diff != "" {
		t.Errorf("acknowledged (-) and found (+) per key:\n%s", diff)
	}
}

func TestProducer(t *testing.T) {
	t.Parallel()
	t.Run("every record arrives once, those of a key in order", func(t *testing.T) {
		t.Parallel()
		brokers := brokers(t)
		cfg := newTopic(t, brokers, 5)
		p := kafka.NewProducer(cfg, logger(t), nil)
		start(t, p.Run)
		l := newLedger(cfg.Topic, 100)
		for range 20_000 {
			l.produce(t, p)
		}
		l.check(t, brokers)
	})

	t.Run("a record arrives as it was", func(t *testing.T) {
		t.Parallel()
		brokers := brokers(t)
		cfg := newTopic(t, brokers, 1)
		p := kafka.NewProducer(cfg, logger(t), nil)
		start(t, p.Run)
		at := time.UnixMilli(1_700_000_000_123).UTC()
		want := []kafka.Record{
			{
				Topic: cfg.Topic, Offset: 0, Key: []byte("17"), Value: []byte("first"), Timestamp: at,
				Headers: []kafka.Header{{Key: "content-type", Value: []byte("text/plain")}, {Key: "detail", Value: []byte{0, 255}}},
			},
			{Topic: cfg.Topic, Offset: 1, Value: []byte("no key, and older"), Timestamp: at.Add(-time.Hour)},
			{Topic: cfg.Topic, Offset: 2, Key: []byte("17"), Value: bytes.Repeat([]byte("x"), 20_000), Timestamp: at.Add(time.Millisecond)},
		}
		if err := p.Send(t.Context(), want...); err != nil {
			t.Fatal(err)
		}
		got := readAll(t, brokers, cfg.Topic)
		for i := range min(len(want), len(got)) {
			got[i].Timestamp = got[i].Timestamp.UTC()
			want[i].Timestamp = kept(want[i].Timestamp, got[i].Timestamp)
		}
		if diff := cmp.Diff(want, got, cmpopts.EquateEmpty()); diff != "" {
			t.Errorf("sent (-), found (+):\n%s", diff)
		}
	})

	t.Run("a key lies where Kafka's Java client puts it", func(t *testing.T) {
		t.Parallel()
		brokers := brokers(t)
		cfg := newTopic(t, brokers, 12)
		p := kafka.NewProducer(cfg, logger(t), nil)
		start(t, p.Run)
		// murmur2 of these, as in the tests of org.apache.kafka.common.utils.Utils.
		hashes := map[string]int32{
			"21": -973932308, "foobar": -790332482, "a-little-bit-long-string": -985981536,
			"a-little-bit-longer-string": -1486304829, "lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8": -58897971,
			"abc": 479470107,
		}
		for key := range hashes {
			if err := p.Send(t.Context(), kafka.Record{Topic: cfg.Topic, Key: []byte(key), Value: []byte(key)}); err != nil {
				t.Fatal(err)
			}
		}
		for _, r := range readAll(t, brokers, cfg.Topic) {
			if want := (hashes[string(r.Key)] & 0x7fffffff) % 12; r.Partition != want {
				t.Errorf("key %q is in partition %d, want %d", r.Key, r.Partition, want)
			}
		}
	})

	t.Run("records without a key spread over the partitions", func(t *testing.T) {
		t.Parallel()
		brokers := brokers(t)
		cfg := newTopic(t, brokers, 4)
		p := kafka.NewProducer(cfg, logger(t), nil)
		start(t, p.Run)
		for range 30 {
			if err := p.Send(t.Context(), kafka.Record{Topic: cfg.Topic, Value: []byte("x")}); err != nil {
				t.Fatal(err)
			}
		}
		used := map[int32]bool{}
		for _, r := range readAll(t, brokers, cfg.Topic) {
			used[r.Partition] = true
		}
		if len(used) < 2 {
			t.Errorf("30 records lie in %d partition", len(used))
		}
	})

	t.Run("a record too large fails alone", func(t *testing.T) {
		t.Parallel()
		brokers := brokers(t)
		cfg := newTopic(t, brokers, 1)
		p := kafka.NewProducer(cfg, logger(t), nil)
		start(t, p.Run)
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
		want := []outcome{{"a", nil}, {"b", nil}, {"c", kafka.ErrTooLarge}, {"d", nil}, {"e", kafka.ErrTooLarge}, {"f", nil}}
		if diff := cmp.Diff(want, got, cmpopts.EquateErrors()); diff != "" {
			t.Errorf("want (-), got (+):\n%s", diff)
		}
		var found string
		for _, r := range readAll(t, brokers, cfg.Topic) {
			found += string(r.Value)
		}
		if found != "abdf" {
			t.Errorf("the topic holds %.20q, want %q", found, "abdf")
		}
	})

	t.Run("a record that its topic refuses takes none of its batch along", func(t *testing.T) {
		t.Parallel()
		cluster := fake(t)
		cfg := kafka.Config{Brokers: cluster.ListenAddrs(), Topic: "narrow"}
		if err := cluster.CreateTopic(cfg.Topic, 1, map[string]string{"max.message.bytes": "2000"}); err != nil {
			t.Fatal(err)
		}
		p := kafka.NewProducer(cfg, logger(t), nil)
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
				if errors.Is(err, kafka.ErrTooLarge) {
					failed = append(failed, i)
				} else if err != nil {
					t.Errorf("record %d: %v", i, err)
				}
			})
		}
		start(t, p.Run) // now, so that they are all in one batch
		left.Wait()
		if diff := cmp.Diff([]int{17, 47, 77}, failed); diff != "" {
			t.Errorf("want (-) and got (+) refused:\n%s", diff)
		}
		next := 0
		for _, r := range readAll(t, cfg.Brokers, cfg.Topic) {
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
		brokers := brokers(t)
		cfg := newTopic(t, brokers, 3)
		p := kafka.NewProducer(cfg, logger(t), nil)
		stop := start(t, p.Run)
		l := newLedger(cfg.Topic, 10)
		for range 500 {
			l.produce(t, p)
		}
		stop()
		l.check(t, brokers)
		err := p.Send(t.Context(), kafka.Record{Topic: cfg.Topic, Value: []byte("late")})
		if !errors.Is(err, kafka.ErrClosed) {
			t.Errorf("Send after the end: %v, want ErrClosed", err)
		}
		if err := p.Check(t.Context()); !errors.Is(err, kafka.ErrClosed) {
			t.Errorf("Check after the end: %v, want ErrClosed", err)
		}
	})

	t.Run("done may produce", func(t *testing.T) {
		t.Parallel()
		brokers := brokers(t)
		cfg := newTopic(t, brokers, 1)
		p := kafka.NewProducer(cfg, logger(t), nil)
		start(t, p.Run)
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
		p := kafka.NewProducer(kafka.Config{Brokers: []string{"127.0.0.1:1"}, Topic: "t"}, logger(t), nil)
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if err := p.Send(ctx, kafka.Record{Topic: "t"}); !errors.Is(err, context.Canceled) {
			t.Errorf("Send: %v, want context.Canceled", err)
		}
	})
}
