package kafka

import "time"

// Hurry makes consumers, and what creates missing topics, notice changes in a fraction of the time, for tests that wait
// for just that. The tests of package timeouts check the standard times.
func (c *Config) Hurry() {
	// The session is Kafka's shortest.
	c.times = &times{
		session: 6 * time.Second, heartbeat: 200 * time.Millisecond, rebalance: 3 * time.Second,
		unresponsive: time.Second, request: 2 * time.Second,
		refresh: time.Second, recreate: 2 * time.Second,
	}
}
