package paced

import (
	"errors"
	"io"
	"net"
	"os"
	"testing"
	"testing/synctest"
	"time"
)

// counted counts the calls that reach the socket.
type counted struct {
	net.Conn
	reads, writes int
}

func (c *counted) Read(p []byte) (int, error)  { c.reads++; return c.Conn.Read(p) }
func (c *counted) Write(p []byte) (int, error) { c.writes++; return c.Conn.Write(p) }

func TestAcknowledgementsShareAWrite(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ours, theirs := net.Pipe()
		socket := &counted{Conn: ours}
		c := NewConn(socket)
		for range 1000 {
			c.Queue([]byte{0x40, 2, 0, 1})
		}
		if _, err := io.ReadFull(theirs, make([]byte, 4000)); err != nil {
			t.Fatal(err)
		}
		if socket.writes != 1 {
			t.Errorf("%d writes, want 1", socket.writes)
		}

		c.Queue([]byte{0x40, 2, 0, 2})
		if _, err := io.ReadFull(theirs, make([]byte, 4)); err != nil {
			t.Fatalf("a later one is not sent: %v", err)
		}
		_ = c.Close()
	})
}

func TestPacketsTakeAcknowledgementsAlong(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ours, theirs := net.Pipe()
		socket := &counted{Conn: ours}
		c := NewConn(socket)
		c.Queue([]byte("ack "))
		go func() { _, _ = c.Write([]byte("ping")) }()
		got := make([]byte, 8)
		if _, err := io.ReadFull(theirs, got); err != nil || string(got) != "ack ping" {
			t.Errorf("got %q, %v", got, err)
		}
		time.Sleep(time.Minute)
		if socket.writes != 1 {
			t.Errorf("%d writes, want 1", socket.writes)
		}
		_ = c.Close()
	})
}

func TestAcknowledgeNeverBlocks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ours, _ := net.Pipe() // nobody reads
		c := NewConn(Reads(ours, 0, 0))
		start := time.Now()
		for range 10 {
			c.Queue([]byte{0x40, 2, 0, 1})
			time.Sleep(writeEvery) // so that writes get under way
		}
		if d := time.Since(start); d > 10*writeEvery {
			t.Errorf("took %v beside the pauses", d-10*writeEvery)
		}
		select {
		case <-c.closed:
			t.Error("closed at once")
		default:
		}
		time.Sleep(writeTimeout + writeEvery)
		select {
		case <-c.closed:
		default:
			t.Errorf("a peer that reads nothing for %v is not cut off", writeTimeout)
		}
	})
}

func TestReadsAreSpaced(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ours, theirs := net.Pipe()
		c := NewConn(Reads(ours, 0, 0))
		go func() {
			for range 10 {
				_, _ = theirs.Write([]byte("x"))
			}
		}()
		start := time.Now()
		for range 10 {
			if _, err := c.Read(make([]byte, 100)); err != nil {
				t.Fatal(err)
			}
		}
		if d := time.Since(start); d != 9*readEvery {
			t.Errorf("10 reads took %v, want %v apart", d, readEvery)
		}
		_ = c.Close()
	})
}

func TestReadDeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ours, _ := net.Pipe()
		c := NewConn(Reads(ours, 0, 0))
		start := time.Now()
		_ = c.SetDeadline(start.Add(time.Second))
		_ = c.SetDeadline(start.Add(3 * time.Second))
		if _, err := c.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("got %v", err)
		}
		if d := time.Since(start); d < 3*time.Second || d > 3*time.Second+readSlack {
			t.Errorf("gave up after %v, want 3 s or a little more", d)
		}
		_ = c.Close()
	})
}

func TestIdleTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ours, theirs := net.Pipe()
		c := NewConn(Reads(ours, 0, 10*time.Second))
		go func() {
			for range 5 {
				time.Sleep(9 * time.Second)
				_, _ = theirs.Write([]byte("x"))
			}
		}()
		start := time.Now()
		var err error
		for err == nil {
			_, err = c.Read(make([]byte, 1))
		}
		if d := time.Since(start); !errors.Is(err, os.ErrDeadlineExceeded) || d < 55*time.Second || d > 55*time.Second+readSlack+readEvery {
			t.Errorf("%v after %v, want a timeout 10 s after the last byte, which came after 45 s", err, d)
		}
		_ = c.Close()
	})
}
