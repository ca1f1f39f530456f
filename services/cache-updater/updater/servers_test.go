package updater_test

import (
	"fmt"
	"log/slog"
	"net/url"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/IBM/sarama"

	"github.com/telltale-iot/telltale/pkg/embedded"
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
	cleanup func(t *testing.T, topics ...string)
}

func embeddedServers(t *testing.T) servers {
	broker, err := embedded.StartKafka(embedded.KafkaConfig{Addr: "127.0.0.1:0", Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = broker.Close() })
	return servers{brokers: []string{broker.Addr()}, cache: "memory://", cleanup: func(*testing.T, ...string) {}}
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
	return servers{brokers: strings.Split(brokers, ","), cache: u.String(), cleanup: deleteTopics(brokers)}
}

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
