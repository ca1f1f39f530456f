package main

import (
	"context"
	"log/slog"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/telltale-iot/telltale/pkg/daemon"
	"github.com/telltale-iot/telltale/pkg/httpguard"
)

func TestStopWhileOpening(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	log, metrics := slog.New(slog.DiscardHandler), prometheus.NewRegistry()
	c := &command{DataDir: t.TempDir(), MQTTListenAddr: "127.0.0.1:0", KafkaListenAddr: "127.0.0.1:0", HTTPAddr: "127.0.0.1:0", KafkaTopic: "raw-data"}
	if err := c.Run(ctx, &daemon.Process{Log: log, Metrics: metrics, Health: daemon.NewHealth(log, metrics), Guard: httpguard.New(httpguard.Config{}, log, metrics)}); err != nil {
		t.Errorf("stopped while it opens its components it ends with %v", err)
	}
}
