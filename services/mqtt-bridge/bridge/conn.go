package bridge

import (
	"bufio"
	"io"
	"net"
	"sync"
	"time"
)

const (
	// gatherTime is how long acknowledgements wait for others to share a write with, and how long after
	// a read the next one waits for more to arrive. A system call per message would cost more than all
	// the rest of the way to Kafka.
	gatherTime = time.Millisecond
	// writeTimeout is how long a peer may leave what is sent to it unread, before it is cut off.
	writeTimeout = 10 * time.Second
)

// conn is a network connection under an MQTT library, client or server, that gathers reads and writes.
// The library writes its packets through it as through any net.Conn; the bridge itself writes
// acknowledgements beside it, by acknowledge.
type conn struct {
	net.Conn
	in     io.Reader
	line   *line         // the session it belongs to, from when that is known
	closed chan struct{} // closed by Close
	// silence is how long the peer may send nothing, when the library sets no deadline; 0 is for ever.
	silence time.Duration

	// Used by the one goroutine that reads.
	deadline time.Time // for reads; what the library set
	applied  time.Time // the deadline that the socket knows of
	next     time.Time // when the next read is due

	writing sync.Mutex // held while writing to the socket; guards spare
	spare   []byte     // a buffer for acks to continue in

	mu        sync.Mutex
	acks      []byte // acknowledgements to be written
	scheduled bool   // flush is going to be called, or is running
	timer     *time.Timer
	closing   sync.Once
}

// newConn returns c with a read buffer of the given size; 0 where the library has one.
func newConn(c net.Conn, readBuffer int) *conn {
	g := &conn{Conn: c, closed: make(chan struct{})}
	g.in = pacedReader{g}
	if readBuffer > 0 {
		g.in = bufio.NewReaderSize(g.in, readBuffer)
	}
	g.timer = time.AfterFunc(time.Hour, g.flush)
	g.timer.Stop()
	return g
}

func (c *conn) Read(p []byte) (int, error) { return c.in.Read(p) }

// pacedReader reads from a conn's socket, gatherTime apart, unless there is more than fits.
type pacedReader struct{ *conn }

func (r pacedReader) Read(p []byte) (int, error) {
	c := r.conn
	if wait := time.Until(c.next); wait > 0 {
		time.Sleep(wait)
	}
	deadline := c.deadline
	if deadline.IsZero() && c.silence > 0 {
		deadline = time.Now().Add(c.silence)
	}
	if !deadline.Equal(c.applied) {
		if err := c.Conn.SetReadDeadline(deadline); err != nil {
			return 0, err
		}
		c.applied = deadline
	}
	n, err := c.Conn.Read(p)
	if n < len(p) {
		c.next = time.Now().Add(gatherTime)
	}
	return n, err
}

// SetDeadline is for reads: writes have their own. The library calls it for every packet, so the socket
// is told only when it is read from. mochi rounds one and a half times an odd keepalive down to whole
// seconds, which would cut off a device with one of 1 s that pings in time.
func (c *conn) SetDeadline(t time.Time) error {
	if !t.IsZero() {
		t = t.Add(time.Second / 2)
	}
	c.deadline = t
	return nil
}

// Write sends the packet p, and with it the acknowledgements that wait to be sent.
func (c *conn) Write(p []byte) (int, error) {
	c.writing.Lock()
	defer c.writing.Unlock()
	if err := c.send(p); err != nil {
		return 0, err
	}
	return len(p), nil
}

// acknowledge has b, whole packets, sent within gatherTime. It never blocks: it is called by the
// goroutine that serves all connections. An error shows in the next read.
func (c *conn) acknowledge(b []byte) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.acks = append(c.acks, b...)
	if !c.scheduled {
		c.scheduled = true
		c.timer.Reset(gatherTime)
	}
}

// flush writes the acknowledgements that wait to be sent.
func (c *conn) flush() {
	c.writing.Lock()
	defer c.writing.Unlock()
	err := c.send(nil)

	c.mu.Lock()
	defer c.mu.Unlock()
	c.scheduled = err == nil && len(c.acks) > 0
	if c.scheduled {
		c.timer.Reset(gatherTime)
	}
}

// send writes the waiting acknowledgements and p. A peer that does not take them is disconnected. The
// caller holds c.writing.
func (c *conn) send(p []byte) error {
	c.mu.Lock()
	b := c.acks
	c.acks = c.spare[:0]
	c.mu.Unlock()

	c.spare = b
	if len(b) == 0 {
		b = p
	} else {
		b = append(b, p...)
	}
	if len(b) == 0 {
		return nil
	}
	err := c.SetWriteDeadline(time.Now().Add(writeTimeout))
	if err == nil {
		_, err = c.Conn.Write(b)
	}
	if err != nil {
		_ = c.Close()
	}
	return err
}

// Close closes the connection. What was not written by then is dropped.
func (c *conn) Close() error {
	err := net.ErrClosed
	c.closing.Do(func() {
		close(c.closed)
		c.timer.Stop()
		err = c.Conn.Close()
	})
	return err
}
