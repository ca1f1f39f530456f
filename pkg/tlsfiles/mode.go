package tlsfiles

import "fmt"

// Mode is the setting TLS: what a listener without a certificate in files does.
type Mode string

const (
	Unset Mode = ""
	Self  Mode = "self" // it shows a certificate that the program has made itself
	Off   Mode = "off"  // it speaks no TLS, though passwords may pass
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
