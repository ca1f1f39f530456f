package main

import (
	"context"
	"log/slog"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/telltale-iot/telltale/pkg/auth"
	"github.com/telltale-iot/telltale/pkg/daemon"
	"github.com/telltale-iot/telltale/pkg/httpguard"
	"github.com/telltale-iot/telltale/pkg/kafka"
	"github.com/telltale-iot/telltale/pkg/kafka/kafkatest"
	"github.com/telltale-iot/telltale/pkg/proxytest"
)

// TestNothingInTheClear: while the database has not said whether the site is from before there were accounts, nothing is served on
// an address that other machines reach: a page would ask for a password.
func TestNothingInTheClear(t *testing.T) {
	free, err := proxytest.FreeAddrs(2)
	if err != nil {
		t.Fatal(err)
	}
	local, away := free[0], free[1]
	_, port, _ := strings.Cut(local, ":")
	c := &command{
		Config:   kafka.Config{Brokers: []string{away}, Topic: "raw-data", Partitions: 1, Replication: -1, Retention: time.Hour},
		HTTPAddr: "0.0.0.0:" + port, Auth: auth.Config{Mode: auth.Auto},
		DatabaseURL: "postgres://iot:iot@" + away + "/iot", MongoDBURI: "mongodb://" + away + "/iot", RedisURL: "redis://" + away + "/0",
	}
	metrics, log := prometheus.NewRegistry(), slog.New(slog.NewTextHandler(t.Output(), nil))
	p := &daemon.Process{Log: log, Metrics: metrics, Health: daemon.NewHealth(log, metrics), Guard: httpguard.New(httpguard.Config{}, log, metrics)}
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- c.Run(ctx, p) }()
	defer func() {
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	}()
	kafkatest.Eventually(t, time.Minute, "it waits for the database to say", func() bool {
		return strings.Contains(strings.Join(p.Health.Problems(), "\n"), "whether the site is from before")
	})
	client := http.Client{Timeout: 2 * time.Second}
	defer client.CloseIdleConnections()
	if answer, err := client.Get("http://" + local + "/"); err == nil {
		_ = answer.Body.Close()
		t.Errorf("it is answered with %s", answer.Status)
	}
}
