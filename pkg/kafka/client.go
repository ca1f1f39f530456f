package kafka

import (
	"context"
	"fmt"
	"net"
	"sync"

	"github.com/IBM/sarama"
)

// Client is a client of sarama's. Its calls take no context: closing the connections that they wait on is the way to
// end them in time.
type Client struct {
	sarama.Client
	dialer *dialer
}

// NewClient returns a client that asks nothing of Kafka yet. Its retries are the caller's, who knows when to stop and
// what to log.
func NewClient(cfg Config) (*Client, error) {
	return newClient(cfg, clientConfig(cfg))
}

func newClient(cfg Config, config *sarama.Config) (*Client, error) {
	d := newDialer(cfg)
	config.Net.Proxy.Enable = true // not a proxy: the way to a dialer of one's own
	config.Net.Proxy.Dialer = d    // which speaks TLS, too
	client, err := sarama.NewClient(cfg.Brokers, config)
	if err != nil {
		return nil, fmt.Errorf("configure client: %w", err)
	}
	return &Client{client, d}, nil
}

// Disconnect ends all calls: it closes every connection, and opens no more.
func (c *Client) Disconnect() { c.dialer.closeAll() }

// Close is Disconnect, and gives up what the client has.
func (c *Client) Close() error {
	c.Disconnect()
	return c.Client.Close()
}

// dialer opens sarama's connections and can close them all.
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
	if err := d.add(c); err != nil {
		return nil, err
	}
	if !d.security.TLS {
		return c, nil
	}
	ctx, cancel := context.WithTimeout(d.ctx, dialTimeout)
	defer cancel()
	return d.security.Files.Handshake(ctx, c, addr)
}

func (d *dialer) add(c *conn) error {
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
