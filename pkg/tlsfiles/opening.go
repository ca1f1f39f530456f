package tlsfiles

import (
	"errors"
	"net"
)

// ErrNoTLS is of a handshake whose client speaks something else.
var ErrNoTLS = errors.New("the client speaks no TLS")

// recordOfHandshake is the first byte that a client of TLS sends. No packet of MQTT and no request of HTTP begins with it.
const recordOfHandshake = 22

// Opening is a connection under one of TLS, of a server. Its client may speak no TLS: then the handshake fails with
// ErrNoTLS, nothing has been sent, and Plain has what the client says. One goroutine at a time may read.
type Opening struct {
	net.Conn
	looked bool   // at the first byte
	rest   []byte // what was read, and belongs to no TLS
}

// Read fails with ErrNoTLS where no client of TLS would send what comes first.
func (o *Opening) Read(p []byte) (int, error) {
	n, err := o.Conn.Read(p)
	if o.looked || n == 0 {
		return n, err
	}
	o.looked = true
	if p[0] != recordOfHandshake {
		o.rest = append(o.rest, p[:n]...)
		return 0, ErrNoTLS
	}
	return n, err
}

// Plain returns the connection, from the first byte that was sent over it, after ErrNoTLS.
func (o *Opening) Plain() net.Conn { return &plain{Conn: o.Conn, rest: o.rest} }

type plain struct {
	net.Conn
	rest []byte
}

func (c *plain) Read(p []byte) (int, error) {
	if len(c.rest) == 0 {
		return c.Conn.Read(p)
	}
	n := copy(p, c.rest)
	c.rest = c.rest[n:]
	return n, nil
}

// CloseWrite says that nothing more will be sent.
func (c *plain) CloseWrite() error {
	if half, ok := c.Conn.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return errors.ErrUnsupported
}
