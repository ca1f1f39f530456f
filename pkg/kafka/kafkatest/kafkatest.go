// Package kafkatest has what the tests of package kafka, of its producer, and of what is built on them share: brokers,
// networks that fail, and records that can be distinguished.
package kafkatest

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/IBM/sarama"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/twmb/franz-go/pkg/kfake"
	"golang.org/x/sync/errgroup"

	"github.com/telltale-iot/telltale/pkg/kafka"
	"github.com/telltale-iot/telltale/pkg/kafka/producer"
	"github.com/telltale-iot/telltale/pkg/proxytest"
)

// Brokers returns a Kafka for a test that needs nothing special of it: the one that TEST_KAFKA_BROKERS
// names, or else a fake one of the test's own.
func Brokers(t testing.TB) []string {
	t.Helper()
	if list := os.Getenv("TEST_KAFKA_BROKERS"); list != "" {
		return strings.Split(list, ",")
	}
	if os.Getenv("TEST_REQUIRE") == "1" {
		t.Fatal("TEST_KAFKA_BROKERS is not set")
	}
	return Fake(t).ListenAddrs()
}

// Fake starts a broker of the test's own, for tests that make it fail.
func Fake(t testing.TB, options ...kfake.Opt) *kfake.Cluster {
	t.Helper()
	cluster, err := kfake.NewCluster(append([]kfake.Opt{kfake.NumBrokers(1)}, options...)...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cluster.Close)
	return cluster
}

// FakeBehindProxy starts brokers of the test's own. The first is behind a proxy, whose address it advertises.
func FakeBehindProxy(t testing.TB, options ...kfake.Opt) (*kfake.Cluster, *proxytest.Proxy) {
	t.Helper()
	var proxy *proxytest.Proxy
	listen := func(network, address string) (net.Listener, error) {
		l, err := net.Listen(network, address)
		if err != nil || proxy != nil {
			return l, err
		}
		proxy = proxytest.New(t, l.Addr().String())
		return advertised{l, proxy}, nil
	}
	cluster := Fake(t, append(options, kfake.ListenFn(listen))...)
	return cluster, proxy
}

// advertised is a listener that reports the address of a proxy.
type advertised struct {
	net.Listener
	proxy *proxytest.Proxy
}

func (a advertised) Addr() net.Addr {
	return net.TCPAddrFromAddrPort(netip.MustParseAddrPort(a.proxy.Addr()))
}

// NewTopic returns a configuration whose topics exist, under a name of the test's own, and go with it.
func NewTopic(t testing.TB, brokers []string, partitions int32) kafka.Config {
	t.Helper()
	cfg := kafka.Config{
		Brokers:     brokers,
		Topic:       fmt.Sprintf("test-%d", time.Now().UnixNano()),
		Partitions:  partitions,
		Replication: -1,
		Retention:   time.Hour,
		ClientID:    "test",
	}
	if err := kafka.EnsureTopics(t.Context(), cfg, Discard()); err != nil {
		t.Fatal(err)
	}
	if strings.Join(brokers, ",") == os.Getenv("TEST_KAFKA_BROKERS") {
		t.Cleanup(func() {
			admin, err := sarama.NewClusterAdmin(brokers, SaramaConfig())
			if err != nil {
				t.Error(err)
				return
			}
			defer func() { _ = admin.Close() }()
			for _, topic := range []string{cfg.Topic, cfg.DeadLetterTopic(), cfg.IgnoredTopic(), cfg.TraceTopic(), cfg.SystemTopic()} {
				if err := admin.DeleteTopic(topic); err != nil {
					t.Error(err)
				}
			}
		})
	}
	return cfg
}

func SaramaConfig() *sarama.Config {
	config := sarama.NewConfig()
	config.Version = sarama.V4_1_0_0
	return config
}

func Discard() *slog.Logger { return slog.New(slog.DiscardHandler) }

// Logger writes to the test's output.
func Logger(t testing.TB) *slog.Logger {
	return slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelDebug}))
}

// Start runs a part until the test ends, or until the returned function is called, which waits for it.
func Start(t testing.TB, run func(context.Context) error) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		if err := run(ctx); err != nil {
			t.Errorf("Run: %v", err)
		}
	}()
	stop = sync.OnceFunc(func() {
		cancel()
		<-ended
	})
	t.Cleanup(stop)
	return stop
}

// ReadAll returns all the records of a topic, those of a partition in order.
func ReadAll(t testing.TB, brokers []string, topic string) []kafka.Record {
	t.Helper()
	client, err := sarama.NewClient(brokers, SaramaConfig())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = client.Close() }()
	consumer, err := sarama.NewConsumerFromClient(client)
	if err != nil {
		t.Fatal(err)
	}
	ids, err := client.Partitions(topic)
	if err != nil {
		t.Fatal(err)
	}
	byPartition := make([][]kafka.Record, len(ids))
	var reading errgroup.Group
	for i, id := range ids {
		oldest, err := client.GetOffset(topic, id, sarama.OffsetOldest)
		if err != nil {
			t.Fatal(err)
		}
		end, err := client.GetOffset(topic, id, sarama.OffsetNewest)
		if err != nil {
			t.Fatal(err)
		}
		if oldest < end {
			reading.Go(func() (err error) {
				byPartition[i], err = readPartition(consumer, topic, id, oldest, end)
				return err
			})
		}
	}
	if err := reading.Wait(); err != nil {
		t.Fatal(err)
	}
	return slices.Concat(byPartition...)
}

func readPartition(consumer sarama.Consumer, topic string, id int32, oldest, end int64) ([]kafka.Record, error) {
	pc, err := consumer.ConsumePartition(topic, id, oldest)
	if err != nil {
		return nil, err
	}
	defer pc.AsyncClose()
	var records []kafka.Record
	for m := range pc.Messages() {
		r := kafka.Record{
			Topic: m.Topic, Partition: m.Partition, Offset: m.Offset,
			Key: m.Key, Value: m.Value, Timestamp: m.Timestamp,
		}
		for _, h := range m.Headers {
			r.Headers = append(r.Headers, kafka.Header{Key: string(h.Key), Value: h.Value})
		}
		if records = append(records, r); m.Offset == end-1 {
			return records, nil
		}
	}
	return nil, fmt.Errorf("partition %d ended at %d of %d", id, len(records), end)
}

// IsReal reports whether Brokers returns a real Kafka.
func IsReal() bool { return os.Getenv("TEST_KAFKA_BROKERS") != "" }

// KeptTime returns the timestamp to expect of a record that was produced with the timestamp produced and is read with
// found: on our topics a real Kafka sets its own, and the fake one does not.
func KeptTime(produced, found time.Time) time.Time {
	if IsReal() && time.Since(found).Abs() < Timeout {
		return found
	}
	return produced
}

// AddPartitions has topic have count partitions, and waits until each has a leader.
func AddPartitions(t testing.TB, brokers []string, topic string, count int32) {
	t.Helper()
	admin, err := sarama.NewClusterAdmin(brokers, SaramaConfig())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = admin.Close() }()
	if err := admin.CreatePartitions(topic, count, nil, false); err != nil {
		t.Fatal(err)
	}
	client, err := sarama.NewClient(brokers, SaramaConfig())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = client.Close() }()
	for id := range count {
		Eventually(t, Timeout, "the leader of a new partition", func() bool {
			if client.RefreshMetadata(topic) != nil {
				return false
			}
			_, err := client.GetOffset(topic, id, sarama.OffsetNewest)
			return err == nil
		})
	}
}

// Metric returns a metric's value, summed over its labels. A name that is not known fails the test.
func Metric(t testing.TB, metrics *prometheus.Registry, name string) (sum float64) {
	t.Helper()
	families, err := metrics.Gather()
	if err != nil {
		t.Fatal(err)
	}
	known := strings.Contains(name, "_lag_") // has a value for each assigned partition: none before joining
	for _, f := range families {
		for _, m := range f.GetMetric() {
			if f.GetName() == name {
				known = true
				sum += m.GetCounter().GetValue() + m.GetGauge().GetValue()
			}
		}
	}
	if !known {
		t.Fatalf("there is no metric %s", name)
	}
	return sum
}

// Timeout is how long a test waits for what is not promised to be fast, on a busy machine.
const Timeout = time.Minute

// Eventually waits for a condition that another goroutine or process brings about.
func Eventually(t testing.TB, within time.Duration, what string, holds func() bool) {
	t.Helper()
	deadline := time.Now().Add(within)
	for !holds() {
		if time.Now().After(deadline) {
			t.Fatalf("not within %v: %s", within, what)
		}
		time.Sleep(5 * time.Millisecond)
	}
}

// Admin returns a client for what operators do.
func Admin(t testing.TB, brokers []string) sarama.ClusterAdmin {
	t.Helper()
	a, err := sarama.NewClusterAdmin(brokers, SaramaConfig())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = a.Close() })
	return a
}

// PartitionsOf returns how many partitions a topic has, 0 while it is missing.
func PartitionsOf(t testing.TB, a sarama.ClusterAdmin, topic string) int {
	t.Helper()
	described, err := a.DescribeTopics([]string{topic})
	if err != nil || len(described) != 1 {
		t.Fatalf("describe topic %q: %v, %v", topic, described, err)
	}
	return len(described[0].Partitions)
}

// WantMissing waits until check says that topic is missing.
func WantMissing(t testing.TB, check func(context.Context) error, topic string) {
	t.Helper()
	Eventually(t, Timeout, "Check says that "+topic+" is missing", func() bool {
		err := check(t.Context())
		return err != nil && strings.Contains(err.Error(), fmt.Sprintf("topic %q is missing", topic))
	})
}

func WantWell(t testing.TB, check func(context.Context) error) {
	t.Helper()
	Eventually(t, Timeout, "Check is nil", func() bool { return check(t.Context()) == nil })
}

// Reserve returns an address at which nothing listens, and a function that listens there.
func Reserve(t testing.TB) (address string, open func(network, _ string) (net.Listener, error)) {
	t.Helper()
	addrs, err := proxytest.FreeAddrs(1)
	if err != nil {
		t.Fatal(err)
	}
	return addrs[0], func(network, _ string) (net.Listener, error) { return net.Listen(network, addrs[0]) }
}

// Send produces records, and waits until all of them are acknowledged, one has failed, or ctx has ended. It returns
// the first error.
func Send(ctx context.Context, p *producer.Producer, records ...kafka.Record) error {
	results := make(chan error, len(records))
	for _, r := range records {
		p.Produce(r, func(err error) { results <- err })
	}
	for range records {
		select {
		case err := <-results:
			if err != nil {
				return err
			}
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}
