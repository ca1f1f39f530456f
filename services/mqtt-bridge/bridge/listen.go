package bridge

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"math"
	"net"
	"runtime/debug"
	"sync"
	"time"

	mochi "github.com/mochi-mqtt/server/v2"
	"github.com/mochi-mqtt/server/v2/packets"

	"github.com/telltale-iot/telltale/pkg/tlsfiles"
)

const (
	// connectTimeout is how long a connection may take to send its CONNECT.
	connectTimeout = 10 * time.Second
	// connecting is how many connections beyond the limit may be at that stage. Further ones wait to be
	// accepted.
	connecting = 64
	// acceptPause is how long is waited when a connection cannot be accepted: for lack of file
	// descriptors, most likely, so that others must end first.
	acceptPause = time.Second
	// sessionExpiry is how long a session is kept whose device is away, at most: its subscriptions, and
	// the QoS 2 messages that it has not released.
	sessionExpiry = time.Hour
	// outbound is how many messages may wait for one subscriber; more are dropped.
	outbound = 256
	// readBuffer holds some 20 readings, for each connection.
	readBuffer = 4096
	// topicAliases is how many topics an MQTT 5 client may abbreviate.
	topicAliases = 16
	// goodbyeTime is how long devices may take to read the last that is sent to them.
	goodbyeTime = time.Second
)

// endpoint is the source for which the bridge is itself what devices connect to. mochi speaks the
// protocol; the endpoint is its one hook (see hook.go), which takes all messages over.
type endpoint struct {
	mochi.HookBase
	pipe   *pipeline
	server *mochi.Server
	stop   <-chan struct{} // closed when the bridge stops
	max    uint32          // bytes in a packet
	tls    *tls.Config     // nil without TLS
	wills  *line           // they are of no session any more; it never has a connection

	mu       sync.Mutex
	conns    map[*conn]*mochi.Client // nil until its session is established
	sessions map[string]*line        // by client id
}

func (b *Bridge) listen(ctx context.Context, pipe *pipeline) error {
	defer func() { _ = b.Listener.Close() }()
	e, err := newEndpoint(b.Config, pipe, ctx.Done())
	if err != nil {
		return err
	}
	if err := e.server.Serve(); err != nil {
		return fmt.Errorf("start the MQTT endpoint: %w", err)
	}
	b.setStatus(nil)
	b.Log.Info("listening for MQTT", "addr", b.Listener.Addr().String(), "tls", e.tls != nil)

	defer context.AfterFunc(ctx, func() { _ = b.Listener.Close() })()
	var serving sync.WaitGroup
	err = e.accept(b.Listener, b.Config.MaxConnections+connecting, &serving, b.setStatus)
	if ctx.Err() != nil {
		err = nil
	}
	b.setStatus(errors.New("stopping"))
	pipe.drain()
	e.disconnectAll(&serving)
	return errors.Join(err, e.server.Close())
}

func newEndpoint(cfg Config, pipe *pipeline, stop <-chan struct{}) (*endpoint, error) {
	e := &endpoint{
		pipe: pipe, stop: stop, max: uint32(cfg.MaxPacketBytes), wills: newLine(pipe.metrics, nil),
		conns: make(map[*conn]*mochi.Client), sessions: make(map[string]*line),
	}
	if err := e.secure(cfg); err != nil {
		return nil, err
	}
	capabilities := mochi.NewDefaultServerCapabilities()
	capabilities.MaximumClients = int64(cfg.MaxConnections)
	capabilities.MaximumClientWritesPending = outbound
	capabilities.MaximumSessionExpiryInterval = uint32(sessionExpiry / time.Second)
	capabilities.MaximumPacketSize = e.max
	capabilities.ReceiveMaximum = maxUnanswered
	capabilities.TopicAliasMaximum = topicAliases
	e.server = mochi.New(&mochi.Options{
		Capabilities:            capabilities,
		ClientNetReadBufferSize: readBuffer,
		Logger:                  slog.New(debugOnly{pipe.log.Handler()}),
		SysTopicResendInterval:  math.MaxInt32, // $SYS is not offered
	})
	if err := e.server.AddHook(e, nil); err != nil {
		return nil, fmt.Errorf("set up the MQTT endpoint: %w", err)
	}
	return e, nil
}

// secure makes devices connect with TLS, where cfg names a certificate to show to them.
func (e *endpoint) secure(cfg Config) (err error) {
	if cfg.ListenCert == "" {
		return nil
	}
	if e.tls, err = tlsfiles.Server(cfg.ListenCert, cfg.ListenKey, e.pipe.log); err != nil {
		return configError("MQTT_LISTEN_CERT_FILE", cfg.ListenCert, err)
	}
	if cfg.ListenClientCA == "" {
		return nil
	}
	if err := tlsfiles.RequireClients(e.tls, cfg.ListenClientCA, e.pipe.log); err != nil {
		return configError("MQTT_LISTEN_CLIENT_CA_FILE", cfg.ListenClientCA, err)
	}
	return nil
}

// accept serves the connections that l accepts, up to limit at a time, until l is closed. It tells status
// when none can be accepted.
func (e *endpoint) accept(l net.Listener, limit int, serving *sync.WaitGroup, status func(error)) error {
	places := make(chan struct{}, limit)
	for {
		select {
		case places <- struct{}{}:
		case <-e.stop:
			return nil
		}
		nc, err := l.Accept()
		if err != nil {
			<-places
			if errors.Is(err, net.ErrClosed) {
				return fmt.Errorf("accept MQTT connections: %w", err)
			}
			e.pipe.log.Warn("cannot accept MQTT connections", "err", err)
			status(fmt.Errorf("cannot accept connections: %w", err))
			select {
			case <-time.After(acceptPause):
			case <-e.stop:
			}
			// Whether it works again does not show before the next device comes, which may wait for
			// the bridge to be ready.
			status(nil)
			continue
		}
		c := e.newConn(nc)
		e.mu.Lock()
		e.conns[c] = nil
		e.mu.Unlock()
		serving.Go(func() {
			e.serve(c)
			<-places
		})
	}
}

func (e *endpoint) newConn(nc net.Conn) *conn {
	if e.tls == nil {
		return newConn(pace(nc, 0, 0))
	}
	return newConn(tls.Server(pace(nc, readBuffer, 0), e.tls)) // a TLS record may hold no more than a message
}

// serve speaks MQTT over c, which is in e.conns, until the connection ends. A packet that makes mochi panic,
// as some malformed ones do, ends this connection alone.
func (e *endpoint) serve(c *conn) {
	defer func() {
		if p := recover(); p != nil {
			e.pipe.log.Error("panic while serving a device; its connection is closed",
				"remote", c.RemoteAddr().String(), "panic", p, "stack", string(debug.Stack()))
		}
		_ = c.Close()
		e.mu.Lock()
		delete(e.conns, c)
		e.mu.Unlock()
		if c.line != nil {
			e.pipe.metrics.connections.Dec()
			c.line.detach(c)
		}
	}()
	_ = c.SetDeadline(time.Now().Add(connectTimeout))
	if err := e.server.EstablishConnection("mqtt", c); err != nil {
		e.server.Log.Debug("connection ended", "remote", c.RemoteAddr().String(), "err", err)
	}
}

// disconnectAll sends each device the acknowledgements that wait, ends its connection, and waits until all
// are served. A device closes when it has read the last; to close first, with messages unread, would reset
// the connection and could destroy acknowledgements on their way.
func (e *endpoint) disconnectAll(serving *sync.WaitGroup) {
	e.mu.Lock()
	conns := maps.Clone(e.conns)
	e.mu.Unlock()
	force := time.AfterFunc(goodbyeTime, func() {
		for c := range conns {
			_ = c.Close()
		}
	})
	defer force.Stop()
	for c, client := range conns {
		serving.Go(func() {
			if client == nil {
				_ = c.Close()
				return
			}
			c.line.detach(c)
			var goodbye []byte // MQTT 3 has none from the server
			if client.Properties.ProtocolVersion >= 5 {
				goodbye = []byte{packets.Disconnect << 4, 1, packets.ErrServerShuttingDown.Code}
			}
			if _, err := c.Write(goodbye); err == nil {
				c.closeWrite()
			}
		})
	}
	serving.Wait()
}

// session gives c its line, which it shares with earlier connections of the same client id.
func (e *endpoint) session(client *mochi.Client, c *conn) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.conns[c] = client
	l := e.sessions[client.ID]
	if l == nil {
		l = newLine(e.pipe.metrics, nil)
		l.idle = func() { e.forget(client.ID, l) }
		e.sessions[client.ID] = l
	}
	c.line = l
	l.attach(c, func(m *message) { confirmed(client, m) })
}

// forget ends the line of a client id when nothing needs it any more.
func (e *endpoint) forget(id string, l *line) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.sessions[id] == l && l.abandon() {
		delete(e.sessions, id)
	}
}

// debugOnly is a log in which everything counts as debugging: what devices do wrong is nothing that an
// operator can mend, and mochi logs each case.
type debugOnly struct{ slog.Handler }

func (h debugOnly) Enabled(ctx context.Context, _ slog.Level) bool {
	return h.Handler.Enabled(ctx, slog.LevelDebug)
}

func (h debugOnly) Handle(ctx context.Context, r slog.Record) error {
	r.Level = slog.LevelDebug
	return h.Handler.Handle(ctx, r)
}

func (h debugOnly) WithAttrs(attrs []slog.Attr) slog.Handler {
	return debugOnly{h.Handler.WithAttrs(attrs)}
}

func (h debugOnly) WithGroup(name string) slog.Handler { return debugOnly{h.Handler.WithGroup(name)} }
