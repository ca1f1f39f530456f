package tlsfiles

import (
	"bytes"
	"crypto/tls"
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
