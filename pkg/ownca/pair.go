package ownca

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/telltale-iot/telltale/pkg/internal/dirsync"
)

// epoch is before every clock that is right. Some are in 1970 until they are set: an authority that was made then is good all
// the same.
var epoch = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

func caTemplate(host string, now time.Time) *x509.Certificate {
	first, last := epoch, now
	if now.Before(epoch) {
		first, last = now, epoch
	}
	name := "Telltale CA"
	if host != "" {
		name += " of " + host
	}
	return &x509.Certificate{
		Subject:               pkix.Name{CommonName: name[:min(len(name), 64)]}, // X.520 bounds it
		NotBefore:             first.Add(-backdated),
		NotAfter:              last.Add(caLife),
		KeyUsage:              x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
		BasicConstraintsValid: true,
		IsCA:                  true,
		MaxPathLenZero:        true,
	}
}

func serverTemplate(n names, now time.Time) *x509.Certificate {
	return &x509.Certificate{
		Subject:               pkix.Name{CommonName: "Telltale"},
		NotBefore:             now.Add(-backdated),
		NotAfter:              now.Add(serverLife),
		KeyUsage:              x509.KeyUsageDigitalSignature,
		ExtKeyUsage:           []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		BasicConstraintsValid: true,
		DNSNames:              n.dns,
		IPAddresses:           n.ips,
	}
}

// makePair makes a key, and a certificate for it that ca has signed, or the key itself where ca is nil. text is what is kept.
func makePair(template *x509.Certificate, ca *tls.Certificate) (pair *tls.Certificate, text []byte, err error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, nil, err
	}
	parent, signer := template, any(key)
	if ca != nil {
		parent, signer = ca.Leaf, ca.PrivateKey
	}
	signed, err := x509.CreateCertificate(rand.Reader, template, parent, &key.PublicKey, signer)
	if err != nil {
		return nil, nil, err
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, nil, err
	}
	text = pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private})
	text = append(text, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: signed})...)
	made, err := tls.X509KeyPair(text, text)
	return &made, text, err
}

func readPair(file string) (*tls.Certificate, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	pair, err := tls.X509KeyPair(text, text)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	return &pair, nil
}

func certificatePEM(cert *x509.Certificate) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert.Raw})
}

// replaceFile puts content at path: all of it or, when it fails, nothing.
func replaceFile(path string, content []byte, mode os.FileMode) error {
	temporary := path + ".tmp"
	if err := os.Remove(temporary); err != nil && !errors.Is(err, os.ErrNotExist) { // of a crash, with whatever mode
		return err
	}
	f, err := os.OpenFile(temporary, os.O_WRONLY|os.O_CREATE|os.O_EXCL, mode)
	if err != nil {
		return err
	}
	_, err = f.Write(content)
	if err := errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	if err := os.Rename(temporary, path); err != nil {
		return err
	}
	return dirsync.Sync(filepath.Dir(path))
}

func makeDir(dir string) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	return dirsync.Sync(filepath.Dir(dir))
}
