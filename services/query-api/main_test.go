package main

import (
	"context"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"os"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/telltale-iot/telltale/pkg/daemon"
	"github.com/telltale-iot/telltale/pkg/embedded"
	"github.com/telltale-iot/telltale/pkg/httpguard"
	"github.com/telltale-iot/telltale/pkg/kafka"
)

// exitTime is what package daemon gives Run to return (contract, section 5: 10 s for the process).
const exitTime = 9 * time.Second

// TestExitWhileAServerHangs stops the service while the packets to and from a real server vanish: with requests under
// way that wait for it, and without.
func TestExitWhileAServerHangs(t *testing.T) {
	for _, hung := range []string{"TEST_MONGODB_URI", "TEST_REDIS_URL", "TEST_MYSQL_URL", "TEST_POSTGRES_URL"} {
		t.Run(hung+", busy", func(t *testing.T) { exits(t, hung, true) })
		t.Run(hung+", idle", func(t *testing.T) { exits(t, hung, false) })
	}
}

func exits(t *testing.T, hung string, busy bool) {
	t.Parallel()
	line := &line{pass: make(chan struct{}), held: make(chan struct{}, 1)}
	close(line.pass)
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
			u.Host = line.to(t, u.Host)
		}
		return u.String()
	}
	database := "TEST_MYSQL_URL"
	if hung == "TEST_POSTGRES_URL" {
		database = hung
	}
	broker, err := embedded.StartKafka(embedded.KafkaConfig{Addr: "127.0.0.1:0", Writes: true, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = broker.Close() })
	free, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_ = free.Close()
	c := &command{
		Config:      kafka.Config{Brokers: []string{broker.Addr()}, Topic: "raw-data", Partitions: 3, Replication: -1, Retention: time.Hour},
		HTTPAddr:    free.Addr().String(),
		DatabaseURL: address(database), MongoDBURI: address("TEST_MONGODB_URI"), RedisURL: address("TEST_REDIS_URL"),
	}
	metrics := prometheus.NewRegistry()
	log := slog.New(slog.NewTextHandler(t.Output(), nil))
	p := &daemon.Process{Log: log, Metrics: metrics, Health: daemon.NewHealth(log, metrics), Guard: httpguard.New(httpguard.Config{}, metrics)}
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
	line.hang()
	if busy {
		ask()
		<-line.held // something waits for the server
	}
	told := time.Now()
	stop()
	select {
	case err := <-ended:
		if err != nil {
			t.Error(err)
		}
		t.Logf("it took %v", time.Since(told))
	case <-time.After(exitTime):
		t.Errorf("not drained after %v", exitTime)
	}
	line.resume()
	requests.Wait()
}

// line leads to a server, until it hangs: connections stay, also new ones are taken, and nothing moves.
type line struct {
	held chan struct{} // has a value when a packet does not pass

	mu   sync.Mutex
	pass chan struct{} // closed while packets pass
}

func (l *line) hang() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.pass = make(chan struct{})
}

func (l *line) resume() {
	l.mu.Lock()
	defer l.mu.Unlock()
	close(l.pass)
}

func (l *line) forward(to, from net.Conn) {
	defer to.Close()
	defer from.Close()
	packet := make([]byte, 32<<10)
	for {
		size, err := from.Read(packet)
		if err != nil {
			return
		}
		l.mu.Lock()
		pass := l.pass
		l.mu.Unlock()
		select {
		case <-pass:
		default:
			select {
			case l.held <- struct{}{}:
			default:
			}
			<-pass
		}
		if _, err := to.Write(packet[:size]); err != nil {
			return
		}
	}
}

func (l *line) to(t *testing.T, server string) (address string) {
	t.Helper()
	front, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = front.Close() })
	go func() {
		for {
			client, err := front.Accept()
			if err != nil {
				return
			}
			behind, err := net.Dial("tcp", server)
			if err != nil {
				_ = client.Close()
				continue
			}
			go l.forward(client, behind)
			go l.forward(behind, client)
		}
	}()
	return front.Addr().String()
}
