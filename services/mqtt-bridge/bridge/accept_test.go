package bridge

import (
	"errors"
	"net"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

// scripted is a listener whose Accept a test plays.
type scripted func() (net.Conn, error)

func (s scripted) Accept() (net.Conn, error) { return s() }
func (scripted) Close() error                { return nil }
func (scripted) Addr() net.Addr              { return &net.TCPAddr{} }

func TestAcceptFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var b Bridge
		e := testEndpoint(t)
		results := make(chan error)
		l := scripted(func() (net.Conn, error) { return nil, <-results })
		var accepting, serving sync.WaitGroup
		accepting.Go(func() { _ = e.accept(l, 10, &serving, b.setStatus) })
		check := func(want string) {
			t.Helper()
			synctest.Wait()
			if err := b.Check(t.Context()); (err == nil) != (want == "") || (err != nil && !strings.Contains(err.Error(), want)) {
				t.Errorf("Check says %v, want %q", err, want)
			}
		}
		for range 2 {
			results <- &net.OpError{Op: "accept", Err: syscall.EMFILE}
			check("too many open files")
		}
		time.Sleep(2 * time.Second) // of the test's own clock: it waits for a device again
		check("")
		results <- net.ErrClosed
		accepting.Wait()
	})
}

// A stop ends all connections that are entered: those too that were accepted the moment before.
func TestAcceptEntersConnections(t *testing.T) {
	e := testEndpoint(t)
	const connections = 100
	var given []net.Conn
	l := scripted(func() (net.Conn, error) {
		e.mu.Lock()
		entered := len(e.conns)
		e.mu.Unlock()
		if entered != len(given) {
			t.Errorf("%d connections are entered, and %d accepted", entered, len(given))
		}
		if len(given) == connections || t.Failed() {
			return nil, net.ErrClosed
		}
		ours, theirs := net.Pipe()
		given = append(given, theirs)
		return ours, nil
	})
	var serving sync.WaitGroup
	if err := e.accept(l, connections+1, &serving, func(error) {}); !errors.Is(err, net.ErrClosed) {
		t.Error(err)
	}
	for _, c := range given {
		_ = c.Close()
	}
	serving.Wait()
}
