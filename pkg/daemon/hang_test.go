package daemon_test

import (
	"context"
	"log/slog"
	"net/url"
	"os"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/telltale-iot/telltale/pkg/daemon"
	"github.com/telltale-iot/telltale/pkg/latest"
	"github.com/telltale-iot/telltale/pkg/metadata"
	"github.com/telltale-iot/telltale/pkg/proxytest"
	"github.com/telltale-iot/telltale/pkg/readings"
	"github.com/telltale-iot/telltale/pkg/tlsfiles"
)

// TestHungServer stops the packets to and from real servers. Kafka and MQTT have such tests beside their clients.
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
			proxy := proxytest.New(t, u.Host)
			u.Host = proxy.Addr()
			s, err := tt.open(u.String())
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = s.Close() })

			h := daemon.NewHealth(slog.New(slog.NewTextHandler(t.Output(), nil)), prometheus.NewRegistry())
			h.Register(t.Context(), "server", s)
			awaitReady(t, h, true)
			proxy.Hang()
			start := time.Now()
			awaitReady(t, h, false)
			if took := time.Since(start); took > 5*time.Second {
				t.Errorf("that the server hangs shows after %v", took)
			}
			proxy.Resume()
			awaitReady(t, h, true)
		})
	}
}

// awaitReady waits until h is ready, or is not.
func awaitReady(t *testing.T, h *daemon.Health, want bool) {
	t.Helper()
	const timeout = 30 * time.Second
	for deadline := time.Now().Add(timeout); h.Ready() != want; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("ready is still %v after %v", !want, timeout)
		}
	}
}
