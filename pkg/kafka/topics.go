package kafka

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strconv"
	"time"

	"github.com/IBM/sarama"

	"github.com/telltale-iot/telltale/pkg/kafka/internal/retry"
)

// maxMessageBytes is the longest batch that our topics take. A payload may be 1 MiB, and is
// dead-lettered whole.
const maxMessageBytes = 2 << 20

// EnsureTopics creates the topics of cfg that are missing, with its partitions, replication and
// retention, and for three replicas or more with min.insync.replicas 2: an acknowledged record is on two
// brokers. It logs that it did, and waits for Kafka for as long as it is away. The dead-letter topic has as
// many partitions as the other, so that what is known to be of one device stays in order there too. Those of what is
// ignored, of what bridges saw, and of how services are, are compacted, have one, and may be missing where Kafka refuses
// them for good: a warning says so. A topic with fewer partitions than cfg asks for is used as it is, with a warning. It returns nil, the
// error of a broker that refuses for good, or ctx's.
//
// The records of the topics have the time at which they came to Kafka, by its clock, whatever their producers'
// say (message.timestamp.type). Topics that are there are changed; where that is not allowed a warning says so.
func EnsureTopics(ctx context.Context, cfg Config, log *slog.Logger) error {
	return waitForTopics(ctx, cfg, log, func(error) {})
}

// waitForTopics is EnsureTopics, and calls failing each time with the reason why the topics are not there yet.
func waitForTopics(ctx context.Context, cfg Config, log *slog.Logger, failing func(error)) error {
	var failures retry.Log
	backoff := retry.NewBackoff(100*time.Millisecond, 2*time.Second)
	for {
		err := ensureTopics(ctx, cfg, log)
		switch {
		case err == nil:
			failures.Recovered(log, "kafka is there")
			return nil
		case ctx.Err() != nil:
			return ctx.Err()
		case isPermanent(err):
			return err
		}
		failing(err)
		failures.Failed(log, "waiting for kafka to have its topics", err)
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(backoff.NextBackOff()):
		}
	}
}

func ensureTopics(ctx context.Context, cfg Config, log *slog.Logger) error {
	client, err := NewClient(cfg)
	if err != nil {
		return err
	}
	defer func() { _ = client.Close() }()
	defer context.AfterFunc(ctx, client.Disconnect)()
	for _, topic := range []string{cfg.Topic, cfg.DeadLetterTopic(), cfg.CredentialsTopic()} {
		if err := ensureTopic(client, cfg, topic, log); err != nil {
			return err
		}
	}
	for _, topic := range cfg.helpful() {
		err := ensureTopic(client, cfg, topic, log)
		if isPermanent(err) { // as where these topics, which are newer than the others, are not allowed
			log.Warn("kafka refuses a topic that is a help to people; what would be on it is not shown", "topic", topic, "err", err)
			continue
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// maxSystemRetention is how long what services say of themselves is kept at most: processes that are gone are shown for a day.
const maxSystemRetention = 24 * time.Hour

func ensureTopic(client sarama.Client, cfg Config, topic string, log *slog.Logger) error {
	err := client.RefreshMetadata(topic)
	switch {
	case err == nil, errors.Is(err, sarama.ErrLeaderNotAvailable):
		if partitions, err := client.Partitions(topic); err == nil && len(partitions) < int(cfg.partitions(topic)) {
			log.Warn("topic has fewer partitions than configured", "topic", topic,
				"partitions", len(partitions), "configured", cfg.partitions(topic))
		}
		return ensureAppendTime(client, topic, log)
	case errors.Is(err, sarama.ErrUnknownTopicOrPartition):
		return createTopic(client, cfg, topic, log)
	default:
		return fmt.Errorf("look for topic %q: %w", topic, err)
	}
}

// partitions is how many a topic is made with.
func (c Config) partitions(topic string) int32 {
	if slices.Contains(c.Internal(), topic) {
		return 1
	}
	return c.Partitions
}

// forever, in milliseconds, is Kafka's -1.
const forever = -time.Millisecond

// retention is how long a topic is made to keep its records; 0: as the broker has it.
func (c Config) retention(topic string) time.Duration {
	if topic == c.CredentialsTopic() {
		return forever
	}
	if topic == c.SystemTopic() && (c.Retention == 0 || c.Retention > maxSystemRetention) {
		return maxSystemRetention
	}
	return c.Retention
}

func createTopic(client sarama.Client, cfg Config, topic string, log *slog.Logger) error {
	admin, err := sarama.NewClusterAdminFromClient(client)
	if err != nil {
		return fmt.Errorf("create topic %q: %w", topic, err)
	}
	longest := strconv.Itoa(maxMessageBytes)
	detail := &sarama.TopicDetail{ // -1 asks for the broker's default, which Kafka knows since 2.4
		NumPartitions:     cmp.Or(cfg.partitions(topic), -1),
		ReplicationFactor: cmp.Or(cfg.Replication, -1),
		ConfigEntries:     map[string]*string{messageBytes: &longest, timestampType: new(appendTime)},
	}
	if keep := cfg.retention(topic); keep != 0 {
		retention := strconv.FormatInt(keep.Milliseconds(), 10)
		detail.ConfigEntries[retentionMillis] = &retention
	}
	if slices.Contains(cfg.Internal(), topic) {
		policy := "compact,delete" // what has not been seen for that long is forgotten, as replicas that are gone are
		if topic == cfg.CredentialsTopic() {
			policy = "compact"
		}
		detail.ConfigEntries[cleanupPolicy] = &policy
	}
	if topic == cfg.SystemTopic() {
		// Every process writes there every few seconds, and Kafka compacts and deletes only segments that are closed.
		segment := strconv.FormatInt(time.Hour.Milliseconds(), 10)
		detail.ConfigEntries["segment.ms"] = &segment
	}
	if cfg.Replication >= 3 {
		inSync := "2"
		detail.ConfigEntries[minInSync] = &inSync
	}
	err = admin.CreateTopic(topic, detail, false)
	switch {
	case err == nil:
		log.Info("created topic", "topic", topic, "partitions", cfg.partitions(topic),
			"replication", cfg.Replication, "retention", cfg.retention(topic))
		return nil
	case errors.Is(err, sarama.ErrTopicAlreadyExists): // another process was faster
		return nil
	default:
		return fmt.Errorf("create topic %q: %w", topic, err)
	}
}

// Settings of topics.
const (
	timestampType   = "message.timestamp.type"
	appendTime      = "LogAppendTime" // records have the time at which they came to Kafka
	messageBytes    = "max.message.bytes"
	retentionMillis = "retention.ms"
	cleanupPolicy   = "cleanup.policy"
	minInSync       = "min.insync.replicas"
)

// ensureAppendTime sets timestampType of a topic that an earlier version made, or another program.
func ensureAppendTime(client sarama.Client, topic string, log *slog.Logger) error {
	admin, err := sarama.NewClusterAdminFromClient(client)
	if err != nil {
		return fmt.Errorf("look at topic %q: %w", topic, err)
	}
	is, err := topicSettings(admin, topic, timestampType)
	if err == nil && is[timestampType] == appendTime {
		return nil
	}
	if err == nil {
		err = admin.IncrementalAlterConfig(sarama.TopicResource, topic, map[string]sarama.IncrementalAlterConfigsEntry{
			timestampType: {Operation: sarama.IncrementalAlterConfigsOperationSet, Value: new(appendTime)},
		}, false)
	}
	var refusal sarama.KError
	switch {
	case err == nil:
		log.Info("records of the topic have Kafka's time from now on", "topic", topic, "setting", timestampType, "value", appendTime)
		return nil
	case errors.As(err, &refusal):
		log.Warn("records of the topic have the time that their producers say, and devices may look offline, or online, when that is wrong; set it by hand",
			"topic", topic, "setting", timestampType, "value", appendTime, "err", err)
		return nil
	default:
		return fmt.Errorf("set %s of topic %q: %w", timestampType, topic, err)
	}
}

// topicSettings returns the values that settings of a topic have.
func topicSettings(admin sarama.ClusterAdmin, topic string, names ...string) (map[string]string, error) {
	resource := &sarama.ConfigResource{Type: sarama.TopicResource, Name: topic, ConfigNames: names}
	results, err := admin.DescribeConfigs([]*sarama.ConfigResource{resource}, sarama.DescribeConfigsOptions{})
	if err != nil {
		return nil, err
	}
	values := map[string]string{}
	for _, r := range results {
		if r.ErrorCode != sarama.ErrNoError {
			return nil, r.ErrorCode
		}
		for _, e := range r.Configs {
			if slices.Contains(names, e.Name) {
				values[e.Name] = e.Value
			}
		}
	}
	return values, nil
}

// recreateAfter is how long a topic that is in use must be missing until it is created again. Whoever deletes one to
// create it with settings of his own has that long, and so have brokers that do not know yet of a new one.
const recreateAfter = 5 * time.Second

// MissingTopics creates the topics of a Config again that go missing while they are in use: deleted, or lost with
// Kafka's disk. Every client of the topics has one, and it is harmless when several create a topic at once.
type MissingTopics struct {
	cfg   Config
	log   *slog.Logger
	since map[string]time.Time // when each missing topic was first missed
}

// NewMissingTopics returns a MissingTopics that has missed none yet.
func NewMissingTopics(cfg Config, log *slog.Logger) *MissingTopics {
	return &MissingTopics{cfg: cfg, log: log, since: map[string]time.Time{}}
}

// Observe takes the error of a metadata request for topic, nil where there is none, and returns it with the topic's
// name. It creates a topic of the Config that has been missing for recreateAfter.
func (m *MissingTopics) Observe(client sarama.Client, topic string, err error) error {
	if !errors.Is(err, sarama.ErrUnknownTopicOrPartition) {
		delete(m.since, topic)
		if err != nil {
			err = fmt.Errorf("topic %q: %w", topic, err)
		}
		return err
	}
	missing := fmt.Errorf("topic %q is missing: %w", topic, sarama.ErrUnknownTopicOrPartition)
	if !m.cfg.isOurs(topic) {
		return missing
	}
	since, known := m.since[topic]
	if !known {
		m.since[topic] = time.Now()
		return missing
	}
	if time.Since(since) < m.cfg.timing().recreate {
		return missing
	}
	if err := createTopic(client, m.cfg, topic, m.log); err != nil {
		return fmt.Errorf("%w; %w", missing, err)
	}
	return missing // until Kafka shows it
}

// topicMetadata is what Kafka says of a topic.
type topicMetadata struct {
	id         sarama.Uuid // another one when the topic was deleted and made again; zero before Kafka 2.8
	partitions int
	err        error // of Kafka's; nil where the topic is there
}

// fetchTopics requests the metadata of topics.
func fetchTopics(client sarama.Client, topics ...string) (map[string]topicMetadata, error) {
	broker := client.LeastLoadedBroker()
	if broker == nil {
		return nil, sarama.ErrOutOfBrokers
	}
	response, err := broker.GetMetadata(sarama.NewMetadataRequest(client.Config().Version, topics))
	if err != nil {
		return nil, fmt.Errorf("ask broker %d for topics: %w", broker.ID(), err)
	}
	states := make(map[string]topicMetadata, len(topics))
	for _, t := range response.Topics {
		state := topicMetadata{id: t.Uuid, partitions: len(t.Partitions)}
		if t.Err != sarama.ErrNoError && t.Err != sarama.ErrLeaderNotAvailable {
			state.err = t.Err
		}
		states[t.Name] = state
	}
	return states, nil
}

// isPermanent reports whether a broker's error is no retriable one.
func isPermanent(err error) bool {
	for _, final := range []sarama.KError{
		sarama.ErrInvalidTopic, sarama.ErrInvalidPartitions, sarama.ErrInvalidConfig, sarama.ErrPolicyViolation,
		sarama.ErrTopicAuthorizationFailed, sarama.ErrClusterAuthorizationFailed,
	} {
		if errors.Is(err, final) {
			return true
		}
	}
	return false
}
