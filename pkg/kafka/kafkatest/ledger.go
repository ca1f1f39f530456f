package kafkatest

import (
	"fmt"
	"math/rand/v2"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/telltale-iot/telltale/pkg/kafka"
	"github.com/telltale-iot/telltale/pkg/kafka/producer"
)

// Ledger produces numbered records under many keys, and knows which of them were acknowledged.
type Ledger struct {
	topic string
	keys  int

	mu     sync.Mutex
	next   []int // by key: the number of the next record
	acked  []int // by key: how many were acknowledged, which must be the first so many
	failed []error
	left   sync.WaitGroup
}

func NewLedger(topic string, keys int) *Ledger {
	return &Ledger{topic: topic, keys: keys, next: make([]int, keys), acked: make([]int, keys)}
}

// Produce sends one record under a random key.
func (l *Ledger) Produce(t testing.TB, p *producer.Producer) {
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

// Produced is how many records were.
func (l *Ledger) Produced() (n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, k := range l.next {
		n += k
	}
	return n
}

// Acknowledged is how many of them were acknowledged.
func (l *Ledger) Acknowledged() (n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, k := range l.acked {
		n += k
	}
	return n
}

// Flow produces for a while, some thousand records per second.
func (l *Ledger) Flow(t testing.TB, p *producer.Producer, during time.Duration) {
	for end := time.Now().Add(during); time.Now().Before(end); time.Sleep(time.Millisecond) {
		for range 5 {
			l.Produce(t, p)
		}
	}
}

// Check compares the topic with what was acknowledged: every record once, each key's in order.
func (l *Ledger) Check(t testing.TB, brokers []string) {
	t.Helper()
	l.left.Wait()
	for _, err := range l.failed {
		t.Errorf("a record failed: %v", err)
	}
	found := make([]int, l.keys)
	for _, r := range ReadAll(t, brokers, l.topic) {
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

// Wait returns when every record is acknowledged or has failed.
func (l *Ledger) Wait() { l.left.Wait() }
