package bridge

import (
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
