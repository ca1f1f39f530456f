package kafka_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/IBM/sarama"
	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/telltale-iot/telltale/pkg/kafka"
	"github.com/telltale-iot/telltale/pkg/kafka/kafkatest"
	"github.com/telltale-iot/telltale/pkg/kafka/producer"
)

// journal is what the handlers of a group, in any number of members, have resolved.
type journal struct {
	t testing.TB

	mu      sync.Mutex
	handled map[int32]map[int64]int // how often, by partition and offset
	batches []int                   // their lengths
	values  []string
}

func newJournal(t testing.TB) *journal { return &journal{t: t, handled: map[int32]map[int64]int{}} }

// handle is a kafka.Handler that resolves everything at once.
func (j *journal) handle(_ context.Context, batch []kafka.Record) error {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.batches = append(j.batches, len(batch))
	for i, r := range batch {
		if r.Partition != batch[0].Partition {
			j.t.Errorf("a batch of partitions %d and %d", batch[0].Partition, r.Partition)
		}
		if i > 0 && r.Offset <= batch[i-1].Offset {
			j.t.Errorf("partition %d: offset %d after %d", r.Partition, r.Offset, batch[i-1].Offset)
		}
		if j.handled[r.Partition] == nil {
			j.handled[r.Partition] = map[int64]int{}
		}
		j.handled[r.Partition][r.Offset]++
		j.values = append(j.values, string(r.Value))
	}
	return nil
}

// distinct is how many records were handled, and again how many of them more than once.
func (j *journal) distinct() (records, again int) {
	j.mu.Lock()
	defer j.mu.Unlock()
	for _, offsets := range j.handled {
		for _, times := range offsets {
			if records++; times > 1 {
				again++
			}
		}
	}
	return records, again
}

func (j *journal) waitFor(t testing.TB, records int) {
	t.Helper()
	kafkatest.Eventually(t, kafkatest.Timeout, fmt.Sprintf("%d records are handled", records), func() bool {
		n, _ := j.distinct()
		return n >= records
	})
}

func groupConfig(cfg kafka.Config) kafka.GroupConfig {
	return kafka.GroupConfig{Config: cfg, Group: cfg.Topic + "-group", MaxBatch: 100, MaxWait: 20 * time.Millisecond}
}

// produce sends n numbered records, each under a key of its own.
func produce(t testing.TB, cfg kafka.Config, n int) {
	t.Helper()
	p := producer.New(cfg, kafkatest.Discard(), nil)
	stop := kafkatest.Start(t, p.Run)
	defer stop()
	var records []kafka.Record
	for i := range n {
		records = append(records, kafka.Record{
			Topic: cfg.Topic, Key: fmt.Append(nil, i), Value: fmt.Append(nil, i), Timestamp: time.UnixMilli(1_700_000_000_000).UTC(),
			Headers: []kafka.Header{{Key: "content-type", Value: []byte("a/b")}, {Key: "i", Value: fmt.Append(nil, i)}},
		})
	}
	if err := kafkatest.Send(t.Context(), p, records...); err != nil {
		t.Fatal(err)
	}
}

// committed returns the group's offset of each partition, -1 where there is none.
func committed(t testing.TB, cfg kafka.GroupConfig) map[int32]int64 {
	t.Helper()
	admin, err := sarama.NewClusterAdmin(cfg.Brokers, kafkatest.SaramaConfig())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = admin.Close() }()
	var response *sarama.OffsetFetchResponse
	kafkatest.Eventually(t, kafkatest.Timeout, "the coordinator has loaded the group's offsets", func() bool {
		response, err = admin.ListConsumerGroupOffsets(cfg.Group, nil)
		return !errors.Is(err, sarama.ErrOffsetsLoadInProgress) && !errors.Is(err, sarama.ErrNotCoordinatorForConsumer)
	})
	if errors.Is(err, sarama.ErrGroupIDNotFound) {
		return nil
	}
	if err != nil {
		t.Fatal(err)
	}
	offsets := map[int32]int64{}
	for id, block := range response.Blocks[cfg.Topic] {
		offsets[id] = block.Offset
	}
	return offsets
}

// commit sets the group's offset of a partition, as an operator may.
func commit(t testing.TB, cfg kafka.GroupConfig, partition int32, offset int64) {
	t.Helper()
	commitMarked(t, cfg, partition, offset, "")
}

func commitMarked(t testing.TB, cfg kafka.GroupConfig, partition int32, offset int64, metadata string) {
	t.Helper()
	client, err := sarama.NewClient(cfg.Brokers, kafkatest.SaramaConfig())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = client.Close() }()
	offsets, err := sarama.NewOffsetManagerFromClient(cfg.Group, client)
	if err != nil {
		t.Fatal(err)
	}
	manager, err := offsets.ManagePartition(cfg.Topic, partition)
	if err != nil {
		t.Fatal(err)
	}
	manager.ResetOffset(offset, metadata) // back, or
	manager.MarkOffset(offset, metadata)  // on
	manager.AsyncClose()
	if err := offsets.Close(); err != nil {
		t.Fatal(err)
	}
}

func sum(offsets map[int32]int64) (n int64) {
	for _, offset := range offsets {
		n += max(offset, 0)
	}
	return n
}

func TestConsumer(t *testing.T) {
	t.Parallel()
	t.Run("every record is handled as it was produced, in batches of one partition", func(t *testing.T) {
		t.Parallel()
		cfg := groupConfig(kafkatest.NewTopic(t, kafkatest.Brokers(t), 3))
		produce(t, cfg.Config, 1000)
		var mu sync.Mutex
		got := map[string]kafka.Record{}
		j := newJournal(t)
		c := kafka.NewConsumer(cfg, func(ctx context.Context, batch []kafka.Record) error {
			mu.Lock()
			defer mu.Unlock()
			for _, r := range batch {
				r.Headers = append([]kafka.Header{}, r.Headers...) // the batch is the handler's for now only
				r.Timestamp = r.Timestamp.UTC()
				got[string(r.Value)] = r
			}
			return j.handle(ctx, batch)
		}, kafkatest.Logger(t), nil)
		stop := kafkatest.Start(t, c.Run)
		j.waitFor(t, 1000)
		stop()
		if _, again := j.distinct(); again > 0 {
			t.Errorf("%d records were handled more than once", again)
		}
		for _, n := range j.batches {
			if n > cfg.MaxBatch {
				t.Errorf("a batch of %d, want at most %d", n, cfg.MaxBatch)
			}
		}
		if n := len(j.batches); n > 100 {
			t.Errorf("1000 records came in %d batches", n)
		}
		for i := range 1000 {
			value := fmt.Append(nil, i)
			want := kafka.Record{
				Topic: cfg.Topic, Key: value, Value: value,
				Timestamp: kafkatest.KeptTime(time.UnixMilli(1_700_000_000_000).UTC(), got[string(value)].Timestamp),
				Headers:   []kafka.Header{{Key: "content-type", Value: []byte("a/b")}, {Key: "i", Value: value}},
			}
			if diff := cmp.Diff(want, got[string(value)], cmpopts.IgnoreFields(kafka.Record{}, "Partition", "Offset")); diff != "" {
				t.Fatalf("produced (-), handled (+):\n%s", diff)
			}
		}
	})

	t.Run("what was resolved is not handled again by the next member", func(t *testing.T) {
		t.Parallel()
		cfg := groupConfig(kafkatest.NewTopic(t, kafkatest.Brokers(t), 3))
		produce(t, cfg.Config, 500)
		j := newJournal(t)
		stop := kafkatest.Start(t, kafka.NewConsumer(cfg, j.handle, kafkatest.Logger(t), nil).Run)
		j.waitFor(t, 500)
		stop()
		if n := sum(committed(t, cfg)); n != 500 {
			t.Errorf("offsets of %d records were committed, want 500", n)
		}
		produce(t, cfg.Config, 100)
		kafkatest.Start(t, kafka.NewConsumer(cfg, j.handle, kafkatest.Logger(t), nil).Run)
		j.waitFor(t, 600)
		if _, again := j.distinct(); again > 0 {
			t.Errorf("%d records were handled more than once", again)
		}
	})

	t.Run("offsets are committed while it runs", func(t *testing.T) {
		t.Parallel()
		cfg := groupConfig(kafkatest.NewTopic(t, kafkatest.Brokers(t), 3))
		produce(t, cfg.Config, 500)
		kafkatest.Start(t, kafka.NewConsumer(cfg, newJournal(t).handle, kafkatest.Logger(t), nil).Run)
		kafkatest.Eventually(t, kafkatest.Timeout, "all offsets are committed", func() bool { return sum(committed(t, cfg)) == 500 })
	})

	t.Run("a batch that fails comes again, unchanged, until it is handled; other partitions go on", func(t *testing.T) {
		t.Parallel()
		cfg := groupConfig(kafkatest.NewTopic(t, kafkatest.Brokers(t), 3))
		produce(t, cfg.Config, 900)
		j := newJournal(t)
		var mu sync.Mutex
		var firsts []int64
		fail := true
		metrics := prometheus.NewRegistry()
		c := kafka.NewConsumer(cfg, func(ctx context.Context, batch []kafka.Record) error {
			mu.Lock()
			defer mu.Unlock()
			if batch[0].Partition == 1 && fail {
				firsts = append(firsts, batch[0].Offset, int64(len(batch)))
				return errors.New("the store is away")
			}
			return j.handle(ctx, batch)
		}, kafkatest.Logger(t), metrics)
		kafkatest.Start(t, c.Run)
		kafkatest.Eventually(t, kafkatest.Timeout, "the other partitions are done, and one batch failed 4 times", func() bool {
			n, _ := j.distinct()
			mu.Lock()
			defer mu.Unlock()
			return n > 500 && len(firsts) >= 8
		})
		kafkatest.Eventually(t, kafkatest.Timeout, "the lag shows what is not handled", func() bool {
			n, _ := j.distinct()
			return int(kafkatest.Metric(t, metrics, "telltale_kafka_consumer_lag_records")) == 900-n
		})
		oldest := 1e6 // the records are of 2023
		if kafkatest.IsReal() {
			oldest = 0
		}
		if n := kafkatest.Metric(t, metrics, "telltale_kafka_consumer_lag_seconds"); n <= oldest {
			t.Errorf("lag is %v s", n)
		}
		produce(t, cfg.Config, 900)
		kafkatest.Eventually(t, kafkatest.Timeout, "the lag shows what was not even fetched", func() bool {
			n, _ := j.distinct()
			return int(kafkatest.Metric(t, metrics, "telltale_kafka_consumer_lag_records")) == 1800-n
		})
		if n := committed(t, cfg)[1]; n > 0 {
			t.Errorf("offset %d of the partition whose batch fails was committed", n)
		}
		mu.Lock()
		fail = false
		mu.Unlock()
		j.waitFor(t, 1800)
		kafkatest.Eventually(t, kafkatest.Timeout, "there is no lag", func() bool {
			return kafkatest.Metric(t, metrics, "telltale_kafka_consumer_lag_records") == 0
		})
		for i := 2; i < len(firsts); i++ {
			if firsts[i] != firsts[i-2] {
				t.Errorf("the batch changed while it failed: %v", firsts)
			}
		}
	})

	t.Run("at the end a running handler finishes, and its batch is committed", func(t *testing.T) {
		t.Parallel()
		cfg := groupConfig(kafkatest.NewTopic(t, kafkatest.Brokers(t), 3))
		produce(t, cfg.Config, 300)
		running, finish := make(chan struct{}), make(chan struct{})
		var once sync.Once
		j := newJournal(t)
		c := kafka.NewConsumer(cfg, func(ctx context.Context, batch []kafka.Record) error {
			once.Do(func() { close(running) })
			select {
			case <-finish:
				return j.handle(ctx, batch)
			case <-ctx.Done():
				return ctx.Err()
			}
		}, kafkatest.Logger(t), nil)
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error)
		go func() { ended <- c.Run(ctx) }()
		<-running
		cancel()
		time.AfterFunc(500*time.Millisecond, func() { close(finish) })
		if err := <-ended; err != nil {
			t.Errorf("Run: %v", err)
		}
		n, _ := j.distinct()
		if n == 0 {
			t.Error("no handler finished")
		}
		if got := sum(committed(t, cfg)); int(got) != n {
			t.Errorf("%d records are committed, want the %d handled", got, n)
		}
	})

	t.Run("a handler that does not finish is cancelled, is not committed, and ends with the rest within 5 s", func(t *testing.T) {
		t.Parallel()
		cfg := groupConfig(kafkatest.NewTopic(t, kafkatest.Brokers(t), 1))
		produce(t, cfg.Config, 10)
		running := make(chan struct{})
		c := kafka.NewConsumer(cfg, func(ctx context.Context, _ []kafka.Record) error {
			close(running)
			<-ctx.Done()
			return ctx.Err()
		}, kafkatest.Logger(t), nil)
		stop := kafkatest.Start(t, c.Run)
		<-running
		began := time.Now()
		stop()
		if d := time.Since(began); d > 5*time.Second {
			t.Errorf("the end took %v", d)
		}
		if n := sum(committed(t, cfg)); n != 0 {
			t.Errorf("%d records are committed, want none", n)
		}
	})
}
