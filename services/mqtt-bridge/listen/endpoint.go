package listen

import (
	"container/list"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"runtime/debug"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sync/errgroup"

	"github.com/telltale-iot/telltale/pkg/httpguard"
	"github.com/telltale-iot/telltale/pkg/lograte"
	"github.com/telltale-iot/telltale/pkg/mapping"
	"github.com/telltale-iot/telltale/pkg/timeouts"
	"github.com/telltale-iot/telltale/pkg/tlsfiles"
	"github.com/telltale-iot/telltale/services/mqtt-bridge/budget"
	"github.com/telltale-iot/telltale/services/mqtt-bridge/paced"
	"github.com/telltale-iot/telltale/services/mqtt-bridge/packet"
	"github.com/telltale-iot/telltale/services/mqtt-bridge/pipeline"
	"github.com/telltale-iot/telltale/services/mqtt-bridge/trace"
)

// Endpoint is what devices connect to.
type Endpoint struct {
	cfg        Config
	access     *Access
	pipe       *pipeline.Pipeline
	seen       *trace.Seen
	budget     *budget.Budget
	incomplete *fairShare // the budget's, as the next
	handshakes *fairShare
	metrics    *metrics
	log        *slog.Logger
	tls        *tls.Config      // nil without TLS
	plain      *httpguard.Plain // tells who asks for a WebSocket without TLS; nil without WebSockets
	addresses  *addresses
	hub        hub
	refusals   lograte.Limiters // by reason
	takeovers  lograte.Limiter
	slowings   lograte.Limiter
	rates      rates

	ended   chan struct{}   // has a value when credentials have ended
	stop    <-chan struct{} // closed when the bridge stops
	serving sync.WaitGroup  // goroutines of connections

	mu          sync.Mutex
	conns       map[*connection]*client // nil until the CONNECT is taken
	established int                     // of conns, those with a client
	clients     map[sessionID]*client
	detached    *list.List // of clients without a connection, in the order in which they left
}

// New returns an endpoint whose clients get in by access, and are seen, and whose messages go to pipe.
func New(cfg Config, access *Access, pipe *pipeline.Pipeline, seen *trace.Seen, b *budget.Budget, log *slog.Logger, r prometheus.Registerer) (*Endpoint, error) {
	e := &Endpoint{
		cfg: cfg, access: access, pipe: pipe, ended: make(chan struct{}, 1), seen: seen, budget: b, incomplete: newFairShare(b.Incomplete), handshakes: newFairShare(b.Handshakes),
		metrics: newMetrics(r), log: log,
		conns: make(map[*connection]*client), clients: make(map[sessionID]*client), detached: list.New(),
	}
	e.addresses = newAddresses(cfg.MaxConnections)
	device, err := cfg.deviceRate()
	if err != nil {
		return nil, err
	}
	e.rates = newRates(device)
	e.hub.init(b.Subscribers, e.metrics.dropped)
	pipe.Send = func(r mapping.Request) {
		e.hub.command(r.Topic, packet.Publish{Topic: []byte(r.Topic), Payload: r.Payload})
	}
	if access.anonymous, err = cfg.anonymous(); err != nil {
		return nil, err
	}
	if access.Table != nil {
		access.Table.OnEnd(e.credentialEnded)
	}
	return e, e.secure()
}

// credentialEnded has the connections be cut of those whose credentials have ended.
func (e *Endpoint) credentialEnded(int64) {
	select {
	case e.ended <- struct{}{}:
	default: // they are looked for anyway
	}
}

// Serve serves the clients that connect to l and, unless it is nil, to web until ctx ends. Then it acknowledges what it
// took, disconnects the clients, and returns nil. It closes both, and calls status with nil while clients can connect.
func (e *Endpoint) Serve(ctx context.Context, l net.Listener, web *WebSocket, status func(error)) error {
	e.stop = ctx.Done()
	status(nil)
	accepting, closing := errgroup.WithContext(ctx)
	accept := func(l net.Listener, upgrade http.Handler) {
		e.log.Info("listening for MQTT", "addr", l.Addr().String(), "tls", e.tls != nil, "websocket", upgrade != nil)
		context.AfterFunc(closing, func() { _ = l.Close() })
		accepting.Go(func() error { return e.accept(l, upgrade, status) })
	}
	accept(l, nil)
	if web != nil {
		e.plain = web.Guard.Plain(webSocketPort)
		accept(web, web.upgrader())
	}
	var looking sync.WaitGroup
	looking.Go(func() { e.expireUntil(ctx.Done()) })
	looking.Go(func() { e.cut(e.ended, ctx.Done()) })
	err := accepting.Wait()
	if ctx.Err() != nil {
		err = nil
	}
	status(errors.New("stopping"))
	e.pipe.Drain()
	e.disconnectAll()
	looking.Wait()
	return err
}

// accept serves the connections that l accepts until l is closed, with WebSockets that upgrade begins unless it is nil.
// It calls status with an error when none can be accepted.
func (e *Endpoint) accept(l net.Listener, upgrade http.Handler, status func(error)) error {
	for {
		nc, err := l.Accept()
		if err != nil {
			if errors.Is(err, net.ErrClosed) {
				return fmt.Errorf("accept MQTT connections: %w", err)
			}
			e.log.Warn("cannot accept MQTT connections", "err", err)
			status(fmt.Errorf("cannot accept connections: %w", err))
			select {
			case <-time.After(acceptPause):
			case <-e.stop:
			}
			// Only the next device shows whether it works again, and that one may wait for the bridge to be
			// ready.
			status(nil)
			continue
		}
		e.admit(nc, l.Addr(), upgrade)
	}
}

// admit begins to serve a connection that came to a listener.
func (e *Endpoint) admit(nc net.Conn, listener net.Addr, upgrade http.Handler) {
	c := e.newConnection(nc, listener, upgrade)
	if tooMany := e.addresses.enter(c); tooMany != nil {
		e.reportRefusal(tooMany.RemoteAddr(), "", byPending, "too many connections that have not sent their CONNECT")
		_ = tooMany.Close()
	}
	e.mu.Lock()
	e.conns[c] = nil
	e.mu.Unlock()
	e.serving.Go(func() { e.serve(c) })
}

// reportRefusal counts that a client was refused something, and logs a line about it, at most one a minute for each reason.
func (e *Endpoint) reportRefusal(from net.Addr, client, reason, what string) {
	e.metrics.refusals.WithLabelValues(reason).Inc()
	if n := e.refusals.Event(reason); n > 0 {
		e.log.Warn("a client is refused", "reason", reason, "detail", what, "client_id", client, "remote", from.String(), "count", n)
	}
}

func (e *Endpoint) newConnection(nc net.Conn, listener net.Addr, upgrade http.Handler) *connection {
	nc = paced.Quiet(nc)
	if e.tls == nil {
		nc = paced.Reads(nc, 0, 0)
	} else {
		// A TLS record may hold no more than a message.
		nc = tls.Server(&tlsfiles.Opening{Conn: paced.Reads(nc, readBuffer, 0)}, e.tls)
	}
	if upgrade != nil {
		nc = &webSocket{Conn: nc, upgrade: upgrade, most: int64(e.cfg.MaxPacketBytes) + maxHeaderBytes}
	}
	return newConnection(e, paced.NewConn(nc), listener)
}

// serve speaks MQTT over c, which is in e.conns, until the connection ends. A panic ends this connection
// alone.
func (e *Endpoint) serve(c *connection) {
	var err error
	defer func() {
		if p := recover(); p != nil {
			e.log.Error("panic while serving a device; its connection is closed",
				"remote", c.RemoteAddr().String(), "panic", p, "stack", string(debug.Stack()))
		}
		_ = c.Close()
		c.leavePending()
		e.removeConnection(c)
		c.part(err)
	}()
	err = c.connect()
	if err == nil {
		err = c.run()
	}
	e.log.Debug("connection ends", "remote", c.RemoteAddr().String(), "err", err)
	c.closeWithReason(err)
}

// disconnectAll sends each device the acknowledgements that wait, ends its connection, and waits until all
// are served. A device closes when it has read the last; to close first, with messages unread, would reset
// the connection and could destroy acknowledgements that are in its buffers.
func (e *Endpoint) disconnectAll() {
	e.mu.Lock()
	conns := maps.Clone(e.conns)
	e.mu.Unlock()
	force := time.AfterFunc(timeouts.MQTTDisconnect, func() {
		for c := range conns {
			_ = c.Close()
		}
	})
	defer force.Stop()
	for c, client := range conns {
		e.serving.Go(func() {
			if client == nil {
				_ = c.Close()
				return
			}
			client.Detach(c.Conn)
			if _, err := c.Write(packet.AppendDisconnect(nil, c.version, packet.ServerShuttingDown)); err == nil {
				c.CloseWrite()
			}
		})
	}
	e.serving.Wait()
}
