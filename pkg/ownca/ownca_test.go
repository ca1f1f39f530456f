package ownca

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

func ip(text string) net.Addr { return &net.IPNet{IP: net.ParseIP(text), Mask: net.CIDRMask(24, 32)} }

// open opens an authority for a machine with these addresses.
func open(t *testing.T, dir string, log *bytes.Buffer, addrs ...net.Addr) *Authority {
	t.Helper()
	a := &Authority{
		dir: dir, hosts: []string{"telltale.example.com", "203.0.113.9"}, log: slog.New(slog.NewTextHandler(log, nil)),
		interfaces: func() ([]net.Addr, error) { return addrs, nil },
	}
	if err := a.open(); err != nil {
		t.Fatal(err)
	}
	return a
}

// shown is the certificate that a client gets who trusts the file, and asks for each of names at that time.
func shown(t *testing.T, a *Authority, at time.Time, names ...string) *x509.Certificate {
	t.Helper()
	pem, err := os.ReadFile(a.CAFile())
	if err != nil {
		t.Fatal(err)
	}
	trusted := x509.NewCertPool()
	trusted.AppendCertsFromPEM(pem)
	cert, err := a.Server().GetCertificate(nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		if _, err := cert.Leaf.Verify(x509.VerifyOptions{DNSName: name, Roots: trusted, CurrentTime: at}); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	return cert.Leaf
}

func TestClient(t *testing.T) {
	host, err := os.Hostname()
	if err != nil {
		t.Fatal(err)
	}
	dir, log := filepath.Join(t.TempDir(), "tls"), new(bytes.Buffer)
	a := open(t, dir, log, ip("127.0.0.1"), ip("192.0.2.7"), ip("2001:db8::7"), ip("fe80::1"))
	cert := shown(t, a, time.Now(), "localhost", host, "telltale.example.com", "127.0.0.1", "192.0.2.7", "2001:db8::7", "203.0.113.9")
	if cert.VerifyHostname("fe80::1") == nil {
		t.Error("it is for an address that is one on a single link")
	}
	if life := cert.NotAfter.Sub(cert.NotBefore); life > 398*24*time.Hour {
		t.Errorf("browsers do not take a certificate of %v", life)
	}

	again := open(t, dir, log, ip("127.0.0.1"), ip("192.0.2.7"))
	if !shown(t, again, time.Now()).Equal(cert) || again.Fingerprint() != a.Fingerprint() {
		t.Error("the next start has another one")
	}
	if n := strings.Count(a.Fingerprint(), ":"); n != 31 {
		t.Errorf("the fingerprint is %s", a.Fingerprint())
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	modes := ""
	for _, e := range entries {
		info, err := e.Info()
		if err != nil {
			t.Fatal(err)
		}
		modes += fmt.Sprintf("%s %v\n", e.Name(), info.Mode())
	}
	if want := "ca.crt -rw-r--r--\nca.pem -rw-------\nserver.pem -rw-------\n"; modes != want {
		t.Errorf("the files are\n%swant\n%s", modes, want)
	}
	if strings.Contains(log.String(), "PRIVATE") {
		t.Errorf("the log has the key: %s", log)
	}
}

func TestRenewal(t *testing.T) {
	const day = 24 * time.Hour
	addrs := []net.Addr{ip("192.0.2.7")}
	log := new(bytes.Buffer)
	a := open(t, t.TempDir(), log, addrs...)
	a.interfaces = func() ([]net.Addr, error) { return addrs, nil }
	start, authority, last := time.Now(), a.Fingerprint(), a.current.Load().Leaf
	steps := []struct {
		name   string
		after  time.Duration // since the start
		do     func()
		again  bool // there is a new certificate
		anewCA bool
	}{
		{"nothing", day, func() {}, false, false},
		{"more than a third is left", 240 * day, func() {}, false, false},
		{"a third is left", 246 * day, func() {}, true, false},
		{"an address came", 247 * day, func() { addrs = append(addrs, ip("192.0.2.8")) }, true, false},
		{"an address went", 248 * day, func() { addrs = addrs[:1] }, false, false},
		{"the name is allowed", 249 * day, func() { a.hosts = append(a.hosts, "pi.example.com") }, true, false},
		{"the clock is set back", -2 * day, func() {}, true, false},
		{"it was off for years", 9 * 365 * day, func() {}, true, false},
		{"the authority ends soon", 10*365*day - 31*day, func() {}, true, false},
		{"the authority ends", 10*365*day - 29*day, func() {}, true, true},
		{"the one after it is good", 10*365*day + 100*day, func() {}, false, false},
	}
	for _, s := range steps {
		s.do()
		now := start.Add(s.after)
		if err := a.look(now); err != nil {
			t.Fatal(err)
		}
		cert := shown(t, a, now, "192.0.2.7", "localhost")
		if again := !cert.Equal(last); again != s.again {
			t.Errorf("%s: a new certificate: %v", s.name, again)
		}
		if anew := a.Fingerprint() != authority; anew != s.anewCA {
			t.Errorf("%s: a new authority: %v", s.name, anew)
		}
		last, authority = cert, a.Fingerprint()
		if err := a.look(now); err != nil || !a.current.Load().Leaf.Equal(last) {
			t.Errorf("%s: it is replaced again and again: %v", s.name, err)
		}
	}
	if !strings.Contains(log.String(), "level=WARN msg=\"made a new certificate authority") {
		t.Errorf("nobody is told to trust the new authority: %s", log)
	}
}

func TestRun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := new(bytes.Buffer)
		a := open(t, t.TempDir(), log, ip("192.0.2.7"))
		var failing atomic.Bool
		a.interfaces = func() ([]net.Addr, error) {
			if failing.Load() {
				return nil, errors.New("no interfaces")
			}
			return []net.Addr{ip("192.0.2.8")}, nil
		}
		ctx, stop := context.WithCancel(t.Context())
		ended := make(chan struct{})
		go func() { a.Run(ctx); close(ended) }()
		time.Sleep(lookEvery + time.Second)
		shown(t, a, time.Now(), "192.0.2.8")
		failing.Store(true)
		time.Sleep(3 * lookEvery)
		stop()
		<-ended
		if n := strings.Count(log.String(), "no interfaces"); n != 1 {
			t.Errorf("it is logged %d times: %s", n, log)
		}
	})
}

// Whatever is left by a crash between two writes, the next start goes on from it.
func TestCrash(t *testing.T) {
	for name, leave := range map[string]func(dir string) error{
		"the file for clients is missing": func(dir string) error { return os.Remove(filepath.Join(dir, "ca.crt")) },
		"it is of the authority before":   func(dir string) error { return os.WriteFile(filepath.Join(dir, "ca.crt"), []byte("old"), 0o644) },
		"there is no certificate yet":     func(dir string) error { return os.Remove(filepath.Join(dir, "server.pem")) },
		"half a file was written": func(dir string) error {
			return os.WriteFile(filepath.Join(dir, "server.pem.tmp"), []byte("half"), 0o600)
		},
		"a certificate is damaged": func(dir string) error { return os.WriteFile(filepath.Join(dir, "server.pem"), []byte("?"), 0o600) },
	} {
		t.Run(name, func(t *testing.T) {
			dir, log := t.TempDir(), new(bytes.Buffer)
			authority := open(t, dir, log, ip("192.0.2.7")).Fingerprint()
			if err := leave(dir); err != nil {
				t.Fatal(err)
			}
			a := open(t, dir, log, ip("192.0.2.7"))
			shown(t, a, time.Now(), "192.0.2.7")
			if a.Fingerprint() != authority {
				t.Error("clients have to trust another authority")
			}
		})
	}
	t.Run("a damaged authority is nothing to go on from", func(t *testing.T) {
		dir, log := t.TempDir(), new(bytes.Buffer)
		open(t, dir, log)
		if err := os.WriteFile(filepath.Join(dir, "ca.pem"), []byte("?"), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := Open(dir, nil, slog.New(slog.DiscardHandler)); err == nil || !strings.Contains(err.Error(), "ca.pem") {
			t.Errorf("%v", err)
		}
	})
}

// A certificate that cannot be written is shown all the same.
func TestFullDisk(t *testing.T) {
	dir, log := t.TempDir(), new(bytes.Buffer)
	a := open(t, dir, log, ip("192.0.2.7"))
	if err := errors.Join(os.Mkdir(filepath.Join(dir, "server.pem.tmp"), 0o700), os.WriteFile(filepath.Join(dir, "server.pem.tmp", "x"), nil, 0o600)); err != nil {
		t.Fatal(err)
	}
	later := time.Now().Add(serverLife)
	if err := a.look(later); err == nil {
		t.Error("nobody learns of it")
	}
	shown(t, a, later, "192.0.2.7")
}

// A machine whose clock is not set yet makes an authority that is good once it is set, and has a good certificate soon after.
func TestClockThatIsNotSet(t *testing.T) {
	a := &Authority{dir: t.TempDir(), interfaces: func() ([]net.Addr, error) { return nil, nil }, log: slog.New(slog.DiscardHandler)}
	begin := time.Date(1970, 1, 1, 0, 1, 0, 0, time.UTC)
	if err := a.look(begin); err != nil {
		t.Fatal(err)
	}
	shown(t, a, begin, "localhost")
	authority, now := a.Fingerprint(), time.Now()
	if err := a.look(now); err != nil {
		t.Fatal(err)
	}
	shown(t, a, now, "localhost")
	if a.Fingerprint() != authority {
		t.Error("the authority is another one")
	}
}

func TestManyAddresses(t *testing.T) {
	var addrs []net.Addr
	for i := range 1000 {
		addrs = append(addrs, ip(fmt.Sprintf("10.0.%d.%d", i/250, i%250)))
	}
	a := open(t, t.TempDir(), new(bytes.Buffer), addrs...)
	cert := shown(t, a, time.Now(), "telltale.example.com", "10.0.0.7")
	if n := len(cert.DNSNames) + len(cert.IPAddresses); n != MaxNames {
		t.Errorf("it is for %d names", n)
	}
}

func TestVersions(t *testing.T) {
	if a := open(t, t.TempDir(), new(bytes.Buffer)); a.Server().MinVersion != tls.VersionTLS12 {
		t.Error("old versions of TLS are spoken")
	}
}
