package bridge

import (
	"bufio"
	"io"
	"net"
	"sync"
	"time"
)

const (
	// readEvery is how long after a read the next one waits for more to arrive, and ackEvery how long
	// acknowledgements wait for others to share a write with. A wake-up and a system call for each
	// message would cost more than all the rest of its way to Kafka, and the producer waits about as
	// long anyway.
	readEvery = 5 * time.Millisecond
	ackEvery  = time.Millisecond
	// writeTimeout is how long a peer may leave what is sent to it unread before it is cut off: at
	// least half of it.
	writeTimeout = 10 * time.Second
	// readSlack is how much later than asked for a read may time out. It spares setting a timer for
	// each read, and makes up for mochi, which rounds down one and a half times an odd keepalive.
	readSlack = time.Second
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
	readBy   time.Time // the deadline that the socket knows of
	next     time.Time // when the next read is due

	// Guarded by writing, which is held while writing to the socket.
	writing sync.Mutex
	writeBy time.Time // the deadline that the socket knows of
	spare   []byte    // a buffer for acks to continue in

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

// pacedReader reads from a conn's socket, readEvery apart, unless there is more than fits.
type pacedReader struct{ *conn }

func (r pacedReader) Read(p []byte) (int, error) {
	c := r.conn
	if wait := time.Until(c.next); wait > 0 {
		time.Sleep(wait)
	}
	now := time.Now()
	deadline := c.deadline
	if deadline.IsZero() && c.silence > 0 {
		deadline = now.Add(c.silence)
	}
	if ahead := c.readBy.Sub(deadline); deadline.IsZero() != c.readBy.IsZero() || ahead < 0 || ahead > readSlack {
		if c.readBy = deadline; !deadline.IsZero() {
			c.readBy = deadline.Add(readSlack)
		}
		if err := c.Conn.SetReadDeadline(c.readBy); err != nil {
			return 0, err
		}
	}
	n, err := c.Conn.Read(p)
	if n < len(p) {
		c.next = time.Now().Add(readEvery)
	}
	return n, err
}

// SetDeadline is for reads: writes have their own. The library calls it for every packet, so the socket
// is told only when it is read from, and when it matters.
func (c *conn) SetDeadline(t time.Time) error {
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

// acknowledge has b, whole packets, sent within ackEvery. It never blocks: it is called by the
// goroutine that serves all connections. An error shows in the next read.
func (c *conn) acknowledge(b []byte) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.acks = append(c.acks, b...)
	if !c.scheduled {
		c.scheduled = true
		c.timer.Reset(ackEvery)
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
		c.timer.Reset(ackEvery)
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
