package contract

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/IBM/sarama"
)

// groups are those that the contract names.
var groups = []string{"ingest-writer", "cache-updater", "device-registry"}

func kafkaConfig() *sarama.Config {
	c := sarama.NewConfig()
	c.Version = sarama.V2_1_0_0
	c.Producer.Return.Successes = true
	c.Producer.RequiredAcks = sarama.WaitForAll
	c.Consumer.MaxWaitTime = 50 * time.Millisecond
	return c
}

// record is one as consumed, with its headers by name.
type record struct {
	*sarama.ConsumerMessage
	headers map[string]string
}

// tail keeps what comes into topics while the tests run.
type tail struct {
	consumer sarama.Consumer
	readers  sync.WaitGroup
	parts    []sarama.PartitionConsumer

	mu      sync.Mutex
	records []record
}

// follow starts to keep the records of topics. They may not exist yet.
func follow(client sarama.Client, topics ...string) (*tail, error) {
	consumer, err := sarama.NewConsumerFromClient(client)
	if err != nil {
		return nil, err
	}
	k := &tail{consumer: consumer}
	for _, topic := range topics {
		partitions, err := client.Partitions(topic)
		for deadline := time.Now().Add(testTimeout); err != nil && time.Now().Before(deadline); {
			time.Sleep(50 * time.Millisecond)
			if err = client.RefreshMetadata(topic); err == nil {
				partitions, err = client.Partitions(topic)
			}
		}
		if err != nil {
			return nil, fmt.Errorf("topic %s: %w", topic, err)
		}
		for _, p := range partitions {
			part, err := consumer.ConsumePartition(topic, p, sarama.OffsetNewest)
			if err != nil {
				return nil, fmt.Errorf("consume %s/%d: %w", topic, p, err)
			}
			k.parts = append(k.parts, part)
			k.readers.Go(func() {
				for m := range part.Messages() {
					k.add(m)
				}
			})
		}
	}
	return k, nil
}

func (k *tail) add(m *sarama.ConsumerMessage) {
	r := record{m, map[string]string{}}
	for _, h := range m.Headers {
		r.headers[string(h.Key)] = string(h.Value)
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	k.records = append(k.records, r)
}

func (k *tail) close() {
	for _, p := range k.parts {
		_ = p.Close()
	}
	k.readers.Wait()
	_ = k.consumer.Close()
}

// find returns the records of a topic that match, by partition in order.
func (k *tail) find(topic string, match func(record) bool) (found []record) {
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, r := range k.records {
		if r.Topic == topic && match(r) {
			found = append(found, r)
		}
	}
	return found
}

// produced waits for n records of a device on the topic of readings.
func produced(t *testing.T, device int64, n int) (found []record) {
	t.Helper()
	key := strconv.FormatInt(device, 10)
	eventually(t, func() error {
		if found = sut.tail.find(sut.topic, func(r record) bool { return string(r.Key) == key }); len(found) < n {
			return fmt.Errorf("%d records with key %s, want %d", len(found), key, n)
		}
		return nil
	})
	return found
}

// waitForDeadLetters waits for n dead letters with that source.
func waitForDeadLetters(t *testing.T, source string, n int) (found []record) {
	t.Helper()
	eventually(t, func() error {
		found = sut.tail.find(sut.topic+".dlq", func(r record) bool { return r.headers["source"] == source })
		if len(found) < n {
			return fmt.Errorf("%d dead letters with source %s, want %d", len(found), source, n)
		}
		return nil
	})
	return found
}

// waitForConsumers waits until every consumer group has committed what is on the topic of readings now: "every record
// up to it is stored, recognised as a duplicate, or in the dead-letter topic".
func waitForConsumers(t *testing.T) {
	t.Helper()
	ends := ends(t, sut.topic)
	admin, err := sarama.NewClusterAdminFromClient(sut.kafka)
	if err != nil {
		t.Fatal(err)
	}
	for _, group := range groups {
		eventually(t, func() error {
			offsets, err := admin.ListConsumerGroupOffsets(group, map[string][]int32{sut.topic: slices.Sorted(maps.Keys(ends))})
			if err != nil {
				return err
			}
			for p, end := range ends {
				block := offsets.GetBlock(sut.topic, p)
				if block == nil {
					return errors.New("no answer about a partition")
				}
				if end > 0 && block.Offset < end {
					return fmt.Errorf("group %s has committed %d of %d on partition %d", group, block.Offset, end, p)
				}
			}
			return nil
		})
	}
}

// ends returns the offset of each partition's next record.
func ends(t *testing.T, topic string) map[int32]int64 {
	t.Helper()
	partitions, err := sut.kafka.Partitions(topic)
	if err != nil {
		t.Fatal(err)
	}
	ends := map[int32]int64{}
	for _, p := range partitions {
		if ends[p], err = sut.kafka.GetOffset(topic, p, sarama.OffsetNewest); err != nil {
			t.Fatal(err)
		}
	}
	return ends
}

// produce puts a record on the topic of readings, as another program would, and returns its place as the
// source header of a dead letter names it.
func produce(t *testing.T, key, value string, headers ...string) (source string) {
	t.Helper()
	producer, err := sarama.NewSyncProducerFromClient(sut.kafka)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = producer.Close() }()
	m := &sarama.ProducerMessage{Topic: sut.topic, Value: sarama.StringEncoder(value)}
	if key != "" {
		m.Key = sarama.StringEncoder(key)
	}
	for i := 0; i < len(headers); i += 2 {
		m.Headers = append(m.Headers, sarama.RecordHeader{Key: []byte(headers[i]), Value: []byte(headers[i+1])})
	}
	partition, offset, err := producer.SendMessage(m)
	if err != nil {
		t.Fatal(err)
	}
	return fmt.Sprintf("%s/%d/%d", sut.topic, partition, offset)
}
