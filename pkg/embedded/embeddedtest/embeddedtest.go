// Package embeddedtest starts the embedded Kafka for tests of what is a client of it.
package embeddedtest

import (
	"cmp"
	"context"
	"testing"

	"github.com/telltale-iot/telltale/pkg/embedded"
)

// Start starts a broker in memory on a free port, to which all may write, until t ends.
func Start(t testing.TB) *embedded.Kafka {
	t.Helper()
	return StartWith(t, embedded.KafkaConfig{})
}

// StartWith is Start with what cfg says besides.
func StartWith(t testing.TB, cfg embedded.KafkaConfig) *embedded.Kafka {
	t.Helper()
	cfg.Addr, cfg.Writes = cmp.Or(cfg.Addr, "127.0.0.1:0"), true
	k, err := embedded.StartKafka(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = k.Close(context.Background()) })
	return k
}
