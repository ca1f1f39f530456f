package tlsfiles

import (
	"errors"
	"fmt"
	"net"

	"github.com/telltale-iot/telltale/pkg/settings"
)

// Mode is the setting TLS: what listeners do for which no certificate is given.
type Mode string

const (
	Unset Mode = ""
	Self  Mode = "self" // they show a certificate that the program has made itself
	Off   Mode = "off"  // they speak no TLS, though passwords may pass
)

// UnmarshalText reads a setting.
func (m *Mode) UnmarshalText(text []byte) error {
	switch mode := Mode(text); mode {
	case Self, Off:
		*m = mode
		return nil
	}
	return fmt.Errorf("must be %s or %s", Self, Off)
}

// Check returns a *settings.Error where files are given, by the setting variable, and Off says that they are of no use.
func (m Mode) Check(variable string, files Listener) error {
	if m == Off && files.Set() {
		return &settings.Error{Variable: variable, Value: files.Cert, Err: errors.New("is of no use with TLS=off")}
	}
	return nil
}

// ErrInClear returns a *settings.Error for a listener by which passwords and tokens would pass a network in the clear. It is on the
// address in the setting of variable, and the setting cert would name its certificate.
func ErrInClear(listener net.Addr, variable, cert string) error {
	return &settings.Error{Variable: variable, Value: listener.String(), Err: errors.New(
		"passwords and tokens would pass the network in the clear: name a certificate by " + cert + ", or set TLS=off where what is in front speaks TLS")}
}

// Word is the setting TLS of a service that makes no certificates.
type Word struct {
	TLS Mode `env:"TLS" help:"off: without a certificate, take passwords and tokens from other machines in the clear, as where a proxy in front speaks TLS."`
}

// Validate returns a *settings.Error for what only all-in-one does.
func (w Word) Validate() error {
	if w.TLS == Self {
		return &settings.Error{Variable: "TLS", Value: string(w.TLS), Err: errors.New("only all-in-one makes certificates: give one by …_CERT_FILE and …_KEY_FILE, or set it to off")}
	}
	return nil
}
