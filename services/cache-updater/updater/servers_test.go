package updater_test

import (
	"context"
	"fmt"
	"net/url"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/IBM/sarama"
	"github.com/redis/rueidis"

	"github.com/telltale-iot/telltale/pkg/embedded/embeddedtest"
	"github.com/telltale-iot/telltale/pkg/iot"
	"github.com/telltale-iot/telltale/pkg/kafka"
	"github.com/telltale-iot/telltale/pkg/latest"
	"github.com/telltale-iot/telltale/pkg/tlsfiles"
)

// servers is what a test runs on. They may be shared with other tests, so topics and devices are new in
// each test.
type servers struct {
	brokers []string
	cache   string // its URL
	lose    func(t *testing.T, c *replacedCache)
	cleanup func(t *testing.T, topics ...string)
}

func embeddedServers(t *testing.T) servers {
	broker := embeddedtest.Start(t)
	s := servers{brokers: []string{broker.Addr()}, cache: "memory://", cleanup: func(*testing.T, ...string) {}}
	s.lose = func(t *testing.T, c *replacedCache) { c.Store(new(s.openCache(t))) }
	return s
}

// realServers are Kafka and Redis as the environment names them.
func realServers(t *testing.T) servers {
	brokers, redis := os.Getenv("TEST_KAFKA_BROKERS"), os.Getenv("TEST_REDIS_URL")
	if brokers == "" || redis == "" {
		if os.Getenv("TEST_REQUIRE") == "1" {
			t.Fatal("TEST_KAFKA_BROKERS or TEST_REDIS_URL is not set")
		}
		t.Skip("TEST_KAFKA_BROKERS or TEST_REDIS_URL is not set")
	}
	u, err := url.Parse(redis)
	if err != nil {
		t.Fatal(err)
	}
	u.Path = "/14" // the tests of latest/redis empty theirs
	return servers{brokers: strings.Split(brokers, ","), cache: u.String(), lose: emptied(u.String()), cleanup: deleteTopics(brokers)}
}

// emptied empties the database at url.
func emptied(url string) func(*testing.T, *replacedCache) {
	return func(t *testing.T, _ *replacedCache) {
		option := rueidis.MustParseURL(url)
		option.ForceSingleClient = true
		client, err := rueidis.NewClient(option)
		if err != nil {
			t.Fatal(err)
		}
		defer client.Close()
		if err := client.Do(t.Context(), client.B().Flushdb().Build()).Error(); err != nil {
			t.Fatal(err)
		}
	}
}

// replacedCache is a cache in whose place another may come, as a server that starts empty.
type replacedCache struct{ atomic.Pointer[latest.Cache] }

func (c *replacedCache) cache() latest.Cache { return *c.Load() }

func (c *replacedCache) PutLatest(ctx context.Context, batch []iot.Reading, ttl time.Duration) (int, error) {
	return c.cache().PutLatest(ctx, batch, ttl)
}

func (c *replacedCache) Latest(ctx context.Context, id iot.DeviceID) (iot.Reading, error) {
	return c.cache().Latest(ctx, id)
}

func (c *replacedCache) AllLatest(ctx context.Context) ([]iot.Reading, error) {
	return c.cache().AllLatest(ctx)
}

func (c *replacedCache) Complete(ctx context.Context) (bool, error) { return c.cache().Complete(ctx) }

func (c *replacedCache) Restore(ctx context.Context, fill func(context.Context) error) error {
	return c.cache().Restore(ctx, fill)
}

func (c *replacedCache) Check(ctx context.Context) error { return c.cache().Check(ctx) }
func (c *replacedCache) Close() error                    { return c.cache().Close() }

func deleteTopics(brokers string) func(t *testing.T, topics ...string) {
	return func(t *testing.T, topics ...string) {
		config := sarama.NewConfig()
		config.Version = sarama.V4_1_0_0
		admin, err := sarama.NewClusterAdmin(strings.Split(brokers, ","), config)
		if err != nil {
			t.Error(err)
			return
		}
		defer func() { _ = admin.Close() }()
		for _, topic := range topics {
			if err := admin.DeleteTopic(topic); err != nil {
				t.Errorf("delete topic %s: %v", topic, err)
			}
		}
	}
}

// newTopic makes topics that go with the test.
func (s servers) newTopic(t *testing.T) kafka.Config {
	t.Helper()
	cfg := kafka.Config{
		Brokers: s.brokers, Topic: fmt.Sprintf("test-updater-%d", time.Now().UnixNano()),
		Partitions: 3, Replication: -1, Retention: time.Hour, ClientID: "test",
	}
	if err := kafka.EnsureTopics(t.Context(), cfg, logger(t)); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.cleanup(t, cfg.Topic, cfg.DeadLetterTopic()) })
	return cfg
}

func (s servers) openCache(t *testing.T) latest.Cache {
	t.Helper()
	c, err := latest.Open(s.cache, tlsfiles.Files{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c
}

// newDevices returns the first of some ids in a row that no other test has.
func newDevices() iot.DeviceID { return iot.DeviceID(time.Now().UnixMicro()) }
