package paced

import (
	"bytes"
	"errors"
	"io"
	"net"
	"os"
	"syscall"
	"testing"
	"time"
)

// tcpPair returns both ends of a TCP connection, ours quiet.
func tcpPair(t *testing.T) (ours net.Conn, theirs *net.TCPConn) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	c, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	accepted, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _, _ = c.Close(), accepted.Close() })
	return Quiet(accepted), c.(*net.TCPConn)
}

// lowWaterOf is how much has to arrive on c before it wakes the process up.
func lowWaterOf(t *testing.T, c net.Conn) (bytes int) {
	t.Helper()
	err := c.(*quietConn).raw.Control(func(fd uintptr) {
		bytes, _ = syscall.GetsockoptInt(int(fd), syscall.SOL_SOCKET, syscall.SO_RCVLOWAT)
	})
	if err != nil {
		t.Fatal(err)
	}
	return bytes
}

func TestQuiet(t *testing.T) {
	much, little := bytes.Repeat([]byte("x"), busyBytes), []byte("a reading")
	send := func(c net.Conn, b []byte) {
		t.Helper()
		if _, err := c.Write(b); err != nil {
			t.Fatal(err)
		}
	}
	read := func(c net.Conn, want []byte) {
		t.Helper()
		got := make([]byte, len(want))
		if _, err := io.ReadFull(c, got); err != nil || !bytes.Equal(got, want) {
			t.Fatalf("read %q, %v; want %q", got, err, want)
		}
	}
	// busy makes c one on which much arrives.
	busy := func(c, peer net.Conn) {
		t.Helper()
		for lowWaterOf(t, c) != lowWater { // a read may find a part
			send(peer, much)
			read(c, much)
		}
	}

	t.Run("what arrives on a connection with little wakes its reader up", func(t *testing.T) {
		ours, theirs := tcpPair(t)
		time.AfterFunc(10*time.Millisecond, func() { _, _ = theirs.Write(little) })
		read(ours, little)
		if n := lowWaterOf(t, ours); n > 1 {
			t.Errorf("%d bytes have to arrive before that, want any", n)
		}
	})
	t.Run("on a busy one it wakes nobody up, and the next read finds it", func(t *testing.T) {
		ours, theirs := tcpPair(t)
		busy(ours, theirs)
		send(theirs, little)
		read(ours, little)
	})
	t.Run("one that has become idle is woken up again", func(t *testing.T) {
		ours, theirs := tcpPair(t)
		busy(ours, theirs)
		time.AfterFunc(10*time.Millisecond, func() { _, _ = theirs.Write(little) }) // while the reader waits
		read(ours, little)
	})
	t.Run("the end of a busy connection shows", func(t *testing.T) {
		ours, theirs := tcpPair(t)
		busy(ours, theirs)
		time.AfterFunc(10*time.Millisecond, func() { _ = theirs.CloseWrite() })
		if n, err := ours.Read(make([]byte, 10)); n != 0 || !errors.Is(err, io.EOF) {
			t.Errorf("read %d bytes, %v; want EOF", n, err)
		}
	})
	t.Run("so does a reset", func(t *testing.T) {
		ours, theirs := tcpPair(t)
		busy(ours, theirs)
		_ = theirs.SetLinger(0)
		_ = theirs.Close()
		if n, err := ours.Read(make([]byte, 10)); n != 0 || !errors.Is(err, syscall.ECONNRESET) {
			t.Errorf("read %d bytes, %v; want a reset", n, err)
		}
	})
	t.Run("its deadline holds", func(t *testing.T) {
		ours, theirs := tcpPair(t)
		busy(ours, theirs)
		_ = ours.SetReadDeadline(time.Now().Add(10 * time.Millisecond))
		if _, err := ours.Read(make([]byte, 10)); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("%v, want a timeout", err)
		}
	})
	t.Run("so does its end here", func(t *testing.T) {
		ours, theirs := tcpPair(t)
		busy(ours, theirs)
		time.AfterFunc(10*time.Millisecond, func() { _ = ours.Close() })
		if _, err := ours.Read(make([]byte, 10)); !errors.Is(err, net.ErrClosed) {
			t.Errorf("%v, want net.ErrClosed", err)
		}
	})
}
