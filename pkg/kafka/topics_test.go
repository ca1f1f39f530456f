package kafka_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/IBM/sarama"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"
	"golang.org/x/sync/errgroup"

	"github.com/telltale-iot/telltale/pkg/kafka"
	"github.com/telltale-iot/telltale/pkg/kafka/kafkatest"
)

func TestEnsureTopics(t *testing.T) {
	t.Parallel()
	t.Run("a missing topic is created as configured, and so is the one of dead letters", func(t *testing.T) {
		t.Parallel()
		brokers := kafkatest.Brokers(t)
		cfg := kafkatest.NewTopic(t, brokers, 7)
		admin, err := sarama.NewClusterAdmin(brokers, kafkatest.SaramaConfig())
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = admin.Close() }()
		for topic, want := range map[string]struct {
			partitions int
			policy     string
		}{cfg.Topic: {7, "delete"}, cfg.DeadLetterTopic(): {7, "delete"}, cfg.IgnoredTopic(): {1, "compact,delete"}, cfg.TraceTopic(): {1, "compact,delete"}, cfg.SystemTopic(): {1, "compact,delete"}, cfg.RefusedTopic(): {1, "compact,delete"}, cfg.CredentialsTopic(): {1, "compact"}} {
			// Kafka answers for a topic that it has created a moment before each broker knows of it.
			deadline := time.Now().Add(10 * time.Second)
			described, err := admin.DescribeTopics([]string{topic})
			for err == nil && len(described) == 1 && len(described[0].Partitions) == 0 && time.Now().Before(deadline) {
				time.Sleep(10 * time.Millisecond)
				described, err = admin.DescribeTopics([]string{topic})
			}
			if err != nil || len(described) != 1 || len(described[0].Partitions) != want.partitions {
				t.Errorf("topic %q is %+v, %v; want %d partitions", topic, described, err, want.partitions)
			}
			results, err := admin.DescribeConfigs([]*sarama.ConfigResource{{Type: sarama.TopicResource, Name: topic}}, sarama.DescribeConfigsOptions{})
			if err != nil || len(results) != 1 {
				t.Fatalf("configuration of topic %q: %v, %v", topic, results, err)
			}
			found := map[string]string{}
			for _, e := range results[0].Configs {
				found[e.Name] = e.Value
			}
			if topic == cfg.SystemTopic() && found["segment.ms"] != "3600000" {
				t.Errorf("topic %q has segment.ms %s: what is not closed is not compacted", topic, found["segment.ms"])
			}
			if policy := found["cleanup.policy"]; policy != want.policy {
				t.Errorf("topic %q has cleanup.policy %s, want %s", topic, policy, want.policy)
			}
			keeps := "3600000"
			if topic == cfg.CredentialsTopic() {
				keeps = "-1"
			}
			if found["retention.ms"] != keeps || found["max.message.bytes"] != "2097152" || found["message.timestamp.type"] != "LogAppendTime" {
				t.Errorf("topic %q has retention.ms %s, max.message.bytes %s and message.timestamp.type %s", topic,
					found["retention.ms"], found["max.message.bytes"], found["message.timestamp.type"])
			}
		}
	})

	t.Run("it says what it did, and warns of fewer partitions than configured", func(t *testing.T) {
		t.Parallel()
		cfg := kafka.Config{Brokers: kafkatest.Fake(t).ListenAddrs(), Topic: "spoken", Partitions: 3, Replication: -1, Retention: time.Hour}
		var said bytes.Buffer
		ensure := func() string {
			t.Helper()
			said.Reset()
			if err := kafka.EnsureTopics(t.Context(), cfg, slog.New(slog.NewTextHandler(&said, nil))); err != nil {
				t.Fatal(err)
			}
			return said.String()
		}
		if s := ensure(); strings.Count(s, "created topic") != 7 || !strings.Contains(s, "topic=spoken.dlq partitions=3") || !strings.Contains(s, "topic=spoken.ignored partitions=1 ") {
			t.Errorf("the first time it says:\n%s", s)
		}
		if s := ensure(); s != "" {
			t.Errorf("the second time it says:\n%s", s)
		}
		cfg.Partitions = 4
		if s := ensure(); strings.Count(s, "fewer partitions") != 2 || !strings.Contains(s, "partitions=3 configured=4") {
			t.Errorf("about a topic with fewer partitions it says:\n%s", s)
		}
	})

	t.Run("a topic of an earlier version is given Kafka's time for its records, once", func(t *testing.T) {
		t.Parallel()
		brokers := kafkatest.Brokers(t)
		cfg := kafkatest.NewTopic(t, brokers, 1)
		admin, err := sarama.NewClusterAdmin(brokers, kafkatest.SaramaConfig())
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = admin.Close() }()
		const name = "message.timestamp.type"
		before := map[string]sarama.IncrementalAlterConfigsEntry{name: {Operation: sarama.IncrementalAlterConfigsOperationSet, Value: new("CreateTime")}}
		if err := admin.IncrementalAlterConfig(sarama.TopicResource, cfg.Topic, before, false); err != nil {
			t.Fatal(err)
		}
		await := func(want string) { // a broker answers before each of them knows
			t.Helper()
			for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(10 * time.Millisecond) {
				results, err := admin.DescribeConfigs([]*sarama.ConfigResource{{Type: sarama.TopicResource, Name: cfg.Topic, ConfigNames: []string{name}}}, sarama.DescribeConfigsOptions{})
				if err != nil {
					t.Fatal(err)
				}
				if len(results) == 1 && len(results[0].Configs) == 1 && results[0].Configs[0].Value == want {
					return
				}
				if time.Now().After(deadline) {
					t.Fatalf("%+v, want %s", results, want)
				}
			}
		}
		await("CreateTime")
		for _, want := range []int{1, 0} {
			var said bytes.Buffer
			if err := kafka.EnsureTopics(t.Context(), cfg, slog.New(slog.NewTextHandler(&said, nil))); err != nil {
				t.Fatal(err)
			}
			if got := strings.Count(said.String(), "topic="+cfg.Topic+" setting=message.timestamp.type value=LogAppendTime"); got != want {
				t.Errorf("it says %d times that it did, want %d:\n%s", got, want, said.String())
			}
			await("LogAppendTime")
		}
	})

	t.Run("records have Kafka's time, and where they do not a wrong clock keeps none from getting there", func(t *testing.T) {
		t.Parallel()
		list := os.Getenv("TEST_KAFKA_BROKERS")
		if list == "" {
			t.Skip("TEST_KAFKA_BROKERS is not set, and the fake Kafka takes every time")
		}
		brokers := strings.Split(list, ",")
		cfg := kafkatest.NewTopic(t, brokers, 1)
		begin := time.Now().Add(-time.Second)
		send(t, cfg, kafka.Record{Topic: cfg.Topic, Timestamp: begin.AddDate(0, 0, 1)}, kafka.Record{Topic: cfg.Topic, Timestamp: begin.Add(-time.Hour)})
		admin, err := sarama.NewClusterAdmin(brokers, kafkatest.SaramaConfig())
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = admin.Close() }()
		set := func(value string) sarama.IncrementalAlterConfigsEntry {
			return sarama.IncrementalAlterConfigsEntry{Operation: sarama.IncrementalAlterConfigsOperationSet, Value: &value}
		}
		if err := admin.IncrementalAlterConfig(sarama.TopicResource, cfg.Topic, map[string]sarama.IncrementalAlterConfigsEntry{
			"message.timestamp.type": set("CreateTime"), "message.timestamp.after.max.ms": set("60000"),
		}, false); err != nil {
			t.Fatal(err)
		}
		sent := 2
		var records []kafka.Record
		kafkatest.Eventually(t, kafkatest.Timeout, "a record is found without a time", func() bool { // the setting takes a while
			send(t, cfg, kafka.Record{Topic: cfg.Topic, Timestamp: begin.AddDate(0, 0, 1)})
			sent++
			records = kafkatest.ReadAll(t, brokers, cfg.Topic)
			return records[len(records)-1].Timestamp.UnixMilli() < 0
		})
		if len(records) != sent {
			t.Fatalf("%d records, want %d", len(records), sent)
		}
		for _, r := range records {
			if at := r.Timestamp; at.UnixMilli() >= 0 && (at.Before(begin) || at.After(time.Now().Add(time.Second))) {
				t.Errorf("a record of %v", at)
			}
		}
	})

	t.Run("a topic whose settings may not be changed, or seen, is used as it is, with a warning", func(t *testing.T) {
		t.Parallel()
		for _, key := range []kmsg.Key{kmsg.DescribeConfigs, kmsg.IncrementalAlterConfigs} {
			cluster := kafkatest.Fake(t)
			cfg := kafka.Config{Brokers: cluster.ListenAddrs(), Topic: "theirs", Partitions: 1, Replication: -1}
			if err := cluster.CreateTopic(cfg.Topic, 1, map[string]string{}); err != nil {
				t.Fatal(err)
			}
			cluster.Fault(kfake.Fault{Err: kerr.TopicAuthorizationFailed, Keys: []kmsg.Key{key}, Count: -1})
			var said bytes.Buffer
			if err := kafka.EnsureTopics(t.Context(), cfg, slog.New(slog.NewTextHandler(&said, nil))); err != nil {
				t.Fatal(err)
			}
			if !strings.Contains(said.String(), "level=WARN") || !strings.Contains(said.String(), "setting=message.timestamp.type") {
				t.Errorf("%v: it says:\n%s", key, said.String())
			}
		}
	})

	t.Run("what is left open is the broker's default", func(t *testing.T) {
		t.Parallel()
		cluster := kafkatest.Fake(t, kfake.DefaultNumPartitions(5))
		cfg := kafka.Config{Brokers: cluster.ListenAddrs(), Topic: "open"}
		if err := kafka.EnsureTopics(t.Context(), cfg, kafkatest.Logger(t)); err != nil {
			t.Fatal(err)
		}
		if n := len(cluster.PartitionInfos("open")); n != 5 {
			t.Errorf("%d partitions, want 5", n)
		}
		if v, ok := cluster.TopicInfo("open").Configs["retention.ms"]; ok {
			t.Errorf("retention.ms is %q", *v)
		}
	})

	t.Run("of three replicas two must have a record, of fewer it is the broker's default", func(t *testing.T) {
		t.Parallel()
		for replication, want := range map[int16]string{-1: "", 2: "", 3: "2"} {
			cluster := kafkatest.Fake(t, kfake.NumBrokers(3))
			cfg := kafka.Config{Brokers: cluster.ListenAddrs(), Topic: "replicated", Partitions: 1, Replication: replication}
			if err := kafka.EnsureTopics(t.Context(), cfg, kafkatest.Logger(t)); err != nil {
				t.Fatal(err)
			}
			for _, topic := range []string{cfg.Topic, cfg.DeadLetterTopic()} {
				got := ""
				if v := cluster.TopicInfo(topic).Configs["min.insync.replicas"]; v != nil {
					got = *v
				}
				if got != want {
					t.Errorf("topic %q of %d replicas has min.insync.replicas %q, want %q", topic, replication, got, want)
				}
			}
		}
	})

	t.Run("several at once do not mind each other", func(t *testing.T) {
		t.Parallel()
		cfg := kafka.Config{Brokers: kafkatest.Fake(t).ListenAddrs(), Topic: "shared", Partitions: 3, Replication: -1, Retention: time.Hour}
		var all errgroup.Group
		for range 8 {
			all.Go(func() error { return kafka.EnsureTopics(t.Context(), cfg, kafkatest.Logger(t)) })
		}
		if err := all.Wait(); err != nil {
			t.Error(err)
		}
	})

	t.Run("it waits for a Kafka that is away, and no longer than its context", func(t *testing.T) {
		t.Parallel()
		address, open := kafkatest.Reserve(t)
		cfg := kafka.Config{Brokers: []string{address}, Topic: "later", Partitions: 3, Replication: -1, Retention: time.Hour}
		ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
		defer cancel()
		if err := kafka.EnsureTopics(ctx, cfg, kafkatest.Logger(t)); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("EnsureTopics: %v, want the context's error", err)
		}
		done := make(chan error)
		go func() { done <- kafka.EnsureTopics(t.Context(), cfg, kafkatest.Logger(t)) }()
		cluster := kafkatest.Fake(t, kfake.ListenFn(open))
		if err := <-done; err != nil {
			t.Error(err)
		}
		if cluster.TopicInfo("later") == nil {
			t.Error("the topic is not there")
		}
	})

	t.Run("it gives up when its context ends while Kafka hangs", func(t *testing.T) {
		t.Parallel()
		cluster, proxy := kafkatest.FakeBehindProxy(t)
		proxy.Hang()
		cfg := kafka.Config{Brokers: cluster.ListenAddrs(), Topic: "hung", Partitions: 1, Replication: -1}
		ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
		defer cancel()
		began := time.Now()
		err := kafka.EnsureTopics(ctx, cfg, kafkatest.Logger(t))
		if d := time.Since(began); !errors.Is(err, context.DeadlineExceeded) || d > 2*time.Second {
			t.Errorf("EnsureTopics: %v after %v", err, d)
		}
	})

	t.Run("a refusal is returned", func(t *testing.T) {
		t.Parallel()
		cluster := kafkatest.Fake(t)
		cluster.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.CreateTopics}, Err: kerr.PolicyViolation, Count: -1})
		cfg := kafka.Config{Brokers: cluster.ListenAddrs(), Topic: "refused", Partitions: 1, Replication: -1, Retention: time.Hour}
		err := kafka.EnsureTopics(t.Context(), cfg, kafkatest.Logger(t))
		if !errors.Is(err, sarama.ErrPolicyViolation) || !strings.Contains(err.Error(), `"refused"`) {
			t.Errorf("EnsureTopics: %v, want a policy violation and the topic's name", err)
		}
	})

	t.Run("an error that may pass is not", func(t *testing.T) {
		t.Parallel()
		cluster := kafkatest.Fake(t)
		cluster.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.CreateTopics}, Err: kerr.InvalidReplicationFactor, Count: 2}) // brokers are missing yet
		cfg := kafka.Config{Brokers: cluster.ListenAddrs(), Topic: "patient", Partitions: 1, Replication: -1, Retention: time.Hour}
		if err := kafka.EnsureTopics(t.Context(), cfg, kafkatest.Logger(t)); err != nil {
			t.Error(err)
		}
	})
}
