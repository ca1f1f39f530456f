// Package tlsfiles makes TLS configurations from PEM files that may be replaced while the process runs, as
// certificates that expire are. What is in the files when a connection is opened is what that connection
// uses; connections that are open stay as they are.
//
// A client whose files cannot be read opens no connection, and the error names the file. A server that has
// started goes on with the certificate it has, and says so in the log.
package tlsfiles

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"os"
)

// Files are the settings of a client: PEM files, each of which may be left out.
type Files struct {
	CA   string `env:"CA_FILE" help:"PEM file of the authorities that may have signed the server's certificate, instead of those the system trusts."`
	Cert string `env:"CERT_FILE" help:"PEM file of the certificate that this client shows, with those it was signed by."`
	Key  string `env:"KEY_FILE" help:"PEM file of that certificate's private key."`
}

// Client returns the configuration of one connection to the server of that name, a host name or an IP
// address. It reads the files: call it for each connection.
func (f Files) Client(server string) (*tls.Config, error) {
	cfg := &tls.Config{ServerName: server, MinVersion: tls.VersionTLS12}
	if f.CA != "" {
		pem, err := os.ReadFile(f.CA)
		if err != nil {
			return nil, fmt.Errorf("read CA certificates: %w", err)
		}
		cfg.RootCAs = x509.NewCertPool()
		if !cfg.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("read CA certificates: there is none in %s", f.CA)
		}
	}
	if (f.Cert == "") != (f.Key == "") {
		return nil, errors.New("a certificate file and a key file must be given together")
	}
	if f.Cert != "" {
		p, err := readPair(f.Cert, f.Key)
		if err != nil {
			return nil, err
		}
		cert, err := p.certificate()
		if err != nil {
			return nil, err
		}
		cfg.Certificates = []tls.Certificate{*cert}
	}
	return cfg, nil
}

// pair is a certificate and its key as they are in their files.
type pair struct {
	certFile, keyFile string
	cert, key         []byte
}

func readPair(certFile, keyFile string) (pair, error) {
	cert, err := os.ReadFile(certFile)
	if err != nil {
		return pair{}, fmt.Errorf("read certificate: %w", err)
	}
	key, err := os.ReadFile(keyFile)
	if err != nil {
		return pair{}, fmt.Errorf("read private key: %w", err)
	}
	return pair{certFile: certFile, keyFile: keyFile, cert: cert, key: key}, nil
}

func (p pair) certificate() (*tls.Certificate, error) {
	cert, err := tls.X509KeyPair(p.cert, p.key)
	if err != nil {
		return nil, fmt.Errorf("certificate in %s with key in %s: %w", p.certFile, p.keyFile, err)
	}
	return &cert, nil
}
