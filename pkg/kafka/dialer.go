package kafka

import (
	"context"
	"net"
	"sync"
)

// dialer opens sarama's connections and can close them all. sarama's calls take no context: closing what
// they wait on is the way to end them in time.
type dialer struct {
	security Security
	dial     func(ctx context.Context, network, addr string) (net.Conn, error)
	ctx      context.Context
	stop     context.CancelFunc

	mu    sync.Mutex
	conns map[*conn]struct{}
}

func newDialer(cfg Config) *dialer {
	d := &dialer{security: cfg.Security, dial: cfg.Dial, conns: map[*conn]struct{}{}}
	if d.dial == nil {
		d.dial = (&net.Dialer{Timeout: dialTimeout}).DialContext
	}
	d.ctx, d.stop = context.WithCancel(context.Background())
	return d
}

// Dial opens a connection, as the proxy.Dialer that sarama asks for.
func (d *dialer) Dial(network, addr string) (net.Conn, error) {
	nc, err := d.dial(d.ctx, network, addr)
	if err != nil {
		return nil, err
	}
	c := &conn{Conn: nc, dialer: d}
	if err := d.keep(c); err != nil {
		return nil, err
	}
	if !d.security.TLS {
		return c, nil
	}
	ctx, cancel := context.WithTimeout(d.ctx, dialTimeout)
	defer cancel()
	return d.security.Files.Handshake(ctx, c, addr)
}

func (d *dialer) keep(c *conn) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if err := d.ctx.Err(); err != nil {
		_ = c.Conn.Close()
		return err
	}
	d.conns[c] = struct{}{}
	return nil
}

// closeAll closes every connection and opens no more.
func (d *dialer) closeAll() {
	d.stop()
	d.mu.Lock()
	defer d.mu.Unlock()
	for c := range d.conns {
		_ = c.Conn.Close()
	}
	clear(d.conns)
}

// conn is a connection that its dialer knows while it is open.
type conn struct {
	net.Conn
	dialer *dialer
}

func (c *conn) Close() error {
	c.dialer.mu.Lock()
	delete(c.dialer.conns, c)
	c.dialer.mu.Unlock()
	return c.Conn.Close()
}
