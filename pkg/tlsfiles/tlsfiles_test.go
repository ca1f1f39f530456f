package tlsfiles

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/telltale-iot/telltale/pkg/tlsfiles/tlsfilestest"
)

// files are those of a server and of a client whose certificates the same authority signed.
type files struct {
	ca     *tlsfilestest.CA
	server Files
	client Files
}

func write(t *testing.T) files {
	t.Helper()
	f := files{ca: tlsfilestest.New(t)}
	f.server.Cert, f.server.Key = f.ca.Write(t, t.TempDir(), "server", "localhost", "127.0.0.1")
	f.client.Cert, f.client.Key = f.ca.Write(t, t.TempDir(), "client")
	f.client.CA = f.ca.WriteCA(t, t.TempDir())
	return f
}

func TestConnection(t *testing.T) {
	f := write(t)
	addr, _ := serve(t, f, slog.New(slog.DiscardHandler))
	stranger := tlsfilestest.New(t)
	strangersCert, strangersKey := stranger.Write(t, t.TempDir(), "client")
	tests := []struct {
		name   string
		files  Files
		server string
		err    string
	}{
		{"a certificate that the CA has signed is taken", f.client, "localhost", ""},
		{"so is one for an IP address", f.client, "127.0.0.1", ""},
		{"one for another name is refused", f.client, "example.com", "not example.com"},
		{"one of an authority that is not in the file is refused",
			Files{CA: stranger.WriteCA(t, t.TempDir()), Cert: f.client.Cert, Key: f.client.Key}, "localhost", "unknown authority"},
		{"without a CA file the system's count", Files{Cert: f.client.Cert, Key: f.client.Key}, "localhost", "unknown authority"},
		{"a client without a certificate is refused", Files{CA: f.client.CA}, "localhost", "certificate required"},
		{"so is one with a certificate of an authority that the server does not know", Files{CA: f.client.CA, Cert: strangersCert, Key: strangersKey}, "localhost", "remote error"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := connect(addr, tt.files, tt.server)
			if tt.err == "" && err != nil {
				t.Error(err)
			}
			if tt.err != "" && (err == nil || !strings.Contains(err.Error(), tt.err)) {
				t.Errorf("%v; want an error with %q", err, tt.err)
			}
		})
	}
}

func TestReplacedFiles(t *testing.T) {
	t.Run("a new connection of a client uses the new CA", func(t *testing.T) {
		f := write(t)
		addr, _ := serve(t, f, slog.New(slog.DiscardHandler))
		right := read(t, f.client.CA)
		replace(t, f.client.CA, read(t, tlsfilestest.New(t).WriteCA(t, t.TempDir())))
		if _, err := connect(addr, f.client, "localhost"); err == nil {
			t.Error("connected with the wrong CA")
		}
		replace(t, f.client.CA, right)
		if _, err := connect(addr, f.client, "localhost"); err != nil {
			t.Error(err)
		}
	})
	t.Run("a new connection to a server gets the new certificate", func(t *testing.T) {
		f := write(t)
		addr, _ := serve(t, f, slog.New(slog.DiscardHandler))
		before, err := connect(addr, f.client, "localhost")
		if err != nil {
			t.Fatal(err)
		}
		f.ca.Write(t, filepath.Dir(f.server.Cert), "server", "localhost")
		after, err := connect(addr, f.client, "localhost")
		if err != nil {
			t.Fatal(err)
		}
		if before.Equal(after) {
			t.Error("the server shows the certificate from before")
		}
	})
	t.Run("a new connection to a server counts by the new authorities, resumed or not", func(t *testing.T) {
		f := write(t)
		var log bytes.Buffer
		// The client goes on with the authority of the server's certificate, and resumes its session.
		servers := f.client
		servers.CA = f.ca.WriteCA(t, t.TempDir())
		client, err := servers.Client("localhost")
		if err != nil {
			t.Fatal(err)
		}
		client.ClientSessionCache = tls.NewLRUClientSessionCache(1)
		addr, cfg := serve(t, f, slog.New(slog.NewTextHandler(&log, nil)))
		if _, err := greeted(addr, client); err != nil {
			t.Fatal(err)
		}
		right := read(t, f.client.CA)
		replace(t, f.client.CA, read(t, tlsfilestest.New(t).WriteCA(t, t.TempDir())))
		if _, err := greeted(addr, client); err == nil {
			t.Error("a client is taken whose authority is not in the file any more")
		}
		replace(t, f.client.CA, right)
		if _, err := greeted(addr, client); err != nil {
			t.Error(err)
		}
		replace(t, f.client.CA, nil) // as while it is being written
		for range 2 {
			if _, err := greeted(addr, client); err != nil {
				t.Error(err)
			}
		}
		if _, err := cfg.GetConfigForClient(nil); err != nil { // nothing else writes to log now
			t.Error(err)
		}
		if n := strings.Count(log.String(), "cannot use the new authorities"); n != 1 || !strings.Contains(log.String(), f.client.CA) {
			t.Errorf("%d lines, want one that names the file: %s", n, log.String())
		}
	})
	t.Run("a server goes on with its certificate while the files hold no pair, and says so once", func(t *testing.T) {
		f := write(t)
		var log bytes.Buffer
		addr, cfg := serve(t, f, slog.New(slog.NewTextHandler(&log, nil)))
		before, err := connect(addr, f.client, "localhost")
		if err != nil {
			t.Fatal(err)
		}
		key := read(t, f.server.Key)
		replace(t, f.server.Key, read(t, f.client.Key)) // as when the key of two files is replaced first
		for range 2 {
			cert, err := connect(addr, f.client, "localhost")
			if err != nil || !cert.Equal(before) {
				t.Errorf("%v", err)
			}
		}
		if _, err := cfg.GetCertificate(nil); err != nil { // nothing else writes to log now
			t.Error(err)
		}
		if n := strings.Count(log.String(), "cannot use the new certificate"); n != 1 || !strings.Contains(log.String(), f.server.Key) {
			t.Errorf("%d lines, want one that names the file: %s", n, log.String())
		}
		replace(t, f.server.Key, key)
		if _, err := connect(addr, f.client, "localhost"); err != nil {
			t.Error(err)
		}
	})
}

func TestBadFiles(t *testing.T) {
	f := write(t)
	missing := filepath.Join(t.TempDir(), "missing.pem")
	tests := []struct {
		name  string
		files Files
		err   string
	}{
		{"a CA file that is missing is named", Files{CA: missing}, missing},
		{"a CA file without a certificate is named", Files{CA: f.client.Key}, f.client.Key},
		{"a certificate file that is missing is named", Files{Cert: missing, Key: f.client.Key}, missing},
		{"a key file that is missing is named", Files{Cert: f.client.Cert, Key: missing}, missing},
		{"a key of another certificate is named", Files{Cert: f.client.Cert, Key: f.server.Key}, f.server.Key},
		{"a certificate without a key is refused", Files{Cert: f.client.Cert}, "together"},
		{"a key without a certificate is refused", Files{Key: f.client.Key}, "together"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if _, err := tt.files.Client("localhost"); err == nil || !strings.Contains(err.Error(), tt.err) {
				t.Errorf("%v; want an error with %q", err, tt.err)
			}
		})
	}
	t.Run("a server does not start with them", func(t *testing.T) {
		if _, err := Server(f.server.Cert, missing, slog.New(slog.DiscardHandler)); err == nil || !strings.Contains(err.Error(), missing) {
			t.Errorf("%v; want an error with %q", err, missing)
		}
	})
	t.Run("nor without an authority of its clients", func(t *testing.T) {
		for _, file := range []string{"", missing, f.client.Key} {
			if err := VerifyClients(new(tls.Config), true, file, slog.New(slog.DiscardHandler)); err == nil || !strings.Contains(err.Error(), file) {
				t.Errorf("%v; want an error with %q", err, file)
			}
		}
	})
}

// serve starts a server that asks for client certificates and greets with a byte, and returns its address
// and configuration.
func serve(t *testing.T, f files, log *slog.Logger) (string, *tls.Config) {
	t.Helper()
	cfg, err := Server(f.server.Cert, f.server.Key, log)
	if err != nil {
		t.Fatal(err)
	}
	if err := VerifyClients(cfg, true, f.client.CA, log); err != nil {
		t.Fatal(err)
	}
	listener, err := tls.Listen("tcp", "127.0.0.1:0", cfg)
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			_, _ = conn.Write([]byte{1})
			_ = conn.Close()
		}
	}()
	t.Cleanup(func() { _ = listener.Close(); <-done })
	return listener.Addr().String(), cfg
}

// connect waits for the server's greeting, and returns the certificate that it showed.
func connect(addr string, f Files, server string) (*x509.Certificate, error) {
	cfg, err := f.Client(server)
	if err != nil {
		return nil, err
	}
	return greeted(addr, cfg)
}

func greeted(addr string, cfg *tls.Config) (*x509.Certificate, error) {
	raw, err := net.Dial("tcp", addr)
	if err != nil {
		return nil, err
	}
	conn := tls.Client(raw, cfg)
	defer func() { _ = conn.Close() }()
	if _, err := io.ReadFull(conn, make([]byte, 1)); err != nil {
		return nil, err
	}
	return conn.ConnectionState().PeerCertificates[0], nil
}

func read(t *testing.T, file string) []byte {
	t.Helper()
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func replace(t *testing.T, file string, content []byte) {
	t.Helper()
	if err := os.WriteFile(file, content, 0o600); err != nil {
		t.Fatal(err)
	}
}
