package kafka_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/IBM/sarama"
	"github.com/twmb/franz-go/pkg/kfake"

	"github.com/telltale-iot/telltale/pkg/doctor"
	"github.com/telltale-iot/telltale/pkg/kafka"
	"github.com/telltale-iot/telltale/pkg/kafka/kafkatest"
	"github.com/telltale-iot/telltale/pkg/proxytest"
)

// examine returns what is said of cfg, a line each.
func examine(t *testing.T, cfg kafka.Config) string {
	t.Helper()
	var out strings.Builder
	doctor.Run(t.Context(), &out, []doctor.Check{kafka.Examine(cfg)})
	lines, _, _ := strings.Cut(strings.ReplaceAll(out.String(), "  KAFKA_BROKERS", ""), "\n\n")
	return lines + "\n"
}

func TestExamine(t *testing.T) {
	t.Parallel()
	t.Run("topics that are missing are told, and not made", func(t *testing.T) {
		t.Parallel()
		brokers := kafkatest.Fake(t).ListenAddrs()
		cfg := kafka.Config{Brokers: brokers, Topic: "readings", Partitions: 3, Replication: -1, Retention: time.Hour}
		want := "ok    " + strings.Join(brokers, ",") + ` answers; brokers that can be reached: 1
ok    topic readings is not there, and is made at the start
ok    topic readings.dlq is not there, and is made at the start
ok    topic readings.ignored is not there, and is made at the start
ok    topic readings.trace is not there, and is made at the start
ok    topic readings.system is not there, and is made at the start
ok    topic readings.refused is not there, and is made at the start
ok    topic readings.credentials is not there, and is made at the start
`
		for range 2 {
			if got := examine(t, cfg); got != want {
				t.Errorf("it says:\n%s", got)
			}
		}
		topics, err := kafkatest.Admin(t, brokers).ListTopics()
		if err != nil || len(topics) != 0 {
			t.Errorf("there are topics %v, %v", topics, err)
		}
	})

	t.Run("topics as Telltale makes them are fine, and others are not", func(t *testing.T) {
		t.Parallel()
		brokers := kafkatest.Fake(t).ListenAddrs()
		cfg := kafka.Config{Brokers: brokers, Topic: "readings", Partitions: 3, Replication: -1, Retention: time.Hour}
		if err := kafka.EnsureTopics(t.Context(), cfg, kafkatest.Logger(t)); err != nil {
			t.Fatal(err)
		}
		want := "ok    " + strings.Join(brokers, ",") + ` answers; brokers that can be reached: 1
ok    topic readings: partitions: 3, settings as they should be
ok    topic readings.dlq: partitions: 3, settings as they should be
ok    topic readings.ignored: partitions: 1, settings as they should be
ok    topic readings.trace: partitions: 1, settings as they should be
ok    topic readings.system: partitions: 1, settings as they should be
ok    topic readings.refused: partitions: 1, settings as they should be
ok    topic readings.credentials: partitions: 1, settings as they should be
`
		if got := examine(t, cfg); got != want {
			t.Errorf("of good ones it says:\n%s", got)
		}
		change := func(topic string, values map[string]string) {
			t.Helper()
			entries := map[string]sarama.IncrementalAlterConfigsEntry{}
			for name, value := range values {
				entries[name] = sarama.IncrementalAlterConfigsEntry{Operation: sarama.IncrementalAlterConfigsOperationSet, Value: &value}
			}
			if err := kafkatest.Admin(t, brokers).IncrementalAlterConfig(sarama.TopicResource, topic, entries, false); err != nil {
				t.Fatal(err)
			}
		}
		change("readings", map[string]string{"cleanup.policy": "compact", "min.insync.replicas": "2"})
		change("readings.dlq", map[string]string{"message.timestamp.type": "CreateTime", "max.message.bytes": "1048588", "retention.ms": "60000"})
		change("readings.ignored", map[string]string{"cleanup.policy": "delete"})
		change("readings.trace", map[string]string{"max.message.bytes": "1048588"}) // which is Kafka's own
		change("readings.credentials", map[string]string{"cleanup.policy": "compact,delete"})
		cfg.Partitions = 12
		want = "ok    " + strings.Join(brokers, ",") + ` answers; brokers that can be reached: 1
warn  topic readings has 3 partitions, and KAFKA_PARTITIONS says 12; add partitions where more replicas of a service are to share them, or lower KAFKA_PARTITIONS
fail  topic readings has partitions that take no records, with fewer replicas in sync than min.insync.replicas=2: [0 1 2]; start the brokers that have the others, or lower min.insync.replicas
fail  topic readings has cleanup.policy=compact: of each device all readings but the newest are removed; set it to delete
warn  topic readings.dlq has 3 partitions, and KAFKA_PARTITIONS says 12; add partitions where more replicas of a service are to share them, or lower KAFKA_PARTITIONS
warn  topic readings.dlq has message.timestamp.type=CreateTime: devices look offline, or online, where the clock of a producer is wrong; set it to LogAppendTime
warn  topic readings.dlq has max.message.bytes=1048588: longer messages are cut, and become dead letters; set it to 2097152
warn  topic readings.dlq has retention.ms=60000: what a service has not read for 1m0s is lost, and KAFKA_RETENTION says 1h0m0s; set it to 3600000
warn  topic readings.ignored has cleanup.policy=delete: it grows with every repetition; set it to compact,delete
ok    topic readings.trace: partitions: 1, settings as they should be
ok    topic readings.system: partitions: 1, settings as they should be
ok    topic readings.refused: partitions: 1, settings as they should be
fail  topic readings.credentials has cleanup.policy=compact,delete: devices do not get in once their credentials are too old to be kept; set it to compact
`
		if got := examine(t, cfg); got != want {
			t.Errorf("of others it says:\n%s", got)
		}
	})

	t.Run("a broker that names itself by an address that nobody reaches", func(t *testing.T) {
		t.Parallel()
		cluster, proxy := kafkatest.FakeBehindProxy(t, kfake.NumBrokers(2))
		others := slices.DeleteFunc(cluster.ListenAddrs(), func(addr string) bool { return addr == proxy.Addr() })
		cfg := kafka.Config{Brokers: others, Topic: "readings", Partitions: 1, Retention: time.Hour}
		if got := examine(t, cfg); !strings.Contains(got, "brokers that can be reached: 2") {
			t.Errorf("while it is reached it says:\n%s", got)
		}
		proxy.Cut()
		if got := examine(t, cfg); !strings.Contains(got, " at "+proxy.Addr()+", as Kafka names it: ") || !strings.Contains(got, "set advertised.listeners of that broker") {
			t.Errorf("it says:\n%s", got)
		}
	})

	t.Run("a wrong password, which is not shown", func(t *testing.T) {
		t.Parallel()
		brokers, security := secured(t)
		security.Mechanism, security.Password = "SCRAM-SHA-512", "S3cr3tW0rd"
		got := examine(t, kafka.Config{Brokers: brokers, Topic: "readings", Partitions: 1, Retention: time.Hour, Security: security})
		if !strings.HasPrefix(got, "fail  ") || strings.Contains(got, security.Password) || !strings.Contains(got, "password") {
			t.Errorf("it says:\n%s", got)
		}
	})

	t.Run("TLS without its authority", func(t *testing.T) {
		t.Parallel()
		brokers, security := secured(t)
		security.Mechanism, security.Files.CA = "PLAIN", ""
		got := examine(t, kafka.Config{Brokers: brokers, Topic: "readings", Partitions: 1, Retention: time.Hour, Security: security})
		if !strings.Contains(got, "unknown authority; name the authority") {
			t.Errorf("it says:\n%s", got)
		}
	})

	t.Run("a dead one", func(t *testing.T) {
		t.Parallel()
		addrs, err := proxytest.FreeAddrs(1)
		if err != nil {
			t.Fatal(err)
		}
		got := examine(t, kafka.Config{Brokers: addrs, Topic: "readings", Partitions: 1, Retention: time.Hour})
		if !strings.Contains(got, "connection refused; start it, or correct KAFKA_BROKERS") {
			t.Errorf("it says:\n%s", got)
		}
	})
}
