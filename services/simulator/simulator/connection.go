package simulator

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/url"
	"sync"
	"time"

	"github.com/telltale-iot/telltale/pkg/daemon"
	"github.com/telltale-iot/telltale/pkg/tlsfiles"
)

const (
	keepAlive   = 30 * time.Second // promised to the broker
	pingEvery   = keepAlive / 2
	deadAfter   = keepAlive + pingEvery // without a byte from the broker
	dialTimeout = 10 * time.Second
	writeSize   = 32 << 10 // bytes gathered into one write, about
)

// connection publishes a stream over one MQTT connection after the other, until the stream has ended and
// everything in it is acknowledged.
type connection struct {
	url      *url.URL
	files    tlsfiles.Files
	clientID string
	log      *slog.Logger
	stream   *stream
	ledger   *ledger // may be nil
	counters *counters

	// window is a ring: message number n is in place n % len(window), under packet id n % len(window) + 1.
	// Messages head to tail-1 are in flight, but for those already acknowledged behind an earlier one.
	// Places outside of that belong to the sending goroutine.
	window []inFlight
	mu     sync.Mutex
	head   uint64
	tail   uint64
	// blocked: the sending goroutine can do nothing until acknowledgements come, and waits for room.
	blocked bool
	room    chan struct{}
}

type inFlight struct {
	publication
	acknowledged bool
}

func newConnection(u *url.URL, cfg Config, number int, s *stream, l *ledger, c *counters, log *slog.Logger) *connection {
	return &connection{
		url:      u,
		files:    cfg.Files,
		clientID: fmt.Sprintf("%s-%d-%d", cfg.ClientID, cfg.FirstDevice, number),
		log:      log,
		stream:   s,
		ledger:   l,
		counters: c,
		window:   make([]inFlight, cfg.InFlight),
		room:     make(chan struct{}, 1),
	}
}

// errFinished ends a connection that has nothing to do any more.
var errFinished = errors.New("finished")

// run returns nil when the stream has ended and is acknowledged, or ctx has ended. Only a ledger that
// cannot be written is an error.
func (c *connection) run(ctx context.Context) error {
	for first := true; ; first = false {
		var conn net.Conn
		err := daemon.Await(ctx, c.log, "MQTT broker", func(ctx context.Context) (err error) {
			conn, err = c.connect(ctx)
			if err != nil && ctx.Err() == nil {
				c.counters.errors.Add(1)
			}
			return err
		})
		if err != nil {
			return nil
		}
		if !first {
			c.counters.reconnects.Add(1)
		}
		switch err := c.serve(ctx, conn); {
		case errors.Is(err, errFinished) || ctx.Err() != nil:
			return nil
		case errors.Is(err, errLedger):
			return err
		default:
			c.counters.errors.Add(1)
			c.log.Warn("connection lost", "client_id", c.clientID, "err", err)
		}
		// A broker that lets in and throws out at once is not to be hammered.
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(100*time.Millisecond + rand.N(100*time.Millisecond)):
		}
	}
}

// connect opens the network connection and the MQTT session.
func (c *connection) connect(ctx context.Context) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, dialTimeout)
	defer cancel()
	conn, err := new(net.Dialer).DialContext(ctx, "tcp", c.url.Host)
	if port, _ := defaultPort(c.url.Scheme); port == "8883" && err == nil {
		conn, err = c.files.Handshake(ctx, conn, c.url.Host)
	}
	if err != nil {
		return nil, err
	}
	stop := context.AfterFunc(ctx, func() { _ = conn.Close() })
	_, err = conn.Write(appendConnect(nil, c.clientID, keepAlive, c.url.User))
	if err == nil {
		err = readConnack(conn)
	}
	if !stop() || err != nil {
		_ = conn.Close()
		return nil, errors.Join(err, ctx.Err())
	}
	return conn, nil
}

// serve publishes over conn until that breaks or nothing is left, and closes it. The error is never nil.
func (c *connection) serve(ctx context.Context, conn net.Conn) error {
	ctx, cancel := context.WithCancelCause(ctx)
	stop := context.AfterFunc(ctx, func() { _ = conn.Close() })
	defer stop()
	var receiving sync.WaitGroup
	receiving.Go(func() { cancel(c.receive(conn)) })

	err := c.send(ctx, conn)
	finished := errors.Is(err, errFinished)
	if finished {
		_, _ = conn.Write(disconnect)
	}
	cancel(err)
	_ = conn.Close()
	receiving.Wait()
	if finished {
		return err
	}
	return context.Cause(ctx) // the first: when receive failed, send did in consequence
}

// send publishes, and keeps the connection alive.
func (c *connection) send(ctx context.Context, conn io.Writer) error {
	ping := time.Now().Add(pingEvery)
	timer := time.NewTimer(0)
	defer timer.Stop()
	measuring := c.stream.measuring.Done()
	for out := c.appendUnacknowledged(nil); ; out = out[:0] {
		now := time.Now()
		if !now.Before(ping) {
			out = append(out, pingreq...)
			ping = now.Add(pingEvery)
		}
		out, wait, err := c.fill(out, now)
		if err != nil {
			return err
		}
		if len(out) > 0 {
			if _, err := conn.Write(out); err != nil {
				return fmt.Errorf("publish: %w", err)
			}
			continue
		}
		timer.Reset(min(wait, ping.Sub(now)))
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-measuring:
			measuring = nil // once is enough to notice
		case <-c.room:
		case <-timer.C:
		}
	}
}

// appendUnacknowledged appends what was sent over earlier connections and not acknowledged.
func (c *connection) appendUnacknowledged(out []byte) []byte {
	c.mu.Lock()
	defer c.mu.Unlock()
	for n := c.head; n < c.tail; n++ {
		place := n % uint64(len(c.window))
		if m := &c.window[place]; !m.acknowledged {
			out = appendPublish(out, &m.publication, uint16(place)+1, true)
			c.counters.resent.Add(1)
		}
	}
	return out
}

// fill appends what is to be published now, as far as the window and one write have room. Where it
// appended nothing, it returns how long there is nothing to publish, as far as is known.
func (c *connection) fill(out []byte, now time.Time) (_ []byte, wait time.Duration, err error) {
	c.mu.Lock()
	n, limit := c.tail, c.head+uint64(len(c.window))
	c.blocked = n == limit
	c.mu.Unlock()

	wait = pingEvery
	for ; n < limit && len(out) < writeSize; n++ {
		place := n % uint64(len(c.window))
		m := &c.window[place]
		m.acknowledged = false
		wait, err = c.stream.next(now, &m.publication)
		if err != nil || wait > 0 {
			break
		}
		out = appendPublish(out, &m.publication, uint16(place)+1, false)
		if m.ledger {
			c.ledger.add(eventSent, m.payload)
		}
	}
	if err := c.ledger.flush(); err != nil {
		return out, 0, err
	}

	c.mu.Lock()
	defer c.mu.Unlock()
	c.counters.published.Add(int64(n - c.tail))
	c.tail = n
	if errors.Is(err, io.EOF) {
		if c.head == c.tail {
			return out, 0, errFinished
		}
		c.blocked = true
		wait = pingEvery
	}
	return out, wait, nil
}

// receive takes acknowledgements until conn breaks. The error is never nil.
func (c *connection) receive(conn net.Conn) error {
	r := bufio.NewReaderSize(conn, 16<<10)
	var now time.Time
	for {
		if r.Buffered() < 4 { // about to wait for the network
			if err := c.ledger.flush(); err != nil {
				return err
			}
			c.unblock()
			_ = conn.SetReadDeadline(time.Now().Add(deadAfter))
			if _, err := r.Peek(2); err != nil {
				return fmt.Errorf("receive: %w", err)
			}
			now = time.Now()
		}
		id, err := readAck(r)
		if err != nil {
			return fmt.Errorf("receive: %w", err)
		}
		if id != 0 {
			c.acknowledge(id, now)
		}
	}
}

// acknowledge takes note of a PUBACK. One that fits nothing in flight is passed over.
func (c *connection) acknowledge(id uint16, now time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	size := uint64(len(c.window))
	place := uint64(id) - 1
	if place >= size || (place+size-c.head%size)%size >= c.tail-c.head {
		return
	}
	m := &c.window[place]
	if m.acknowledged {
		return
	}
	m.acknowledged = true
	c.counters.acknowledged.Add(1)
	c.counters.latency.record(now.Sub(m.due))
	if m.ledger {
		c.ledger.add(eventAcknowledged, m.payload)
	}
	for c.head < c.tail && c.window[c.head%size].acknowledged {
		c.head++
	}
}

// unblock wakes the sending goroutine when it waits for room and there is enough of it for a good batch.
func (c *connection) unblock() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.blocked && (c.tail-c.head)*4 <= uint64(len(c.window))*3 {
		c.blocked = false
		select {
		case c.room <- struct{}{}:
		default:
		}
	}
}
