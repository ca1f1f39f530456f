package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"maps"
	"net"
	"os"
	"os/exec"
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
