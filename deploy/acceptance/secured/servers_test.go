package secured

import (
	"bytes"
	"crypto/tls"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/telltale-iot/telltale/pkg/proxytest"
	"github.com/telltale-iot/telltale/pkg/tlsfiles"
	"github.com/telltale-iot/telltale/pkg/tlsfiles/tlsfilestest"
)

const password = "hunter2-Qz7"

// servers are where the secured servers are, and what a client needs to get in.
type servers struct {
	kafka, mqtt, redis, mysql, postgres, mongo string // host:port
	files                                      tlsfiles.Files
}

// startServers starts the servers of compose.yml until the test ends.
func startServers(t *testing.T) servers {
	t.Helper()
	certs := t.TempDir()
	ca := tlsfilestest.New(t)
	cert, key := ca.Write(t, certs, "server", "localhost", "127.0.0.1")
	ca.WriteCA(t, certs)
	keystore := filepath.Join(certs, "keystore.pem")
	if err := os.WriteFile(keystore, append(content(t, key), content(t, cert)...), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, file := range []string{cert, key, keystore, filepath.Join(certs, "ca.pem")} {
		if err := os.Chmod(file, 0o644); err != nil { // the servers are not who runs the test
			t.Fatal(err)
		}
	}
	env := append(os.Environ(), "CERTS="+certs, "PASSWORD="+password)
	addrs := map[string]string{}
	names := []string{"KAFKA", "MQTT", "REDIS", "MYSQL", "POSTGRES", "MONGO"}
	for i, addr := range freeAddrs(t, len(names)) {
		_, port, _ := net.SplitHostPort(addr)
		addrs[names[i]] = "localhost:" + port
		env = append(env, names[i]+"_PORT="+port)
	}
	t.Cleanup(func() { compose(t, env, "down", "--volumes", "--timeout", "1") })
	compose(t, env, "up", "--detach", "--wait")
	compose(t, env, "exec", "-T", "kafka", "/opt/kafka/bin/kafka-configs.sh", "--bootstrap-server", "localhost:9094", "--alter",
		"--entity-type", "users", "--entity-name", "telltale", "--add-config", "SCRAM-SHA-512=[password="+password+"]")

	s := servers{kafka: addrs["KAFKA"], mqtt: addrs["MQTT"], redis: addrs["REDIS"], mysql: addrs["MYSQL"], postgres: addrs["POSTGRES"]}
	s.files.CA = filepath.Join(certs, "ca.pem")
	s.files.Cert, s.files.Key = ca.Write(t, t.TempDir(), "client")
	s.mongo = putTLSInFront(t, addrs["MONGO"], cert, key)
	return s
}

// compose runs docker compose with compose.yml.
func compose(t *testing.T, env []string, args ...string) {
	t.Helper()
	cmd := exec.Command("docker", append([]string{"compose", "-f", "compose.yml"}, args...)...)
	cmd.Env = env
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	if err := cmd.Run(); err != nil {
		t.Fatalf("docker compose %s: %v\n%s", strings.Join(args, " "), err, stderr.String())
	}
}

// putTLSInFront passes what comes by TLS on to the server at addr, and returns where it listens.
func putTLSInFront(t *testing.T, addr, cert, key string) string {
	t.Helper()
	cfg, err := tlsfiles.Server(cert, key, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	listener, err := tls.Listen("tcp", "127.0.0.1:0", cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = listener.Close() })
	go func() {
		for {
			client, err := listener.Accept()
			if err != nil {
				return
			}
			server, err := net.Dial("tcp", addr)
			if err != nil {
				_ = client.Close()
				continue
			}
			pass := func(to, from net.Conn) {
				_, _ = io.Copy(to, from)
				_ = to.Close()
			}
			go pass(server, client)
			go pass(client, server)
		}
	}()
	_, port, _ := net.SplitHostPort(listener.Addr().String())
	return "localhost:" + port
}

func content(t *testing.T, file string) []byte {
	t.Helper()
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func freeAddrs(t *testing.T, n int) []string {
	t.Helper()
	addrs, err := proxytest.FreeAddrs(n)
	if err != nil {
		t.Fatal(err)
	}
	return addrs
}

// eventually waits for holds, which says "" or what is missing.
func eventually(t *testing.T, within time.Duration, holds func() string) {
	t.Helper()
	for deadline := time.Now().Add(within); ; time.Sleep(100 * time.Millisecond) {
		missing := holds()
		if missing == "" {
			return
		}
		if time.Now().After(deadline) {
			t.Fatal(fmt.Sprintf("after %v: ", within) + missing)
		}
	}
}
