package httpguard

import (
	"bufio"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/telltale-iot/telltale/pkg/tlsfiles"
	"github.com/telltale-iot/telltale/pkg/tlsfiles/tlsfilestest"
)

// secured serves on l with TLS, and returns the Guard and whom its clients trust.
func secured(t *testing.T, l net.Listener) (*Guard, *x509.CertPool) {
	t.Helper()
	ca, dir := tlsfilestest.New(t), t.TempDir()
	var files tlsfiles.Listener
	files.Cert, files.Key = ca.Write(t, dir, "server", "localhost")
	cfg, err := files.Config(slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	pem, err := os.ReadFile(ca.WriteCA(t, dir))
	if err != nil {
		t.Fatal(err)
	}
	trusted := x509.NewCertPool()
	trusted.AppendCertsFromPEM(pem)
	g := New(Config{AllowedHosts: []string{"telltale.example.com"}}, slog.New(slog.DiscardHandler), prometheus.NewRegistry())
	server := &http.Server{
		TLSConfig: cfg, ReadHeaderTimeout: 5 * time.Second, ErrorLog: slog.NewLogLogger(slog.DiscardHandler, slog.LevelDebug),
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { _, _ = io.WriteString(w, r.Proto+" "+r.TLS.ServerName) }),
	}
	served := make(chan error, 1)
	go func() { served <- g.Serve("api", server, l) }()
	t.Cleanup(func() {
		_ = server.Close()
		if err := <-served; !errors.Is(err, http.ErrServerClosed) {
			t.Error(err)
		}
	})
	return g, trusted
}

func TestServeWithTLS(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	g, trusted := secured(t, l)
	addr := l.Addr().String()

	t.Run("a client gets answers", func(t *testing.T) {
		c, err := tls.Dial("tcp", addr, &tls.Config{RootCAs: trusted, ServerName: "localhost", NextProtos: []string{"h2", "http/1.1"}})
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close() //nolint:errcheck // of a test's client
		for range 2 {   // the connection is kept
			if _, err := io.WriteString(c, "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"); err != nil {
				t.Fatal(err)
			}
			res, err := http.ReadResponse(bufio.NewReader(c), nil)
			if err != nil {
				t.Fatal(err)
			}
			if body, err := io.ReadAll(res.Body); err != nil || string(body) != "HTTP/1.1 localhost" {
				t.Errorf("%q, %v", body, err)
			}
		}
	})
	t.Run("TLS 1.1 is refused", func(t *testing.T) {
		_, err := tls.Dial("tcp", addr, &tls.Config{RootCAs: trusted, ServerName: "localhost", MinVersion: tls.VersionTLS10, MaxVersion: tls.VersionTLS11}) //nolint:gosec // that is what is refused
		if err == nil || !strings.Contains(err.Error(), "protocol version") {
			t.Errorf("%v", err)
		}
	})

	long := strings.Repeat("x", 32<<10)
	tests := []struct {
		name, request    string
		status           int // 0: the connection is closed without an answer
		header, contains string
	}{
		{"the API says what to do", "GET /api/devices/ HTTP/1.1\r\nHost: localhost\r\n\r\n", 401, "Www-Authenticate: Bearer", "tls/ca.crt"},
		{"also to who sends much", "POST /api/devices/ HTTP/1.1\r\nHost: localhost\r\nContent-Length: 32768\r\n\r\n" + long, 401, "Content-Type: application/json", "https"},
		{"a page is at another URL", "GET /devices/?page=2 HTTP/1.1\r\nHost: telltale.example.com:8000\r\n\r\n", 308, "Location: https://telltale.example.com:8000/devices/?page=2", ""},
		{"and so is its header", "HEAD / HTTP/1.1\r\nHost: [::1]:8000\r\n\r\n", 308, "Location: https://[::1]:8000/", ""},
		{"a page of a foreign host is none", "GET / HTTP/1.1\r\nHost: evil.example.com\r\n\r\n", 421, "Connection: close", "ALLOWED_HOSTS"},
		{"nor one of a proxy's request", "GET http://evil.example.com/ HTTP/1.1\r\nHost: localhost\r\n\r\n", 421, "Connection: close", "ALLOWED_HOSTS"},
		{"a form is refused", "POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n", 403, "Connection: close", "https"},
		{"a WebSocket is refused", "GET /mqtt HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n", 403, "Connection: close", "https"},
		{"a header without an end is not answered", "GET /api/ HTTP/1.1\r\nHost: localhost\r\nX: " + long, 0, "", ""},
		{"nor is what is no HTTP", "\x10\x0c\x00\x04MQTT\x04\x02\x00\x00\x00\x00\r\n\r\n", 0, "", ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			before := testutil.ToFloat64(g.refused.WithLabelValues("api", reasonNoTLS))
			c, err := net.Dial("tcp", addr)
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			_, _ = io.WriteString(c, tt.request) // some of it is not read
			got, err := io.ReadAll(c)
			answer := string(got)
			switch {
			case tt.status == 0 && answer != "":
				t.Errorf("answered %q", answer)
			case tt.status != 0 && err != nil:
				t.Errorf("%v: %q", err, answer)
			}
			if tt.status != 0 {
				res, err := http.ReadResponse(bufio.NewReader(strings.NewReader(answer)), nil)
				if err != nil || res.StatusCode != tt.status {
					t.Fatalf("%v, %q", err, answer)
				}
			}
			if !strings.Contains(answer, tt.header) || !strings.Contains(answer, tt.contains) {
				t.Errorf("want %q and %q: %s", tt.header, tt.contains, answer)
			}
			if n := testutil.ToFloat64(g.refused.WithLabelValues("api", reasonNoTLS)) - before; n != 1 {
				t.Errorf("%v were counted", n)
			}
		})
	}
}

// Who begins to speak, with TLS or without, and does not go on has as long as any client.
func TestSlowOpening(t *testing.T) {
	for name, said := range map[string]string{"nothing": "", "TLS": "\x16\x03", "HTTP": "GET /api"} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l := make(pipes)
				secured(t, l)
				client, server := net.Pipe()
				defer client.Close()
				l <- server
				if _, err := io.WriteString(client, said); err != nil {
					t.Fatal(err)
				}
				began := time.Now()
				if _, err := io.Copy(io.Discard, client); err != nil {
					t.Error(err)
				}
				if took := time.Since(began); took != 5*time.Second {
					t.Errorf("it was closed after %v", took)
				}
			})
		})
	}
}
