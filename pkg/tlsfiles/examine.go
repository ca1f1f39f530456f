package tlsfiles

import (
	"context"
	"crypto/x509"
	"time"

	"github.com/telltale-iot/telltale/pkg/doctor"
)

// Examine looks when the certificate ends that the listener shows, whose settings begin with prefix. Without files there is no check.
func (l Listener) Examine(prefix string) []doctor.Check {
	if !l.Set() {
		return nil
	}
	return []doctor.Check{{Part: prefix + "CERT_FILE", Look: func(context.Context) []doctor.Finding {
		p, err := readPair(l.Cert, l.Key)
		if err != nil {
			return doctor.Fail(err.Error(), "correct "+prefix+"CERT_FILE and "+prefix+"KEY_FILE")
		}
		cert, err := p.certificate()
		if err != nil {
			return doctor.Fail(err.Error(), "give both of one pair")
		}
		leaf, err := x509.ParseCertificate(cert.Certificate[0])
		if err != nil {
			return doctor.Fail(err.Error(), "make another certificate")
		}
		return doctor.Expiry(l.Cert, leaf.NotAfter, time.Now())
	}}}
}
