package timeouts_test

import (
	"testing"
	"time"

	. "github.com/telltale-iot/telltale/pkg/timeouts"
)

// TestTimeoutsFit checks the table: each time leaves room for those within it.
func TestTimeoutsFit(t *testing.T) {
	const ( // for the scheduler of a busy machine
		second = time.Second
		half   = time.Second / 2
	)
	for _, tt := range []struct {
		what          string
		within, limit time.Duration
	}{
		{"the exit is within the time to stop", RunDrain + second, Stop},
		{"consumers end within the drain", HandlerGrace + LeaveGroup + second, RunDrain},
		{"dead letters of the last handlers are sent within the drain", HandlerGrace + ProducerDrain + second, RunDrain},
		{"the last acknowledgements are read within the drain", ProducerDrain + MQTTFarewell + second, RunDrain},
		{"all-in-one closes its log and its clients, which it does all at once, within the drain", LogClosed + CloseClient + half, RunDrain},
		{"ingest-writer closes its clients within the drain", HandlerGrace + ProducerDrain + 2*CloseClient + half, RunDrain},
		{"query-api closes its clients within the drain", HTTPDrain + 4*CloseClient + half, RunDrain},
		{"devices read the last acknowledgements within the drain", ProducerDrain + MQTTDisconnect + second, RunDrain},
		{"a simulator ends within the drain", SimulatorDrain + second, RunDrain},
		{"HTTP requests end within the drain", HTTPDrain + second, RunDrain},
		{"a look at a dependency that hangs shows in time", CheckEvery + CheckTimeout + second, Noticed},
		{"a Kafka that hangs shows in time", KafkaUnresponsive + CheckEvery + second, Noticed},
		{"an MQTT broker that hangs shows in time", MQTTUnresponsive + MQTTCheckEvery + CheckEvery + half, Noticed},
		{"an MQTT broker is pinged, and has time to answer", MQTTCheckEvery + second, MQTTUnresponsive},
		{"a Redis that hangs shows in time", 2*RedisAnswer + second, Noticed},
		{"a look at Redis says why it fails", RedisAnswer + second, CheckTimeout},
		{"a look at MongoDB says why it fails", MongoCheck + second, CheckTimeout},
		{"the last requests are answered within their drain", StoreRequest + second, HTTPDrain},
		{"a search ends within its request", Search + second, StoreRequest},
		{"a replay leaves its request time to mark what was replayed", ReplaySend + second, StoreRequest},
		{"a request has its answer before the call to an SQL database ends", StoreRequest + second, SQLCall},
		{"a request has its answer when the call to MongoDB ends", StoreRequest, MongoCall},
		{"a request for a count has its answer before that ends", CountRequest + second, MongoCount},
		{"a database that cannot be reached says so within the call", SQLConnect + second, SQLCall},
		{"a file that is busy says so within the call", SQLiteBusy + second, SQLCall},
		{"a broker answers before its client gives up", KafkaReplication + second, KafkaRequest},
		{"a rebalance waits for handlers and their last commit", HandlerGrace + LeaveGroup + second, GroupRebalance},
		{"a member may miss heartbeats", 3 * GroupHeartbeat, GroupSession},
		{"a member outlives a request that fails", KafkaRequest + GroupHeartbeat + second, GroupSession},
	} {
		if tt.within > tt.limit {
			t.Errorf("%s: %v, of %v", tt.what, tt.within, tt.limit)
		}
	}
}
