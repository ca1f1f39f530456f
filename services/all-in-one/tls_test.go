package main

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"maps"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/telltale-iot/telltale/pkg/proxytest"
	"github.com/telltale-iot/telltale/pkg/tlsfiles/tlsfilestest"
)

// Every listener shows the certificate in its files, a new one once that is there, and to nobody with TLS 1.1.
func TestCertificateOfEveryListener(t *testing.T) {
	t.Parallel()
	ca, dir := tlsfilestest.New(t), t.TempDir()
	s := freeAddrs(t)
	web, err := proxytest.FreeAddrs(1)
	if err != nil {
		t.Fatal(err)
	}
	s["MQTT_WS_LISTEN_ADDR"] = web[0]
	listeners := map[string]string{"MQTT_LISTEN": s["MQTT_LISTEN_ADDR"], "KAFKA_LISTEN": s["KAFKA_LISTEN_ADDR"], "HTTP": s["HTTP_ADDR"], "OPS": s["OPS_ADDR"]}
	for prefix := range listeners {
		s[prefix+"_CERT_FILE"], s[prefix+"_KEY_FILE"] = ca.Write(t, dir, strings.ToLower(prefix), "127.0.0.1")
	}
	start(t, t.TempDir(), s)
	awaitHealth(t, s)

	trusted := certificatesIn(t, ca.WriteCA(t, dir))
	all := maps.Clone(listeners)
	all["MQTT_LISTEN over WebSocket"] = web[0]
	for name, addr := range all {
		before, err := shownAt(addr, trusted, 0)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if _, err := shownAt(addr, trusted, tls.VersionTLS11); err == nil || !strings.Contains(err.Error(), "protocol version") {
			t.Errorf("%s and TLS 1.1: %v", name, err)
		}
		prefix, _, _ := strings.Cut(name, " ")
		ca.Write(t, dir, strings.ToLower(prefix), "127.0.0.1")
		after, err := shownAt(addr, trusted, 0)
		if err != nil || after.Equal(before) {
			t.Errorf("%s shows the certificate from before: %v", name, err)
		}
	}
}

// shownAt returns the certificate that addr shows, to a client that knows no TLS after most; 0 is any.
func shownAt(addr string, trusted *x509.CertPool, most uint16) (*x509.Certificate, error) {
	cfg := &tls.Config{RootCAs: trusted, MaxVersion: most}
	if most != 0 {
		cfg.MinVersion = tls.VersionTLS10
	}
	d := &tls.Dialer{NetDialer: &net.Dialer{Timeout: 10 * time.Second}, Config: cfg}
	c, err := d.Dial("tcp", addr)
	if err != nil {
		return nil, err
	}
	defer c.Close()
	return c.(*tls.Conn).ConnectionState().PeerCertificates[0], nil
}

// certificatesIn returns those whom a client trusts that is given the file.
func certificatesIn(t *testing.T, file string) *x509.CertPool {
	t.Helper()
	pem, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(pem) {
		t.Fatalf("no certificate in %s", file)
	}
	return pool
}

// awaitHealth waits until all-in-one --health says that the process with these settings is ready.
func awaitHealth(t *testing.T, s environment) {
	t.Helper()
	var out []byte
	deadline := time.Now().Add(30 * time.Second)
	for {
		ctx, cancel := context.WithDeadline(t.Context(), deadline)
		health := exec.CommandContext(ctx, binary(t, "all-in-one"), "--health")
		health.Env = os.Environ()
		for k, v := range s {
			health.Env = append(health.Env, k+"="+v)
		}
		var err error
		out, err = health.CombinedOutput()
		cancel()
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%v: %s", err, out)
		}
	}
}

// With TLS=self whoever trusts ca.crt is served, on every address, and who speaks no TLS is told so in his protocol.
func TestOwnCertificate(t *testing.T) {
	t.Parallel()
	dir, s := t.TempDir(), freeAddrs(t)
	web, err := proxytest.FreeAddrs(1)
	if err != nil {
		t.Fatal(err)
	}
	s["AUTH"], s["TLS"], s["MQTT_WS_LISTEN_ADDR"], s["ALLOWED_HOSTS"] = "off", "self", web[0], "telltale.example.com"
	s["MQTT_LISTEN_ADDR"] = strings.Replace(s["MQTT_LISTEN_ADDR"], "127.0.0.1", "", 1) // on every address
	p := start(t, dir, s)
	awaitHealth(t, s)
	ca := filepath.Join(dir, "tls", "ca.crt")
	_, mqtt, _ := net.SplitHostPort(s["MQTT_LISTEN_ADDR"])
	_, api, _ := net.SplitHostPort(s["HTTP_ADDR"])

	trusted := certificatesIn(t, ca)
	for name, addr := range map[string]string{
		"HTTP": s["HTTP_ADDR"], "Kafka": s["KAFKA_LISTEN_ADDR"], "MQTT": "127.0.0.1:" + mqtt, "MQTT over IPv6": "[::1]:" + mqtt, "MQTT by a name": "localhost:" + mqtt, "WebSocket": web[0],
	} {
		if _, err := shownAt(addr, trusted, 0); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	tests := []struct {
		name, command, want string
	}{
		{"a device publishes", "mosquitto_pub --cafile " + ca + " -h localhost -p " + mqtt + ` -q 1 -t sensors/7/data -m '{"temperature": 21.5}' && echo published`, "published"},
		{"one of MQTT 5", "mosquitto_pub -V mqttv5 --cafile " + ca + " -h 127.0.0.1 -p " + mqtt + ` -q 1 -t sensors/7/data -m '{"temperature": 22.5}' && echo published`, "published"},
		{"a program reads", "curl -sf --cacert " + ca + " --retry 50 --retry-delay 1 --retry-all-errors https://localhost:" + api + "/api/devices/7/latest/", `"temperature"`},
		{"by a name that is allowed", "curl -sf --cacert " + ca + " --connect-to ::127.0.0.1: https://telltale.example.com:" + api + "/api/devices/7/latest/", `"temperature"`},
		{"openssl verifies it", "openssl s_client -brief -verify_return_error -CAfile " + ca + " -connect 127.0.0.1:" + api + " </dev/null 2>&1", "Verification: OK"},
		{"who trusts others does not", "curl -s https://127.0.0.1:" + api + "/ 2>&1 || echo $?", "60"},
		{"TLS 1.1 is refused", "openssl s_client -tls1_1 -cipher DEFAULT@SECLEVEL=0 -connect 127.0.0.1:" + mqtt + " </dev/null 2>&1 || true", "alert protocol version"},
		{"MQTT without TLS", "mosquitto_pub -h 127.0.0.1 -p " + mqtt + " -q 1 -t sensors/7/data -m '{}' 2>&1 || true", "not authorised"},
		{"the API without TLS", "curl -si http://127.0.0.1:" + api + "/api/devices/", "401 Unauthorized"},
		{"a page without TLS", "curl -sfL --cacert " + ca + " -o /dev/null -w '%{url_effective} %{http_code}' http://127.0.0.1:" + api + "/?a=b", "https://127.0.0.1:" + api + "/?a=b 200"},
	}
	for _, tt := range tests {
		out, err := exec.CommandContext(t.Context(), "sh", "-c", tt.command).CombinedOutput()
		if err != nil || !strings.Contains(strings.ToLower(string(out)), strings.ToLower(tt.want)) {
			t.Errorf("%s: %v: %s", tt.name, err, out)
		}
	}
	t.Run("tail", func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
		defer cancel()
		tail := exec.CommandContext(ctx, binary(t, "all-in-one"), "tail", "--json", "--api=https://127.0.0.1:"+api, "--ca-file="+ca)
		out, err := tail.StdoutPipe()
		if err != nil || tail.Start() != nil {
			t.Fatal(err)
		}
		lines := bufio.NewScanner(out)
		published := make(chan struct{})
		go func() { // until there is a line, since a tail begins with what comes after it
			defer close(published)
			for ctx.Err() == nil {
				_ = exec.CommandContext(ctx, "mosquitto_pub", "--cafile", ca, "-h", "localhost", "-p", mqtt, "-q", "1", "-t", "sensors/8/data", "-m", `{"temperature": 1}`).Run()
			}
		}()
		if !lines.Scan() || !strings.Contains(lines.Text(), `"device_id":8`) {
			t.Errorf("it printed %q", lines.Text())
		}
		cancel()
		<-published
		_ = tail.Wait()
	})
	if log := p.Log(); strings.Contains(log, "PRIVATE KEY") {
		t.Error("the log has a key")
	}
	before := certificatesIn(t, ca)
	if err := p.Stop(); err != nil {
		t.Fatal(err)
	}
	start(t, dir, s)
	awaitHealth(t, s)
	if _, err := shownAt(s["HTTP_ADDR"], before, 0); err != nil {
		t.Errorf("after the next start: %v", err)
	}
}

// What cannot work is said in a line, before anything is opened.
func TestTLSSettings(t *testing.T) {
	t.Parallel()
	ca, dir := tlsfilestest.New(t), t.TempDir()
	cert, key := ca.Write(t, dir, "server", "localhost")
	other, _ := ca.Write(t, t.TempDir(), "other", "localhost")
	clients := ca.WriteCA(t, dir)
	for name, tt := range map[string]struct {
		program string
		s       environment
		line    string
	}{
		"a word that is none":                {"all-in-one", environment{"TLS": "yes"}, "TLS"},
		"no TLS, and a certificate":          {"all-in-one", environment{"TLS": "off", "HTTP_CERT_FILE": cert, "HTTP_KEY_FILE": key}, "HTTP_CERT_FILE"},
		"no TLS, and one of MQTT":            {"all-in-one", environment{"TLS": "off", "MQTT_LISTEN_CERT_FILE": cert, "MQTT_LISTEN_KEY_FILE": key}, "MQTT_LISTEN_CERT_FILE"},
		"a certificate without its key":      {"all-in-one", environment{"OPS_CERT_FILE": cert}, "OPS_CERT_FILE"},
		"another's key":                      {"all-in-one", environment{"KAFKA_LISTEN_CERT_FILE": other, "KAFKA_LISTEN_KEY_FILE": key}, "KAFKA_LISTEN_CERT_FILE"},
		"no certificate beside the clients'": {"all-in-one", environment{"MQTT_LISTEN_CLIENT_CA_FILE": clients}, "MQTT_LISTEN_CLIENT_CA_FILE"},
		"a service makes no certificates":    {"query-api", environment{"TLS": "self"}, "only all-in-one"},
		"nor does another":                   {"mqtt-bridge", environment{"TLS": "self"}, "only all-in-one"},
		"no TLS, and a certificate of MQTT":  {"mqtt-bridge", environment{"TLS": "off", "MQTT_LISTEN_ADDR": ":0", "MQTT_LISTEN_CERT_FILE": cert, "MQTT_LISTEN_KEY_FILE": key}, "MQTT_LISTEN_CERT_FILE"},
		"passwords in the clear":             {"mqtt-bridge", environment{"AUTH": "on", "MQTT_LISTEN_ADDR": ":0", "KAFKA_BROKERS": "127.0.0.1:1"}, "MQTT_LISTEN_CERT_FILE, or set TLS=off"},
		"tokens in the clear":                {"query-api", environment{"AUTH": "on", "HTTP_ADDR": ":0"}, "HTTP_CERT_FILE, or set TLS=off"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			cmd := exec.CommandContext(t.Context(), binary(t, tt.program))
			cmd.Env = append(os.Environ(), "OPS_ADDR=127.0.0.1:0", "DATA_DIR="+t.TempDir())
			for k, v := range tt.s {
				cmd.Env = append(cmd.Env, k+"="+v)
			}
			out, _ := cmd.CombinedOutput()
			last := out[bytes.LastIndexByte(bytes.TrimSpace(out), '\n')+1:]
			if code := cmd.ProcessState.ExitCode(); code != 2 || !strings.Contains(string(last), tt.line) {
				t.Errorf("exit code %d: %s", code, out)
			}
		})
	}
}
