package timeouts_test

import (
	"testing"
	"time"

	. "github.com/telltale-iot/telltale/pkg/timeouts"
)

// TestTimeoutsFit checks the table: each time leaves room for those within it.
func TestTimeoutsFit(t *testing.T) {
	const second = time.Second // for the scheduler of a busy machine
	for _, tt := range []struct {
		what          string
		within, limit time.Duration
	}{
		{"the exit is within the time to stop", RunDrain + second, Stop},
		{"consumers end within the drain", HandlerGrace + LeaveGroup + second, RunDrain},
		{"dead letters of the last handlers are sent within the drain", HandlerGrace + ProducerDrain + second, RunDrain},
		{"the last acknowledgements are read within the drain", ProducerDrain + MQTTFarewell + second, RunDrain},
		{"the log is closed, or given up, within the drain", LogClosed + second, RunDrain},
		{"HTTP requests end within the drain", HTTPDrain + second, RunDrain},
		{"a look at a dependency that hangs shows in time", CheckEvery + CheckTimeout + second, Noticed},
		{"a Kafka that hangs shows in time", KafkaUnresponsive + CheckEvery + second, Noticed},
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
