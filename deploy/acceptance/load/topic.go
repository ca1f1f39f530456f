package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
	"golang.org/x/sync/errgroup"

	"github.com/telltale-iot/telltale/pkg/event"
	"github.com/telltale-iot/telltale/pkg/iot"
	"github.com/telltale-iot/telltale/pkg/kafka"
	"github.com/telltale-iot/telltale/pkg/kafka/producer"
)

// topic is a pair of topics, for readings and dead letters, that one row has for itself.
type topic struct {
	kafka.Config
	bench *bench
	admin *kadm.Client
	close func()
}

// newTopic creates the topics of a row.
func (b *bench) newTopic(ctx context.Context, row string) (*topic, error) {
	b.topics++ // a topic is not gone at once when it is deleted
	brokers := strings.Split(server("KAFKA_BROKERS"), ",")
	client, err := kgo.NewClient(kgo.SeedBrokers(brokers...))
	if err != nil {
		return nil, err
	}
	t := &topic{
		Config: kafka.Config{
			Brokers: brokers, Topic: fmt.Sprintf("%s_%s_%d", b.name, row, b.topics), Partitions: 12, Replication: -1, Retention: time.Hour, ClientID: "bench",
		},
		bench: b,
		admin: kadm.NewClient(client),
		close: client.Close,
	}
	err = kafka.EnsureTopics(ctx, t.Config, b.log)
	if err == nil {
		err = t.awaitLeaders(ctx)
	}
	if err != nil {
		client.Close()
		return nil, err
	}
	return t, nil
}

// awaitLeaders returns when the brokers know all partitions of t, some time after they were made.
func (t *topic) awaitLeaders(ctx context.Context) error {
	ctx, cancel := context.WithTimeoutCause(ctx, 30*time.Second, errors.New("the new topic has no leaders after 30 s"))
	defer cancel()
	return poll(ctx, 50*time.Millisecond, func() (bool, error) {
		_, err := t.length(ctx)
		return err == nil, nil
	})
}

// settings are the variables that point a service to t.
func (t *topic) settings() []string {
	return []string{"KAFKA_BROKERS=" + strings.Join(t.Brokers, ","), "KAFKA_TOPIC=" + t.Topic}
}

// remove deletes the topics and what the groups remember of them.
func (t *topic) remove(groups ...string) error {
	defer t.close()
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	var set kadm.TopicsSet
	for partition := range t.Partitions {
		set.Add(t.Topic, partition)
	}
	for _, group := range groups {
		_, _ = t.admin.DeleteOffsets(ctx, group, set) // they expire, too
	}
	_, err := t.admin.DeleteTopics(ctx, t.Topic, t.DeadLetterTopic(), t.IgnoredTopic(), t.TraceTopic(), t.SystemTopic(), t.CredentialsTopic(), t.RefusedTopic())
	return err
}

// length returns the number of records in the topic of readings, none of which is ever removed.
func (t *topic) length(ctx context.Context) (int64, error) {
	ends, err := t.admin.ListEndOffsets(ctx, t.Topic)
	if err != nil {
		return 0, err
	}
	var sum int64
	ends.Each(func(o kadm.ListedOffset) { sum += o.Offset })
	return sum, ends.Error()
}

// committed returns how many records of the topic group is done with.
func (t *topic) committed(ctx context.Context, group string) (int64, error) {
	offsets, err := t.admin.FetchOffsetsForTopics(ctx, group, t.Topic)
	if err != nil {
		return 0, err
	}
	var sum int64
	offsets.Each(func(o kadm.OffsetResponse) { sum += max(o.At, 0) })
	return sum, offsets.Error()
}

// await polls progress until it reaches n, and returns the rate from the first progress on; 0 where that was
// the last one, too.
func await(ctx context.Context, n int64, progress func(context.Context) (int64, error)) (rate float64, err error) {
	ctx, cancel := context.WithTimeoutCause(ctx, 5*time.Minute, errors.New("no end after 5 minutes"))
	defer cancel()
	var first, last int64
	var start, end time.Time
	err = poll(ctx, 50*time.Millisecond, func() (bool, error) {
		at, err := progress(ctx)
		if err != nil {
			return false, err
		}
		if first == 0 && at > 0 {
			first, start = at, time.Now()
		}
		last, end = at, time.Now()
		return at >= n, nil
	})
	if err != nil {
		return 0, fmt.Errorf("%d of %d done: %w", last, n, err)
	}
	if elapsed := end.Sub(start).Seconds(); first < n && elapsed > 0 {
		rate = float64(n-first) / elapsed
	}
	return rate, nil
}

// fill writes n readings of 1,000 devices, as the bridge does.
func (t *topic) fill(ctx context.Context, n int) error {
	producer := producer.New(t.Config, t.bench.log, prometheus.NewRegistry())
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	running, ctx := errgroup.WithContext(ctx)
	running.Go(func() error { return producer.Run(ctx) })
	for n > 0 {
		batch := min(n, 10_000)
		results := make(chan error, batch)
		for range batch {
			producer.Produce(event.Record(t.Topic, reading(n)), func(err error) { results <- err })
			n--
		}
		for range batch {
			if err := <-results; err != nil {
				return err
			}
		}
	}
	cancel()
	return running.Wait()
}

const (
	devices     = 1000
	firstDevice = 4_000_000_000 // of the rows that write to a Redis
)

// started dates the readings that are written beforehand.
var started = time.Now().UTC().Truncate(time.Millisecond)

// reading returns a reading that no other n has, of one of the devices.
func reading(n int) iot.Reading {
	at := started.Add(-time.Duration(n/devices) * time.Millisecond)
	return iot.Reading{
		Device: firstDevice + iot.DeviceID(n%devices), At: at, Received: time.Now().UTC().Truncate(time.Millisecond), Stamped: iot.StampDevice,
		Metrics: []iot.Metric{{Name: iot.Humidity, Value: 40 + float64(n%97)/10}, {Name: iot.Temperature, Value: 20 + float64(n%1009)/100}},
	}
}
