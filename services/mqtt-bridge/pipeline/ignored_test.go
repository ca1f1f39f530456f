package pipeline

import (
	"bytes"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/telltale-iot/telltale/services/mqtt-bridge/budget"
)

// Messages on topics that nobody reads leave a line a minute in the log.
func TestIgnoredMessagesAreLogged(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := testPipeline(t, budget.NewShare(1<<20))
		var log bytes.Buffer
		p.log = slog.New(slog.NewTextHandler(&log, nil))
		for range 150 { // one a second
			p.Metrics.Receive(1)
			p.Handle(p.Message("sensor/data", "misled", nil, false), func(error) {})
			time.Sleep(time.Second)
		}
		lines := strings.Split(strings.TrimSpace(log.String()), "\n")
		want := []string{"count=1", "count=60", "count=60"}
		if len(lines) != len(want) {
			t.Fatalf("logged %q, want %d lines", lines, len(want))
		}
		for i, line := range lines {
			if !strings.Contains(line, "topic=sensor/data client_id=misled "+want[i]) {
				t.Errorf("logged %q, want %s", line, want[i])
			}
		}
	})
}
