package paced

import (
	"errors"
	"io"
	"net"
	"syscall"
)

const (
	// busyBytes is how much a read must find for its connection to count as busy: some ten readings.
	busyBytes = 1024
	// lowWater is how much has to arrive on a busy connection before it wakes the process up between two reads. Twice
	// of it is Linux's receive buffer, which it does not change so.
	lowWater = 64 << 10
)

// quietConn is a TCP connection that is read from at intervals. Without it each segment that arrives in between would
// wake the process up, though nobody reads: that is a third of what a connection with 1,000 messages a second costs.
type quietConn struct {
	*net.TCPConn
	raw  syscall.RawConn
	busy bool // arrivals up to lowWater wake nobody up
}

// Quiet returns c so that what arrives between two reads does not wake the process up, where c is a TCP connection.
func Quiet(c net.Conn) net.Conn {
	tcp, ok := c.(*net.TCPConn)
	if !ok {
		return c
	}
	raw, err := tcp.SyscallConn()
	if err != nil {
		return c
	}
	return &quietConn{TCPConn: tcp, raw: raw}
}

func (c *quietConn) Read(p []byte) (n int, err error) {
	waitErr := c.raw.Read(func(fd uintptr) (done bool) {
		n, err = readNow(fd, p)
		if errors.Is(err, syscall.EAGAIN) && c.setBusy(fd, false) { // from now on whatever arrives wakes us up
			n, err = readNow(fd, p)
		}
		if n >= busyBytes {
			c.setBusy(fd, true)
		}
		return !errors.Is(err, syscall.EAGAIN)
	})
	switch {
	case waitErr != nil:
		return 0, waitErr
	case err != nil:
		return 0, &net.OpError{Op: "read", Net: "tcp", Source: c.LocalAddr(), Addr: c.RemoteAddr(), Err: err}
	case n == 0 && len(p) > 0:
		return 0, io.EOF
	}
	return n, nil
}

func readNow(fd uintptr, p []byte) (int, error) {
	for {
		n, err := syscall.Read(int(fd), p)
		if !errors.Is(err, syscall.EINTR) {
			return max(n, 0), err
		}
	}
}

// setBusy reports whether that changes anything.
func (c *quietConn) setBusy(fd uintptr, busy bool) bool {
	if c.busy == busy {
		return false
	}
	bytes := 1
	if busy {
		bytes = lowWater
	}
	if syscall.SetsockoptInt(int(fd), syscall.SOL_SOCKET, syscall.SO_RCVLOWAT, bytes) != nil {
		return false
	}
	c.busy = busy
	return true
}
