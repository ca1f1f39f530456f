package auth

import "net"

// InClear reports whether passwords and tokens would pass a network by a listener that speaks no TLS. It asks moved, which
// may wait, only where that decides.
func (m Mode) InClear(listener net.Addr, moved func() (bool, error)) (bool, error) {
	required := func(moved bool) bool { return m.Policy(listener, moved) == Required && !IsLoopback(listener) }
	if required(true) || !required(false) {
		return required(true), nil
	}
	is, err := moved()
	return required(is), err
}
