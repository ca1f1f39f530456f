package paced

import (
	"errors"
	"net"
	"sync"
	"time"

	"github.com/telltale-iot/telltale/services/mqtt-bridge/budget"
)

const (
	// writeEvery is how long what is queued waits for more to share a write with.
	writeEvery = 5 * time.Millisecond
	// writeTimeout bounds how long a peer may leave what is sent to it unread: it is cut off after half of that
	// at the earliest.
	writeTimeout = 10 * time.Second
	// spareBytes is how large a buffer is kept for the next write.
	spareBytes = 4096
)

// Conn is a network connection that is written to from many sides.
type Conn struct {
	net.Conn
	closed chan struct{} // closed by Close

	// Guarded by writing, which is locked while the socket is written to.
	writing sync.Mutex
	writeBy time.Time // the deadline that the socket knows of
	spare   []byte    // a buffer for queue to continue in

	mu        sync.Mutex
	queue     []byte // whole packets to be written
	offered   int    // bytes of TryQueue that are not written yet
	share     *budget.Share
	scheduled bool // flush is going to be called, or is running
	timer     *time.Timer
	closing   sync.Once
}

// NewConn returns c as a Conn.
func NewConn(c net.Conn) *Conn {
	g := &Conn{Conn: c, closed: make(chan struct{})}
	g.timer = time.AfterFunc(time.Hour, g.flush)
	g.timer.Stop()
	return g
}

// ErrClosedHere is Read's error for a connection that the bridge has closed itself.
var ErrClosedHere = errors.New("closed by the bridge")

// Read returns ErrClosedHere for a connection that was closed here because the peer did not read what was written:
// paho reports no net.ErrClosed, since it takes that for its own close.
func (c *Conn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	if errors.Is(err, net.ErrClosed) {
		err = ErrClosedHere
	}
	return n, err
}

// SetDeadline is for reads: writes have their own.
func (c *Conn) SetDeadline(t time.Time) error { return c.SetReadDeadline(t) }

// Write sends the packet p, and before it what is queued. It returns when both are sent.
func (c *Conn) Write(p []byte) (int, error) {
	c.writing.Lock()
	defer c.writing.Unlock()
	if err := c.send(p); err != nil {
		return 0, err
	}
	return len(p), nil
}

// Queue sends b, whole packets, within writeEvery. It never blocks: it is called by the goroutine that serves
// all connections. An error shows in the next read.
func (c *Conn) Queue(b []byte) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.append(b)
}

// FlushAbove sends what is queued when it is more than limit. The reader of a connection calls it, so that a peer
// that does not read its answers is not read from either.
func (c *Conn) FlushAbove(limit int) error {
	c.mu.Lock()
	queued := len(c.queue)
	c.mu.Unlock()
	if queued <= limit {
		return nil
	}
	_, err := c.Write(nil)
	return err
}

// HasRoom reports whether TryQueue would take n bytes.
func (c *Conn) HasRoom(n int, share *budget.Share, limit int) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.offered+n <= limit && share.Used()+n <= share.Limit()
}

// TryQueue is Queue for what may be dropped: it takes b only where share has room for it, and where less than
// limit offered bytes wait to be sent. All calls name the same share.
func (c *Conn) TryQueue(b []byte, share *budget.Share, limit int) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	select {
	case <-c.closed:
		return false
	default:
	}
	if c.offered+len(b) > limit || !share.TryTake(len(b)) {
		return false
	}
	c.offered += len(b)
	c.share = share
	c.append(b)
	return true
}

func (c *Conn) append(b []byte) {
	c.queue = append(c.queue, b...)
	if !c.scheduled {
		c.scheduled = true
		c.timer.Reset(untilTick(time.Now(), writeEvery))
	}
}

// flush writes what is queued.
func (c *Conn) flush() {
	c.writing.Lock()
	defer c.writing.Unlock()
	err := c.send(nil)

	c.mu.Lock()
	defer c.mu.Unlock()
	c.scheduled = err == nil && len(c.queue) > 0
	if c.scheduled {
		c.timer.Reset(untilTick(time.Now(), writeEvery))
	}
}

// send writes what is queued, and p. A peer that does not take it is disconnected. The caller holds c.writing.
func (c *Conn) send(p []byte) error {
	c.mu.Lock()
	b, offered := c.queue, c.offered
	c.queue = c.spare[:0]
	c.mu.Unlock()
	defer c.sent(offered)

	if c.spare = nil; cap(b) <= spareBytes {
		c.spare = b
	}
	if len(b) == 0 {
		b = p
	} else {
		b = append(b, p...)
	}
	if len(b) == 0 {
		return nil
	}
	var err error
	if now := time.Now(); c.writeBy.Sub(now) < writeTimeout/2 {
		c.writeBy = now.Add(writeTimeout)
		err = c.SetWriteDeadline(c.writeBy)
	}
	if err == nil {
		_, err = c.Conn.Write(b)
	}
	if err != nil {
		_ = c.Close()
	}
	return err
}

// sent gives back n offered bytes.
func (c *Conn) sent(n int) {
	if n == 0 {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	n = min(n, c.offered) // Close may have come before
	c.offered -= n
	c.share.Release(n)
}

// CloseWrite closes the sending half. The peer can still read what was sent.
func (c *Conn) CloseWrite() {
	if w, ok := c.Conn.(interface{ CloseWrite() error }); ok {
		_ = w.CloseWrite()
	}
}

// Closed is closed when the connection is.
func (c *Conn) Closed() <-chan struct{} { return c.closed }

// layer is a connection over another, as *tls.Conn is.
type layer interface{ NetConn() net.Conn }

// Close closes the connection. What was not written by then is dropped, what TLS and WebSockets say at the end too: it
// could block.
func (c *Conn) Close() error {
	err := net.ErrClosed
	c.closing.Do(func() {
		close(c.closed)
		c.timer.Stop()
		socket := c.Conn
		for over, ok := socket.(layer); ok; over, ok = socket.(layer) {
			socket = over.NetConn()
		}
		err = socket.Close()
		c.mu.Lock()
		defer c.mu.Unlock()
		if c.offered > 0 {
			c.share.Release(c.offered)
			c.offered = 0
		}
	})
	return err
}
