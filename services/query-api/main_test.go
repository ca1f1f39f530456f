package main

import (
	"context"
	"log/slog"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"os"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/telltale-iot/telltale/pkg/auth"
	"github.com/telltale-iot/telltale/pkg/daemon"
	"github.com/telltale-iot/telltale/pkg/embedded/embeddedtest"
	"github.com/telltale-iot/telltale/pkg/httpguard"
	"github.com/telltale-iot/telltale/pkg/kafka"
	"github.com/telltale-iot/telltale/pkg/proxytest"
)

// exitTime is what package daemon gives Run to return, of the 10 s that the process has.
const exitTime = 9 * time.Second

// TestExitWhileAServerHangs stops the service while the packets to and from a real server are kept back: with requests under
// way that wait for it, and without.
func TestExitWhileAServerHangs(t *testing.T) {
	for _, hung := range []string{"TEST_MONGODB_URI", "TEST_REDIS_URL", "TEST_MYSQL_URL", "TEST_POSTGRES_URL"} {
		t.Run(hung+", busy", func(t *testing.T) { exits(t, hung, true) })
		t.Run(hung+", idle", func(t *testing.T) { exits(t, hung, false) })
	}
}

func exits(t *testing.T, hung string, busy bool) {
	t.Parallel()
	var proxy *proxytest.Proxy
	address := func(variable string) string {
		server := os.Getenv(variable)
		if server == "" && os.Getenv("TEST_REQUIRE") == "1" {
			t.Fatal(variable, "is not set")
		}
		if server == "" {
			t.Skip(variable, "is not set")
		}
		u, err := url.Parse(server)
		if err != nil {
			t.Fatal(err)
		}
		if variable == "TEST_MONGODB_URI" {
			u.Path, u.RawQuery = "/telltale_test_exit", "authSource=admin"
		}
		if variable == hung {
			proxy = proxytest.New(t, u.Host)
			u.Host = proxy.Addr()
		}
		return u.String()
	}
	database := "TEST_MYSQL_URL"
	if hung == "TEST_POSTGRES_URL" {
		database = hung
	}
	broker := embeddedtest.Start(t)
	free, err := proxytest.FreeAddrs(1)
	if err != nil {
		t.Fatal(err)
	}
	c := &command{
		Config:      kafka.Config{Brokers: []string{broker.Addr()}, Topic: "raw-data", Partitions: 3, Replication: -1, Retention: time.Hour},
		HTTPAddr:    free[0],
		Auth:        auth.Config{Mode: auth.Off},
		DatabaseURL: address(database), MongoDBURI: address("TEST_MONGODB_URI"), RedisURL: address("TEST_REDIS_URL"),
	}
	metrics := prometheus.NewRegistry()
	log := slog.New(slog.NewTextHandler(t.Output(), nil))
	p := &daemon.Process{Log: log, Metrics: metrics, Health: daemon.NewHealth(log, metrics), Guard: httpguard.New(httpguard.Config{}, log, metrics)}
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	ended := make(chan error, 1)
	go func() { ended <- c.Run(ctx, p) }()
	deadline, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if p.Health.AwaitReady(deadline); deadline.Err() != nil {
		t.Fatal("not ready within a minute")
	}

	wrote := make(chan httptrace.WroteRequestInfo, 100)
	trace := httptrace.WithClientTrace(t.Context(), &httptrace.ClientTrace{WroteRequest: func(i httptrace.WroteRequestInfo) { wrote <- i }})
	get := func(path string) {
		req, err := http.NewRequestWithContext(trace, http.MethodGet, "http://"+c.HTTPAddr+path, nil)
		if err != nil {
			t.Error(err)
			return
		}
		if res, err := http.DefaultClient.Do(req); err == nil {
			_ = res.Body.Close()
		}
	}
	paths := []string{"/api/readings/", "/api/readings/stats/", "/api/devices/", "/api/readings/latest_all/", "/api/latest/1/"}
	var requests sync.WaitGroup
	ask := func() {
		for _, path := range slices.Concat(paths, paths, paths) { // several connections to each store
			requests.Go(func() { get(path) })
		}
		for range 3 * len(paths) {
			<-wrote
		}
	}
	ask()
	requests.Wait()
	proxy.Hang()
	if busy {
		ask()
		<-proxy.Stalled() // something waits for the server
	}
	stopped := time.Now()
	stop()
	select {
	case err := <-ended:
		if err != nil {
			t.Error(err)
		}
		t.Logf("it took %v", time.Since(stopped))
	case <-time.After(exitTime):
		t.Errorf("not drained after %v", exitTime)
	}
	proxy.Resume()
	requests.Wait()
}
