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
	k := &keeper{log: log, read: read, cert: cert}
	return &tls.Config{GetCertificate: k.certificate, MinVersion: tls.VersionTLS12}, nil
}

// keeper has the certificate of a server.
type keeper struct {
	log *slog.Logger

	mu   sync.Mutex
	read pair             // what the files last held
	cert *tls.Certificate // the newest that was whole
	bad  string           // why the files cannot be used, as it was logged
}

func (k *keeper) certificate(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	now, err := readPair(k.read.certFile, k.read.keyFile)
	if err == nil && bytes.Equal(now.cert, k.read.cert) && bytes.Equal(now.key, k.read.key) {
		return k.cert, nil
	}
	var cert *tls.Certificate
	if err == nil {
		k.read = now
		cert, err = now.certificate()
	}
	if err != nil {
		if k.bad != err.Error() {
			k.bad = err.Error()
			k.log.Error("cannot use the new certificate, going on with the one before", "err", err)
		}
		return k.cert, nil
	}
	k.cert, k.bad = cert, ""
	k.log.Info("took the new certificate", "file", now.certFile, "valid_until", cert.Leaf.NotAfter)
	return cert, nil
}

// RequireClients makes cfg, of a server, refuse clients that show no certificate which one of the
// authorities in caFile has signed. It looks at the file at each new connection. While there is no
// certificate in it, those authorities count that were in it before.
func RequireClients(cfg *tls.Config, caFile string, log *slog.Logger) error {
	clients, err := Authorities(caFile)
	if err != nil {
		return err
	}
	cfg.ClientAuth, cfg.ClientCAs = tls.RequireAndVerifyClientCert, clients
	k := &clientAuthorities{log: log, file: caFile, cfg: cfg.Clone()}
	cfg.GetConfigForClient = k.config
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

func (k *clientAuthorities) config(*tls.ClientHelloInfo) (*tls.Config, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	now, err := Authorities(k.file)
	switch {
	case err != nil:
		if k.bad != err.Error() {
			k.bad = err.Error()
			k.log.Error("cannot use the new authorities of clients, going on with those before", "err", err)
		}
	case !now.Equal(k.cfg.ClientCAs):
		k.cfg, k.bad = k.cfg.Clone(), ""
		k.cfg.ClientCAs = now
		k.log.Info("took the new authorities of clients", "file", k.file)
	default:
		k.bad = ""
	}
	return k.cfg, nil
}
