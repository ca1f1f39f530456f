package tlsfiles

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"log/slog"
	"sync"
)

// Server returns the configuration of a server that shows the certificate in certFile, whose private key is
// in keyFile. It looks at the files at each new connection. While what they hold is no such pair, as it may
// be for a moment when they are replaced one by one, the server goes on with the pair before.
func Server(certFile, keyFile string, log *slog.Logger) (*tls.Config, error) {
	read, err := readPair(certFile, keyFile)
	if err != nil {
		return nil, err
	}
	cert, err := read.certificate()
	if err != nil {
		return nil, err
	}
	c := &serverCertificate{log: log, read: read, cert: cert}
	return &tls.Config{GetCertificate: c.certificate, MinVersion: tls.VersionTLS12}, nil
}

// serverCertificate is the certificate of a server, read again when its files change.
type serverCertificate struct {
	log *slog.Logger

	mu   sync.Mutex
	read pair             // what the files last held
	cert *tls.Certificate // the newest that was whole
	bad  string           // why the files cannot be used, as it was logged
}

func (c *serverCertificate) certificate(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	now, err := readPair(c.read.certFile, c.read.keyFile)
	if err == nil && bytes.Equal(now.cert, c.read.cert) && bytes.Equal(now.key, c.read.key) {
		return c.cert, nil
	}
	var cert *tls.Certificate
	if err == nil {
		c.read = now
		cert, err = now.certificate()
	}
	if err != nil {
		if c.bad != err.Error() {
			c.bad = err.Error()
			c.log.Error("cannot use the new certificate, going on with the one before", "err", err)
		}
		return c.cert, nil
	}
	c.cert, c.bad = cert, ""
	c.log.Info("took the new certificate", "file", now.certFile, "valid_until", cert.Leaf.NotAfter)
	return cert, nil
}

// VerifyClients makes cfg, of a server, refuse clients that show a certificate which none of the authorities in caFile
// has signed and, where required, those that show none. It looks at the file at each new connection. While there is no
// certificate in it, those authorities count that were in it before.
func VerifyClients(cfg *tls.Config, required bool, caFile string, log *slog.Logger) error {
	clients, err := Authorities(caFile)
	if err != nil {
		return err
	}
	cfg.ClientAuth, cfg.ClientCAs = tls.VerifyClientCertIfGiven, clients
	if required {
		cfg.ClientAuth = tls.RequireAndVerifyClientCert
	}
	a := &clientAuthorities{log: log, file: caFile, cfg: cfg.Clone()}
	cfg.GetConfigForClient = a.config
	return nil
}

// Authorities returns those whose certificates are in file.
func Authorities(file string) (*x509.CertPool, error) {
	if file == "" {
		return nil, errors.New("read CA certificates: no file is named")
	}
	return Files{CA: file}.roots()
}

// clientAuthorities has the authorities that a server trusts to have signed its clients' certificates.
type clientAuthorities struct {
	log  *slog.Logger
	file string

	mu  sync.Mutex
	cfg *tls.Config // with the newest authorities; in use by connections, and not changed
	bad string      // why the file cannot be used, as it was logged
}

func (a *clientAuthorities) config(*tls.ClientHelloInfo) (*tls.Config, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	now, err := Authorities(a.file)
	switch {
	case err != nil:
		if a.bad != err.Error() {
			a.bad = err.Error()
			a.log.Error("cannot use the new authorities of clients, going on with those before", "err", err)
		}
	case !now.Equal(a.cfg.ClientCAs):
		a.cfg, a.bad = a.cfg.Clone(), ""
		a.cfg.ClientCAs = now
		a.log.Info("took the new authorities of clients", "file", a.file)
	default:
		a.bad = ""
	}
	return a.cfg, nil
}
