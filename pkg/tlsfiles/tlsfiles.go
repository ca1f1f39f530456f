// Package tlsfiles makes TLS configurations from PEM files that may be replaced while the process runs, as
// certificates that expire are. What is in the files when a connection is opened is what that connection
// uses; connections that are open stay as they are.
//
// A client whose files cannot be read opens no connection, and the error names the file. A server that has
// started goes on with the certificate it has, and says so in the log.
package tlsfiles

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"os"

	"github.com/telltale-iot/telltale/pkg/settings"
)

// Files are the settings of a client: PEM files, each of which may be left out.
type Files struct {
	CA   string `env:"CA_FILE" help:"PEM file of the certificate authorities to trust instead of the system's."`
	Cert string `env:"CERT_FILE" help:"PEM file of the client certificate to present, with its intermediate certificates."`
	Key  string `env:"KEY_FILE" help:"PEM file of the client certificate's private key."`
}

// Set reports whether any file is named.
func (f Files) Set() bool { return f != Files{} }

// Validate returns a *settings.Error when the files cannot be used.
func (f Files) Validate() error {
	if _, err := f.roots(); err != nil {
		return &settings.Error{Variable: "CA_FILE", Value: f.CA, Err: err}
	}
	if _, err := f.certificates(); err != nil {
		return &settings.Error{Variable: "CERT_FILE", Value: f.Cert, Err: err}
	}
	return nil
}

// Handshake makes conn a TLS connection to the server at addr, which is host:port. It closes conn when that
// fails.
func (f Files) Handshake(ctx context.Context, conn net.Conn, addr string) (net.Conn, error) {
	host, _, err := net.SplitHostPort(addr)
	if err != nil {
		_ = conn.Close()
		return nil, err
	}
	cfg, err := f.Client(host)
	if err != nil {
		_ = conn.Close()
		return nil, err
	}
	secured := tls.Client(conn, cfg)
	if err := secured.HandshakeContext(ctx); err != nil {
		_ = conn.Close()
		return nil, fmt.Errorf("TLS to %s: %w", addr, err)
	}
	return secured, nil
}

// Client returns the configuration of one connection to the server of that name, a host name or an IP
// address. It reads the files: call it for each connection.
func (f Files) Client(server string) (*tls.Config, error) {
	roots, err := f.roots()
	if err != nil {
		return nil, err
	}
	certificates, err := f.certificates()
	if err != nil {
		return nil, err
	}
	return &tls.Config{ServerName: server, RootCAs: roots, Certificates: certificates, MinVersion: tls.VersionTLS12}, nil
}

var errNotTogether = errors.New("a certificate file and a key file must be given together")

// roots is nil, which means the system's, when no CA file is named.
func (f Files) roots() (*x509.CertPool, error) {
	if f.CA == "" {
		return nil, nil
	}
	pem, err := os.ReadFile(f.CA)
	if err != nil {
		return nil, fmt.Errorf("read CA certificates: %w", err)
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("read CA certificates: there is none in %s", f.CA)
	}
	return roots, nil
}

func (f Files) certificates() ([]tls.Certificate, error) {
	if (f.Cert == "") != (f.Key == "") {
		return nil, errNotTogether
	}
	if f.Cert == "" {
		return nil, nil
	}
	p, err := readPair(f.Cert, f.Key)
	if err != nil {
		return nil, err
	}
	cert, err := p.certificate()
	if err != nil {
		return nil, err
	}
	return []tls.Certificate{*cert}, nil
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
