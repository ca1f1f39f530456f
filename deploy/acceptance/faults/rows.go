package main

import (
	"slices"
	"time"

	"github.com/telltale-iot/telltale/services/simulator/simulator"
)

const (
	longPause = 12 * time.Second // longer than Kafka's session timeout (10 s), and than any request may take
	keepAlive = 50 * time.Second // longer than one and a half of MQTT's 30 s, when a peer counts as dead
	brief     = 6 * time.Second
)

// rows are the faults, in the order in which they run. Every one is injected while devices publish through
// a bridge in each mode.
var rows = slices.Concat(
	[]row{
		{name: "kill-mqtt-bridge", inject: kill(bridgeSubscribe, bridgeListen)},
		{name: "kill-ingest-writer", inject: kill(ingestWriter)},
		{name: "kill-cache-updater", inject: kill(cacheUpdater)},
		{name: "kill-query-api", inject: kill(queryAPI)},
		{name: "kill-mqtt-bridge-without-kafka", times: 2, inject: killBehind("bridge-kafka", bridgeSubscribe, bridgeListen)},
		{name: "kill-ingest-writer-without-mongo", times: 2, inject: killBehind("writer-mongo", ingestWriter)},
		{name: "kill-kafka", times: 2, inject: killServers("kafka")},
		{name: "kill-mongo", times: 2, inject: killServers("mongo"),
			note: "the stand-in for MongoDB, which keeps over a kill what it acknowledged with a majority write concern"},
		{name: "kill-redis", times: 2, inject: killServers("redis")},
		{name: "kill-mysql", inject: unregistered(away("mysql"))},
		{name: "kill-everything", inject: killEverything},
		{name: "kill-mosquitto", times: 2, inject: killMosquitto, only: subscribe,
			note: "killed while the bridge is away: Mosquitto acknowledges before it saves, which it does every 10 s; what was published since the bridge went, and before Mosquitto was killed, may be lost"},

		{name: "pause-mqtt-bridge", inject: pause(keepAlive, bridgeSubscribe, bridgeListen)},
		{name: "pause-ingest-writer", inject: pause(longPause, ingestWriter)},
		{name: "pause-cache-updater", inject: pause(longPause, cacheUpdater)},
		{name: "pause-query-api", inject: pause(longPause, queryAPI)},
		{name: "pause-kafka", inject: pauseServer("kafka")},
		{name: "pause-mongo", inject: pauseServer("mongo")},
		{name: "pause-redis", inject: pauseServer("redis")},

		{name: "vanish-mqtt", inject: hang(vanish, keepAlive, "device-bridge", "bridge-mosquitto")},
	},
	each("vanish-", func(l string) row { return row{inject: hang(vanish, longPause, l)} }, proxyNames("-mosquitto", "device-")),
	each("half-open-", func(l string) row { return row{inject: hang(halfOpen, brief, l), only: modeOf(l)} }, proxyNames()),
	each("refused-", func(l string) row { return row{inject: refuse(l), only: modeOf(l)} }, proxyNames()),
	each("late-", func(s string) row { return row{inject: slow(late, s)} }, proxiedServices),
	each("narrow-", func(s string) row { return row{inject: slow(narrow, s)} }, proxiedServices),
	[]row{
		{name: "roll-mqtt-bridge", inject: roll(bridgeSubscribe, bridgeListen)},
		{name: "roll-ingest-writer", inject: roll(ingestWriter)},
		{name: "roll-cache-updater", inject: roll(cacheUpdater)},
		{name: "roll-query-api", inject: roll(queryAPI)},
		{name: "scale-ingest-writer", inject: scale(ingestWriter)},
		{name: "scale-cache-updater", inject: scale(cacheUpdater)},
		{name: "scale-query-api", inject: scale(queryAPI)},
		{name: "scale-mqtt-bridge", inject: scaleBridges, unordered: true,
			note: "listen: devices move between three endpoints; subscribe: a shared subscription, which keeps no order, and whose members have to give up their share before they go for good"},

		{name: "poison-devices", times: 3, inject: quietly, faults: simulator.Faults{Junk: 0.1, BadClock: 1, Duplicate: 2},
			note: "one bad message in 1,000; clocks of 1970 and 2099; every fiftieth reading twice"},
		{name: "poison-mqtt", times: 3, inject: poisonMQTT, note: "junk, 1 MB, retained and DUP messages, among good ones; a message of 20 MB costs its sender the connection"},
		{name: "poison-raw-data", times: 3, inject: poisonTopic, note: "junk and 1 MB records; one record in 1,000 is bad, and the others are stored"},
		{name: "takeover", times: 3, inject: takeover},
		{name: "storm", times: 2, inject: storm, crowd: 2000, only: listen, note: "2,000 devices lose their connections to the listening bridge at once"},
		{name: "backlog", inject: backlog, bound: 256 << 20,
			note: "300,000 readings, as many as the stand-in for MongoDB holds with ease, published as fast as they are acknowledged while all consumers are stopped; 256 MiB is the limit of the containers in docker-compose.yml"},

		{name: "topic-deleted", inject: deleteTopic, unordered: true,
			note: "what is deleted with the topic before it was stored is lost, within two seconds of publishing"},
		{name: "partitions-added", inject: addPartition, unordered: true, note: "readings of a device that moves to the new partition may pass each other"},
		{name: "kafka-wrong-address", inject: wrongAddress},
		{name: "mysql-read-only", inject: unregistered(readOnly)},
		{name: "mysql-table-dropped", inject: dropTable},
		{name: "mongo-collection-dropped", inject: dropCollection,
			note: "what was stored goes with the collection, and comes back by ingest-writer replay"},
		{name: "mongo-denied", inject: denied, note: "a wrong password: the stand-in for MongoDB has no users without rights"},

		{name: "kill-all-in-one", times: 3, inject: kill(allInOne), onAllInOne: true},
		{name: "pause-all-in-one", inject: pause(longPause, allInOne), onAllInOne: true},
		{name: "disk-full-all-in-one", times: 2, inject: fillDisk, onAllInOne: true},
		{name: "power-cut", times: 3, inject: powerCut(anyTime), onAllInOne: true, settings: shortLog, trimmed: true},
		{name: "power-cut-roll", inject: powerCut(atRoll), onAllInOne: true, settings: shortLog, trimmed: true},
		{name: "power-cut-checkpoint", inject: powerCut(atCheckpoint), onAllInOne: true, settings: shortLog, trimmed: true, fleet: fleetOf{devices: 200, connections: 4, rate: 20}},
		{name: "power-cut-start", inject: powerCut(atStart), onAllInOne: true, settings: shortLog, trimmed: true},
		{name: "seal-kill", inject: withPast(kill(allInOne)), onAllInOne: true, settings: sealing,
			note: "readings of days and weeks ago arrive and are sealed meanwhile; all that is answered about them is checked by brute force"},
		{name: "seal-power-cut", times: 2, inject: withPast(powerCut(anyTime)), onAllInOne: true, settings: with(sealing, shortLog...), trimmed: true},
		{name: "seal-disk-full", inject: withPast(fillDisk), onAllInOne: true, settings: sealing},
		{name: "migration-kill", before: migrate(killOnce), inject: killOnce, onAllInOne: true, settings: sealing,
			note: "the file of the last version that had one for all readings"},
		{name: "migration-power-cut", before: migrate(cutOnce), inject: cutOnce, onAllInOne: true, settings: with(sealing, shortLog...), trimmed: true},
		{name: "retention-kill", before: threeMonths, inject: expire(killOnce), onAllInOne: true, settings: sealing,
			note: "most of three months become too old in steps; what they come to in charts stays to the bit"},
		{name: "retention-power-cut", before: threeMonths, inject: expire(cutOnce), onAllInOne: true, settings: with(sealing, shortLog...), trimmed: true},
		{name: "fsync-eio", times: 3, inject: failing(syncs, "error=EIO", everything, segmentOnce, database), onAllInOne: true},
		{name: "enospc-at-fsync", times: 2, inject: failing(syncs, "error=ENOSPC", everything, segmentOnce), onAllInOne: true},
		{name: "write-eio", times: 2, inject: failing(writes, "error=EIO", everything, database), onAllInOne: true},
		{name: "slow-fsync", inject: slowDisk, onAllInOne: true},
		{name: "bit-flip-log", times: 3, inject: bitFlip(segment, index, groups), onAllInOne: true},
		{name: "bit-flip-database", times: 3, inject: bitFlip(value, page(months), page("metadata.db")), onAllInOne: true,
			note: "a bit in an index of SQLite may hide a reading from the list of its device without a word"},
	},
)

// each makes a row of every name.
func each(prefix string, of func(name string) row, names []string) []row {
	var made []row
	for _, name := range names {
		r := of(name)
		r.name = prefix + name
		made = append(made, r)
	}
	return made
}
