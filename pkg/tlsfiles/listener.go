package tlsfiles

import (
	"crypto/tls"
	"log/slog"

	"github.com/telltale-iot/telltale/pkg/settings"
)

// Listener are the settings of what listens: the certificate that it shows. Without one it speaks no TLS.
type Listener struct {
	Cert string `env:"CERT_FILE" help:"PEM file of the certificate to show, with its intermediate certificates: clients connect with TLS then."`
	Key  string `env:"KEY_FILE" help:"PEM file of that certificate's private key."`
}

// Set reports whether a file is named.
func (l Listener) Set() bool { return l != Listener{} }

// Validate returns a *settings.Error when the files cannot be used.
func (l Listener) Validate() error {
	if _, err := l.Config(slog.New(slog.DiscardHandler)); err != nil {
		return &settings.Error{Variable: "CERT_FILE", Value: l.Cert, Err: err}
	}
	return nil
}

// Config is what Server returns for the files, or nil without them.
func (l Listener) Config(log *slog.Logger) (*tls.Config, error) {
	if !l.Set() {
		return nil, nil
	}
	if l.Cert == "" || l.Key == "" {
		return nil, errNotTogether
	}
	return Server(l.Cert, l.Key, log)
}
