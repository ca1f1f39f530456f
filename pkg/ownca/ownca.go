package ownca

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/tls"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"time"
)

const (
	caLife     = 10 * 365 * 24 * time.Hour
	serverLife = 365 * 24 * time.Hour // browsers take no certificate of more than 825 days
	// caEnds is how long before its end an authority is replaced: nobody shall find it expired.
	caEnds = 30 * 24 * time.Hour
	// backdated is how much earlier than now a certificate begins to be valid: clocks differ.
	backdated = 24 * time.Hour
	// lookEvery is how often it is looked whether the certificate has to be replaced. A new address is soon in it.
	lookEvery = time.Minute
)

// Authority signs the certificate of the listeners.
type Authority struct {
	dir        string
	hosts      []string // names and addresses that it is given
	interfaces func() ([]net.Addr, error)
	log        *slog.Logger

	ca      *tls.Certificate
	current atomic.Pointer[tls.Certificate] // of the listeners
	failed  string                          // why it could not be replaced, as it was logged
}

// Open opens the authority in dir, which it makes when it is missing, and has a certificate for this machine and hosts.
func Open(dir string, hosts []string, log *slog.Logger) (*Authority, error) {
	a := &Authority{dir: dir, hosts: hosts, interfaces: net.InterfaceAddrs, log: log}
	return a, a.open()
}

func (a *Authority) open() error {
	if err := makeDir(a.dir); err != nil {
		return err
	}
	ca, err := readPair(a.caPair())
	switch {
	case errors.Is(err, fs.ErrNotExist):
	case err != nil:
		return fmt.Errorf("%w: put that file back, or remove it and have clients trust a new CA", err)
	default:
		a.ca = ca
	}
	if server, err := readPair(a.serverPair()); err != nil && !errors.Is(err, fs.ErrNotExist) {
		a.log.Warn("cannot use the certificate from before", "err", err)
	} else if err == nil {
		a.current.Store(server)
	}
	return a.look(time.Now())
}

func (a *Authority) caPair() string     { return filepath.Join(a.dir, "ca.pem") }
func (a *Authority) serverPair() string { return filepath.Join(a.dir, "server.pem") }

// CAFile is what clients have to trust.
func (a *Authority) CAFile() string { return filepath.Join(a.dir, "ca.crt") }

// Fingerprint is the SHA-256 of the authority's certificate, as openssl and browsers show it.
func (a *Authority) Fingerprint() string {
	sum := sha256.Sum256(a.ca.Leaf.Raw)
	return strings.ReplaceAll(fmt.Sprintf("% X", sum[:]), " ", ":")
}

// Server is the configuration of listeners that show the certificate.
func (a *Authority) Server() *tls.Config {
	return &tls.Config{
		GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return a.current.Load(), nil },
		MinVersion:     tls.VersionTLS12,
	}
}

// Run replaces the certificate whenever it has to be, until ctx ends.
func (a *Authority) Run(ctx context.Context) {
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		err := a.look(time.Now())
		switch {
		case err == nil:
			a.failed = ""
		case err.Error() != a.failed:
			a.failed = err.Error()
			a.log.Error("cannot keep the certificate", "err", err)
		}
	}
}

// look replaces what has to be.
func (a *Authority) look(now time.Time) error {
	if a.ca == nil || now.After(a.ca.Leaf.NotAfter.Add(-caEnds)) {
		if err := a.newCA(now); err != nil {
			return err
		}
	}
	if err := a.writeCAFile(); err != nil {
		return err
	}
	names, err := a.names()
	if err != nil {
		return err
	}
	why := a.outdated(now, names)
	if why == "" {
		return nil
	}
	return a.newServer(now, names, why)
}

// outdated says why the certificate has to be replaced; "" is not at all.
func (a *Authority) outdated(now time.Time, n names) string {
	current := a.current.Load()
	switch {
	case current == nil:
		return "there is none"
	case !bytes.Equal(current.Leaf.AuthorityKeyId, a.ca.Leaf.SubjectKeyId):
		return "the authority is another"
	case now.Before(current.Leaf.NotBefore):
		return "it is not valid yet"
	case current.Leaf.NotAfter.Sub(now) < current.Leaf.NotAfter.Sub(current.Leaf.NotBefore)/3:
		return "it expires"
	case !n.within(current.Leaf):
		return "it is not for a name or an address of this machine"
	}
	return ""
}

func (a *Authority) newCA(now time.Time) error {
	host, _ := os.Hostname()
	ca, text, err := makePair(caTemplate(host, now), nil)
	if err != nil {
		return err
	}
	if err := replaceFile(a.caPair(), text, 0o600); err != nil {
		return err
	}
	if a.ca == nil {
		a.log.Info("made a certificate authority", "file", a.CAFile(), "valid_until", ca.Leaf.NotAfter)
	} else {
		a.log.Warn("made a new certificate authority, since the one before expires: clients have to trust it", "file", a.CAFile(), "valid_until", ca.Leaf.NotAfter)
	}
	a.ca = ca
	return nil
}

// writeCAFile has the file for clients hold the authority's certificate, also after a crash between the two.
func (a *Authority) writeCAFile() error {
	want := certificatePEM(a.ca.Leaf)
	if has, err := os.ReadFile(a.CAFile()); err == nil && string(has) == string(want) {
		return nil
	}
	return replaceFile(a.CAFile(), want, 0o644)
}

func (a *Authority) newServer(now time.Time, n names, why string) error {
	template := serverTemplate(n, now)
	if template.NotAfter.After(a.ca.Leaf.NotAfter) {
		template.NotAfter = a.ca.Leaf.NotAfter
	}
	server, text, err := makePair(template, a.ca)
	if err != nil {
		return err
	}
	a.current.Store(server) // also where it cannot be written: the next start makes another
	a.log.Info("made a certificate", "why", why, "names", n.dns, "addresses", n.ips, "valid_until", server.Leaf.NotAfter)
	return replaceFile(a.serverPair(), text, 0o600)
}
