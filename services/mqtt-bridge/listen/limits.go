package listen

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"

	"github.com/telltale-iot/telltale/services/mqtt-bridge/packet"
)

// How long things may take.
const (
	// connectTimeout is how long a connection may take to send its CONNECT.
	connectTimeout = 10 * time.Second
	// packetTimeout is how long a packet may take from its first byte to its last: 1 MiB over a mobile
	// network of the slowest kind.
	packetTimeout = 30 * time.Second
	// halfClosedTime is how long a client that sends no more is sent acknowledgements. It does not wait out longer
	// outages of Kafka.
	halfClosedTime = 10 * time.Second
	// revokedTime is how long a client whose credentials have ended may take to read that.
	revokedTime = time.Second
	// acceptPause is how long is waited when a connection cannot be accepted: for lack of file
	// descriptors, most likely, so that others must end first.
	acceptPause = time.Second
	// sessionExpiry is how long a session is kept whose client is away, at most, and only where something
	// of it is left: subscriptions, QoS 2 messages that were not released, a will.
	sessionExpiry = 10 * time.Minute
	// maxWillDelay is how long a will may wait at most: MQTT lets a server shorten it.
	maxWillDelay = 5 * time.Minute
	// expireEvery is how often sessions that are away are looked through.
	expireEvery = time.Second
)

// How much there may be.
const (
	// handshakeBytes is about what a TLS handshake takes at most: a ClientHello may have 64 KiB.
	handshakeBytes = 128 << 10
	// maxControlBytes is the length of any packet but PUBLISH: some hundred filters, or user properties.
	maxControlBytes = 16 << 10
	// maxClientID is the length of a client id: MQTT asks for 23 bytes, and URNs are not much longer.
	maxClientID = 256
	// maxTopic and maxLevels are those of a topic or a filter, which bound what it costs to compare them.
	maxTopic  = 512
	maxLevels = 16
	// maxFilters and maxSubscriptions are how many subscriptions a session and all sessions have. Each
	// message is compared with each of them; subscribers here are people who want to look.
	maxFilters       = 20
	maxSubscriptions = 2000
	// maxWill is the length of a will's payload.
	maxWill = 4 << 10
	// topicAliases is how many topics a client may abbreviate.
	topicAliases = 16
	// maxDetached is how many sessions without a connection are kept. The one that lost it first makes room.
	maxDetached = 10_000
	// maxPending is how many connections of an address that have not sent their CONNECT are read from;
	// more wait. There are as many of them, of all addresses, as there may be connections: after a power cut
	// all come at once. The one that came first makes room.
	maxPending = 200
	// spareConnections is how many connections more than allowed there are while some are replaced.
	spareConnections = 64
	// maxUnsent is how many bytes of answers may wait to be sent until no more is read from their client.
	maxUnsent = 4096
	// subscriberBytes is how much may wait for one subscriber: 5,000 readings. With many it is less, so that
	// all have the same share of the budget; what is more is dropped.
	subscriberBytes = 1 << 20
)

// What a client is refused for, as the metric names it.
const (
	byMalformed     = "malformed"
	byProtocol      = "protocol"
	byPacketSize    = "packet_size"
	bySlowPacket    = "slow_packet"
	byKeepAlive     = "keep_alive"
	byPending       = "unproven_connections"
	byConnections   = "connections"
	byClientID      = "client_id"
	byTopic         = "topic"
	byFilter        = "filter"
	bySubscriptions = "subscriptions"
	byWill          = "will"
	byTopicAliases  = "topic_aliases"
	byQoS2          = "qos2"
	byNoTLS         = "no_tls"
	byCredentials   = "credentials"
	byNotReady      = "not_ready"
	byNotAllowed    = "not_allowed"
	byEnded         = "credential_ended"
)

var allReasons = []string{
	byMalformed, byProtocol, byPacketSize, bySlowPacket, byKeepAlive, byPending, byConnections, byClientID, byTopic,
	byFilter, bySubscriptions, byWill, byTopicAliases, byQoS2, byNoTLS,
	byCredentials, byNotReady, byNotAllowed, byEnded,
}

// refusal is the error that ends a connection: the metric's reason, and MQTT 5's reason code.
type refusal struct {
	reason string
	code   packet.Code
	what   string
	told   bool // operators are told already
}

func (r *refusal) Error() string { return r.what }

type metrics struct {
	refusals *prometheus.CounterVec
	dropped  prometheus.Counter
	slowed   *prometheus.CounterVec
}

func newMetrics(r prometheus.Registerer) *metrics {
	f := promauto.With(r)
	m := &metrics{
		refusals: f.NewCounterVec(prometheus.CounterOpts{
			Name: "telltale_bridge_refusals_total",
			Help: "What clients were refused, connections or parts of what they asked for, by the limit that they went beyond.",
		}, []string{"reason"}),
		dropped: f.NewCounter(prometheus.CounterOpts{
			Name: "telltale_bridge_subscriber_messages_dropped_total",
			Help: "Messages that a subscriber was not sent, because it reads too slowly.",
		}),
		slowed: f.NewCounterVec(prometheus.CounterOpts{
			Name: "telltale_bridge_slowed_messages_total",
			Help: "Messages after which a client had to wait, because it sends more messages or bytes than MQTT_DEVICE_RATE allows.",
		}, []string{"what"}),
	}
	for _, reason := range allReasons {
		m.refusals.WithLabelValues(reason)
	}
	for _, what := range slowedBy {
		m.slowed.WithLabelValues(what)
	}
	return m
}
