package bridge_test

import (
	"testing"

	"go.uber.org/goleak"
)

// TestMain allows for one goroutine: whatever registry sarama is given, the fetches of the tests' consumers count in
// go-metrics' own, whose ticker never ends.
func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m, goleak.IgnoreTopFunction("github.com/rcrowley/go-metrics.(*meterArbiter).tick"))
}
