package kafka

import (
	"cmp"
	"context"
	"errors"
	"net"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/IBM/sarama"
	"github.com/rcrowley/go-metrics"

	"github.com/telltale-iot/telltale/pkg/settings"
	"github.com/telltale-iot/telltale/pkg/timeouts"
)

// Config says where Kafka is and what its topics look like. The tags are for package settings.
type Config struct {
	Brokers     []string      `env:"KAFKA_BROKERS" default:"localhost:9092" help:"Kafka bootstrap servers, host:port, separated by commas."`
	Topic       string        `env:"KAFKA_TOPIC" default:"raw-data" help:"Topic of the readings. Dead letters go to the topic of that name with .dlq appended, what is ignored to that with .ignored, what bridges saw of devices to that with .trace, how services are to that with .system, whom they refused to that with .refused, and the credentials of devices are on that with .credentials."`
	Partitions  int32         `env:"KAFKA_PARTITIONS" default:"12" help:"Partitions of topics that Telltale creates."`
	Replication int16         `env:"KAFKA_REPLICATION" default:"-1" help:"Replicas of topics that Telltale creates; -1 is the broker's own default."`
	Retention   time.Duration `env:"KAFKA_RETENTION" default:"168h" help:"How long topics that Telltale creates keep their records."`
	Security    Security
	ClientID    string // names this process to the broker: the service's name
	// Dial opens the connections to the brokers; nil opens them over TCP. A broker in this process has one.
	Dial func(ctx context.Context, network, addr string) (net.Conn, error)

	times *times // nil: standardTimes. Tests have shorter ones
}

// Validate reports the first setting that cannot work, as a *settings.Error.
func (c Config) Validate() error {
	for _, broker := range c.Brokers {
		host, port, err := net.SplitHostPort(broker)
		if n, bad := strconv.ParseUint(port, 10, 16); err != nil || host == "" || bad != nil || n == 0 {
			return &settings.Error{Variable: "KAFKA_BROKERS", Value: strings.Join(c.Brokers, ","), Err: errors.New("each must be host:port")}
		}
	}
	switch {
	case !topicName.MatchString(c.Topic) || c.Topic == "." || c.Topic == "..":
		return &settings.Error{Variable: "KAFKA_TOPIC", Value: c.Topic, Err: errors.New("must be 1 to 237 letters, digits, dots, dashes or underscores")}
	case c.Partitions < 1:
		return &settings.Error{Variable: "KAFKA_PARTITIONS", Value: strconv.Itoa(int(c.Partitions)), Err: errors.New("must be at least 1")}
	case c.Replication < -1 || c.Replication == 0:
		return &settings.Error{Variable: "KAFKA_REPLICATION", Value: strconv.Itoa(int(c.Replication)), Err: errors.New("must be at least 1, or -1 for the broker's default")}
	case c.Retention <= 0:
		return &settings.Error{Variable: "KAFKA_RETENTION", Value: c.Retention.String(), Err: errors.New("must be more than 0")}
	}
	return nil
}

// topicName is what Kafka takes, with room for .credentials in its 249 characters.
var topicName = regexp.MustCompile(`^[a-zA-Z0-9._-]{1,237}$`)

// DeadLetterTopic is the name of the topic of rejected bytes.
func (c Config) DeadLetterTopic() string { return c.Topic + ".dlq" }

// IgnoredTopic is the name of the topic that says what became no part of a reading: compacted, and of one partition.
func (c Config) IgnoredTopic() string { return c.Topic + ".ignored" }

// TraceTopic is the name of the topic that says what bridges saw of devices, likewise.
func (c Config) TraceTopic() string { return c.Topic + ".trace" }

// SystemTopic is the name of the topic on which services say how they are, likewise.
func (c Config) SystemTopic() string { return c.Topic + ".system" }

// CredentialsTopic is the name of the topic that says which devices get in, likewise. Its records are kept for good.
func (c Config) CredentialsTopic() string { return c.Topic + ".credentials" }

// RefusedTopic is the name of the topic that says whom services refused, likewise.
func (c Config) RefusedTopic() string { return c.Topic + ".refused" }

// helpful are compacted topics that are a help to people: nothing stops without them.
func (c Config) helpful() []string {
	return []string{c.IgnoredTopic(), c.TraceTopic(), c.SystemTopic(), c.RefusedTopic()}
}

// Internal are the topics by which services tell each other what is not for everybody who may read: the compacted ones, of which
// the last record of a key counts.
func (c Config) Internal() []string { return append(c.helpful(), c.CredentialsTopic()) }

// isOurs reports whether topic is one that is made where it is missing.
func (c Config) isOurs(topic string) bool {
	return topic == c.Topic || topic == c.DeadLetterTopic() || slices.Contains(c.Internal(), topic)
}

// Times of one call. Package timeouts has those that other times must fit; nothing here bounds how long an outage may
// last.
const (
	dialTimeout  = 3 * time.Second
	writeTimeout = 5 * time.Second
)

// times decide how soon a consumer notices what has changed.
type times struct {
	session, heartbeat, rebalance time.Duration // see package timeouts
	unresponsive                  time.Duration // timeouts.KafkaUnresponsive
	request                       time.Duration // timeouts.KafkaRequest
	refresh                       time.Duration // how soon new partitions are found
	recreate                      time.Duration // see MissingTopics
}

// standardTimes are those of everything but tests.
var standardTimes = times{
	session: timeouts.GroupSession, heartbeat: timeouts.GroupHeartbeat, rebalance: timeouts.GroupRebalance,
	unresponsive: timeouts.KafkaUnresponsive, request: timeouts.KafkaRequest,
	refresh: 5 * time.Second, recreate: recreateAfter,
}

func (c Config) timing() *times { return cmp.Or(c.times, &standardTimes) }

// clientConfig is sarama's configuration as every client has it. Retries are the caller's.
func clientConfig(cfg Config) *sarama.Config {
	sc := sarama.NewConfig()
	// The newest protocol we may speak. Each connection settles on what its broker knows.
	sc.Version = sarama.V4_1_0_0
	if cfg.ClientID != "" {
		sc.ClientID = cfg.ClientID
	}

	sc.Net.DialTimeout = dialTimeout
	sc.Net.WriteTimeout = writeTimeout
	sc.Net.ReadTimeout = cfg.timing().request
	cfg.Security.logIn(sc)

	sc.Metadata.Full = false // only the topics we use, and nothing before the first is asked for
	sc.Metadata.AllowAutoTopicCreation = false
	sc.Metadata.Retry.Max = 0
	sc.Metadata.Timeout = cfg.timing().request
	return sc
}

// groupConfig is clientConfig for a member of a consumer group.
func groupConfig(cfg GroupConfig) *sarama.Config {
	sc := clientConfig(cfg.Config)
	// A broker answers a JoinGroup only when every member has joined, or the time for it is over.
	sc.Net.ReadTimeout = cfg.timing().rebalance + 2*time.Second
	sc.Metadata.Retry.Max = 1 // heartbeats, too, may fail that often in a row before the session ends
	sc.Metadata.Retry.Backoff = 100 * time.Millisecond
	sc.Metadata.RefreshFrequency = cfg.timing().refresh

	group := &sc.Consumer.Group
	// Not the cooperative strategy: it signals a revoked partition only by the end of its messages, and a handler that
	// waits for a store does not see that.
	group.Rebalance.GroupStrategies = []sarama.BalanceStrategy{sarama.NewBalanceStrategySticky()}
	group.Rebalance.Timeout = cfg.timing().rebalance
	group.Rebalance.Retry.Backoff = 500 * time.Millisecond
	group.Session.Timeout = cfg.timing().session
	group.Heartbeat.Interval = cfg.timing().heartbeat

	sc.Consumer.Return.Errors = true
	sc.Consumer.IsolationLevel = sarama.ReadCommitted // nothing of ours has transactions, but others may produce, too
	sc.Consumer.Retry.Backoff = 500 * time.Millisecond
	sc.Consumer.Offsets.Initial = sarama.OffsetOldest
	// Only offsets that are marked are committed, and only what is resolved is marked. A commit per
	// batch would cost as much as a small batch itself.
	sc.Consumer.Offsets.AutoCommit.Interval = 500 * time.Millisecond
	sc.Consumer.Offsets.Retry.Max = 1 // of the last commit of a session

	// The broker waits for records, which costs nothing: it answers when there are many, or after MaxWait.
	sc.Consumer.MaxWaitTime = max(cfg.MaxWait, 10*time.Millisecond).Round(time.Millisecond)
	sc.Consumer.Fetch.Min = 128 << 10
	// In memory, a short record takes five times as much beside its bytes: larger responses save nothing.
	sc.Consumer.Fetch.Default = 256 << 10 // of one partition
	sc.Consumer.Fetch.MaxBytes = 2 << 20  // of all
	sc.Consumer.Fetch.Max = 0             // a longer record is fetched all the same; sarama would skip it
	// Records of a partition that wait to be gathered: few, since each may be megabytes long.
	sc.ChannelBufferSize = 8
	return sc
}

// init turns sarama's own metrics off. It keeps meters and sampled histograms of every request, some of them in a
// registry of the whole process that no setting of a client reaches, and a goroutine to tick them.
func init() { metrics.UseNilMetrics = true }
