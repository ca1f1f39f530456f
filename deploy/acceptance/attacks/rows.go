package main

import "context"

// rows are the attacks, in the order in which they run.
var rows = []row{
	{name: "unreleased-qos2", what: "QoS 2 publishes that are never released", on: bridge, attack: unreleased(unread, 4), refused: []string{"qos2"}},
	{name: "unreleased-qos2-readings", what: "the same with readings", on: bridge, attack: unreleased("sensors/1/data", 1)},
	{name: "queued", what: "600 MiB that nobody reads behind a reading that waits", on: bridge, attack: queued, stalled: stall},
	{name: "half-connects", what: "1,000 CONNECTs of 16 KB but for the last byte", on: bridge, attack: halfConnects(15_000), probe: connects},
	{name: "half-connects-1MB", what: "1,000 CONNECTs of 1 MB but for the last byte", on: bridge, attack: halfConnects(mega), probe: connects, refused: []string{"packet_size"}},
	{name: "half-publishes", what: "1,000 PUBLISHes of 1 MB but for the last byte", on: bridge, attack: halfPublishes(unread, 1000, 10), probe: connects},
	{name: "half-publishes-one-host", what: "200 of them from one host, while others publish long messages", on: bridge, attack: halfPublishes(unread, 200, 1), probe: publishes},
	{name: "half-publishes-readings", what: "the same on a topic of readings", on: bridge, attack: halfPublishes("sensors/1/data", 1000, 10), probe: connects},
	{name: "unread-acks", what: "publishers that do not read what answers them", on: bridge, attack: unreadAcks},
	{name: "flood", what: "64,000 readings at once", on: bridge, attack: flooded(1)},
	{name: "flood-qos0", what: "the same at QoS 0", on: bridge, attack: flooded(0)},
	{name: "amplified", what: "batches that become much when they are decoded", on: bridge, attack: amplified},
	{name: "devices", what: "readings of 150,000 devices", on: allInOne, attack: devices, peak: devicesPeak, kept: latestValues + hotDevices},
	{name: "junk", what: "bad readings as fast as they go", on: bridge, attack: junk},
	{name: "blind-subscribers", what: "subscribers that do not read", on: bridge, attack: blind("#")},
	{name: "blind-subscribers-shared", what: "the same with a shared subscription", on: bridge, attack: blind("$share/g/#")},
	{name: "abandoned-sessions", what: "30,000 clients that leave a session behind", on: bridge, attack: abandoned},
	{name: "filters", what: "many long filters of sessions that expire", on: bridge, attack: filters},
	{name: "wills", what: "wills of 4 KB that are due in years", on: bridge, attack: wills(4000)},
	{name: "wills-60KB", what: "wills of 60 KB", on: bridge, attack: wills(60_000), refused: []string{"packet_size"}},
	{name: "pinned-properties", what: "CONNECTs with as many properties as are taken", on: bridge, attack: pinned},
	{name: "takeovers", what: "clients that throw each other out", on: bridge, attack: takeovers},
	{name: "fanned", what: "as many filters as there can be, all of which match", on: bridge, attack: fanned},
	{name: "aliases", what: "2,000 clients with as many long topic aliases as they may", on: bridge, attack: aliases},
	{name: "levels", what: "filters and topics of 65,534 levels", on: bridge, attack: levelled, probe: subscribes, refused: []string{"packet_size"}},
	{name: "unsubscribes", what: "SUBSCRIBE and UNSUBSCRIBE all the time", on: bridge, attack: unsubscribes, probe: subscribes},
	{name: "slow", what: "bytes one at a time, from the host of the fleet", on: bridge, attack: slow, probe: connects},
	{name: "idle", what: "5,000 connections that say nothing, from the host of the fleet", on: bridge, attack: idle(5000, 1, 1), probe: connects},
	{name: "idle-everywhere", what: "12,000 connections that say nothing, from 100 hosts", on: bridge, attack: idle(12_000, 2, 100), probe: connects, kept: goroutines},
	{name: "crowded", what: "8,000 clients that stay", on: bridge, attack: crowded, probe: connects, kept: goroutines},
	{name: "reason-codes", what: "each limit of MQTT 5 exceeded once", on: bridge, attack: reasonCodes, refused: []string{"client_id", "packet_size", "topic", "will", "topic_aliases", "protocol", "malformed"}},
	{name: "refused-filters", what: "filters beyond the limits", on: bridge, attack: refusedFilters, refused: []string{"filter", "subscriptions"}},
	{name: "mutated", what: "20,000 mutated packets", on: bridge, attack: mutated, probe: connects},
	{name: "tls-handshakes", what: "2,000 TLS handshakes but for their end", on: secured, secured: true, attack: handshakes(10)},
	{name: "tls-handshakes-one-host", what: "the same from one host, while others connect", on: secured, secured: true, attack: handshakes(1), probe: securely},
	{name: "websocket-requests", what: "2,000 requests for a WebSocket but for their end", on: bridge, attack: webRequests, probe: connects},
	{name: "websocket-publishes", what: "1,000 frames with PUBLISHes of 1 MB but for the last byte", on: bridge, attack: webPublishes, probe: webConnects},
	{name: "websocket-frames", what: "frames of up to 2^63 bytes announced", on: bridge, attack: webLengths, probe: webConnects, refused: []string{"packet_size"}},
	{name: "websocket-pings", what: "pings and empty messages as fast as they go", on: bridge, attack: webPings, probe: webConnects},

	{name: "kafka-unknown-key", what: "requests to Kafka that are none", on: allInOne, attack: unknownKey},
	{name: "kafka-2GB", what: "frames of 2 GB announced to Kafka", on: allInOne, attack: announced},
	{name: "kafka-idle", what: "5,000 connections to Kafka that say nothing", on: allInOne, attack: kafkaIdle},
	{name: "kafka-groups", what: "20,000 foreign groups", on: allInOne, attack: foreignGroups},
	{name: "kafka-unread", what: "answers of Kafka that nobody reads", on: allInOne, attack: unreadFetches},
	{name: "kafka-mutated", what: "5,000 mutated requests to Kafka", on: allInOne, attack: mutatedRequests},
	{name: "kafka-writes", what: "foreign writes and deletions", on: allInOne, attack: foreignWrites},

	{name: "batches-of-ones", what: "25 records that are 10,000 dead letters each", on: writable, attack: legacyBatches(onesBatch, 25), kept: backlog},
	{name: "batches-of-readings", what: "records of 10,000 readings each", on: writable, attack: legacyBatches(readingBatch, 5), kept: backlog},
	{name: "batches-of-metrics", what: "records of 60 readings with 1,000 metrics each", on: writable, attack: legacyBatches(metricsBatch, 10), kept: backlog},

	{name: "http-slow-headers", what: "headers a few bytes at a time", on: allInOne, attack: slowHeaders, probe: serves},
	{name: "http-endless-headers", what: "headers that do not end", on: allInOne, attack: endlessHeaders, probe: serves},
	{name: "http-slow-bodies", what: "1,000 bodies but for the last byte", on: allInOne, attack: slowBodies, probe: serves},
	{name: "http-idle", what: "1,500 idle connections on each port", on: allInOne, attack: httpIdle(1500), probe: serves},
	{name: "http-full", what: "3,000 idle connections on each port: more than it takes", on: allInOne, attack: httpIdle(3000)},
	{name: "http-unread", what: "200 long lists that nobody reads", on: allInOne, attack: unreadAnswers, probe: serves},
	{name: "http-live-unread", what: "1,900 clients that follow what happens and read nothing, half of them from a place of their own making", on: allInOne, attack: unreadStreams, probe: serves},
	{name: "http-deep", what: "deep and wide bodies of 1 MiB", on: allInOne, attack: deepBodies, probe: serves},
}

func writable(ctx context.Context, s *site) (*target, error) { return s.allInOne(ctx, kafkaWrites) }

// devicesPeak is for what 150,000 devices have in a process that is five in one.
const devicesPeak = 64 << 20

// What is rightly kept when attackers have gone.
const (
	latestValues = 32 << 20 // for a minute, with Go's garbage
	hotDevices   = 80 << 20 // which rows each device has, until they are sealed, and its count: some 120 bytes each, with Go's garbage
	goroutines   = 10 << 20 // of Go's own, to be used again, when there were 10,000
	backlog      = 16 << 20 // of the log and the consumers, for what attackers have left on Kafka
)

func allInOne(ctx context.Context, s *site) (*target, error) { return s.allInOne(ctx) }

func bridge(ctx context.Context, s *site) (*target, error) { return s.bridge(ctx) }
