package auth

import (
	"fmt"
	"net"
)

// Mode is the setting AUTH.
type Mode string

const (
	Auto Mode = "auto" // a listener on a loopback address is open, every other needs credentials
	On   Mode = "on"   // all need credentials
	Off  Mode = "off"  // none does
	Warn Mode = "warn" // all decide as with On, and let everybody through
)

// UnmarshalText reads a setting.
func (m *Mode) UnmarshalText(text []byte) error {
	switch mode := Mode(text); mode {
	case Auto, On, Off, Warn:
		*m = mode
		return nil
	}
	return fmt.Errorf("must be %s, %s, %s or %s", Auto, On, Off, Warn)
}

// Policy is what a listener does about who shows no credentials.
type Policy int

const (
	Open     Policy = iota // whoever comes may do everything
	Warning                // decides as Required, lets everybody through, and tells who would have been refused
	Required               // refuses
)

// Policy is that of a listener. The listener decides, not who connects: a proxy on the same machine makes all clients local.
// moved says that the site is from before there were accounts.
func (m Mode) Policy(listener net.Addr, moved bool) Policy {
	switch {
	case m == Off, m == Auto && IsLoopback(listener):
		return Open
	case m == Warn, m == Auto && moved:
		return Warning
	default:
		return Required
	}
}

// IsLoopback reports whether only this machine reaches a listener.
func IsLoopback(listener net.Addr) bool {
	tcp, ok := listener.(*net.TCPAddr)
	return ok && tcp.IP.IsLoopback()
}
