package daemon_test

import (
	"context"
	"log/slog"
	"net"
	"net/url"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/telltale-iot/telltale/pkg/daemon"
	"github.com/telltale-iot/telltale/pkg/latest"
	"github.com/telltale-iot/telltale/pkg/metadata"
	"github.com/telltale-iot/telltale/pkg/readings"
	"github.com/telltale-iot/telltale/pkg/tlsfiles"
)

// TestHungServer has the packets to and from real servers vanish. Kafka and MQTT have such tests beside
// their clients.
func TestHungServer(t *testing.T) {
	type store interface {
		Check(ctx context.Context) error
		Close() error
	}
	for _, tt := range []struct {
		variable string
		open     func(url string) (store, error)
	}{
		{"TEST_MONGODB_URI", func(u string) (store, error) { return readings.Open(u, tlsfiles.Files{}) }},
		{"TEST_REDIS_URL", func(u string) (store, error) { return latest.Open(u, tlsfiles.Files{}) }},
		{"TEST_MYSQL_URL", func(u string) (store, error) { return metadata.Open(u, tlsfiles.Files{}) }},
		{"TEST_POSTGRES_URL", func(u string) (store, error) { return metadata.Open(u, tlsfiles.Files{}) }},
	} {
		t.Run(tt.variable, func(t *testing.T) {
			t.Parallel()
			server := os.Getenv(tt.variable)
			if server == "" && os.Getenv("TEST_REQUIRE") == "1" {
				t.Fatal("it is not set")
			}
			if server == "" {
				t.Skip("it is not set")
			}
			u, err := url.Parse(server)
			if err != nil {
				t.Fatal(err)
			}
			if u.Path == "" {
				u.Path, u.RawQuery = "/iot", "authSource=admin" // MongoDB
			}
			network := newNetwork(t, u.Host)
			u.Host = network.front.Addr().String()
			s, err := tt.open(u.String())
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = s.Close() })

			h := daemon.NewHealth(slog.New(slog.NewTextHandler(t.Output(), nil)), prometheus.NewRegistry())
			h.Register(t.Context(), "server", s)
			ready(t, h, true)
			network.vanish()
			start := time.Now()
			ready(t, h, false)
			if took := time.Since(start); took > 5*time.Second {
				t.Errorf("that the server hangs shows after %v", took)
			}
			network.pass()
			ready(t, h, true)
		})
	}
}

func ready(t *testing.T, h *daemon.Health, want bool) {
	t.Helper()
	const patience = 30 * time.Second
	for deadline := time.Now().Add(patience); h.Ready() != want; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("not ready: %v, for %v", want, patience)
		}
	}
}

// network leads to a server, until its packets vanish: connections stay, also new ones are taken, and
// nothing moves.
type network struct {
	front  net.Listener
	server string

	mu   sync.Mutex
	open chan struct{} // closed while packets pass
}

func newNetwork(t *testing.T, server string) *network {
	t.Helper()
	front, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	n := &network{front: front, server: server, open: make(chan struct{})}
	close(n.open)
	t.Cleanup(func() { _ = front.Close() })
	go n.serve()
	return n
}

func (n *network) serve() {
	for {
		client, err := n.front.Accept()
		if err != nil {
			return
		}
		server, err := net.Dial("tcp", n.server)
		if err != nil {
			_ = client.Close()
			continue
		}
		go n.forward(client, server)
		go n.forward(server, client)
	}
}

func (n *network) forward(to, from net.Conn) {
	defer to.Close()
	defer from.Close()
	packet := make([]byte, 32<<10)
	for {
		size, err := from.Read(packet)
		if err != nil {
			return
		}
		n.mu.Lock()
		open := n.open
		n.mu.Unlock()
		<-open
		if _, err := to.Write(packet[:size]); err != nil {
			return
		}
	}
}

func (n *network) vanish() {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.open = make(chan struct{})
}

func (n *network) pass() {
	n.mu.Lock()
	defer n.mu.Unlock()
	close(n.open)
}
