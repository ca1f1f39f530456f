package httpguard

import (
	"bufio"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
)

// pipes is a listener that hands out connections within the process.
type pipes chan net.Conn

func (p pipes) Accept() (net.Conn, error) {
	if c, ok := <-p; ok {
		return c, nil
	}
	return nil, net.ErrClosed
}

func (p pipes) Close() error   { close(p); return nil }
func (p pipes) Addr() net.Addr { return &net.UnixAddr{Name: "pipes", Net: "pipe"} }

// port is one that answers a request for /wait when it is released, and others at once. It lives in a synctest bubble.
type port struct {
	t       *testing.T
	pipes   pipes
	release chan struct{}
	guard   *Guard
}

func serve(t *testing.T) *port {
	p := &port{t: t, pipes: make(pipes), release: make(chan struct{}), guard: New(Config{}, slog.New(slog.DiscardHandler), prometheus.NewRegistry())}
	server := &http.Server{Handler: http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/wait" {
			<-p.release
		}
	})}
	served := make(chan error, 1)
	go func() { served <- p.guard.Serve("api", server, p.pipes) }()
	t.Cleanup(func() {
		_ = server.Close()
		if err := <-served; !errors.Is(err, http.ErrServerClosed) {
			t.Error(err)
		}
	})
	return p
}

func (p *port) dial() net.Conn {
	client, server := net.Pipe()
	p.t.Cleanup(func() { _ = client.Close() })
	p.pipes <- server
	return client
}

func (p *port) write(c net.Conn, text string) {
	p.t.Helper()
	if _, err := io.WriteString(c, text); err != nil {
		p.t.Fatal(err)
	}
}

// ask sends a request and returns how its answer ends.
func (p *port) ask(c net.Conn, path string) error {
	if _, err := io.WriteString(c, "GET "+path+" HTTP/1.1\r\nHost: localhost\r\n\r\n"); err != nil {
		return err
	}
	return readAnswer(c)
}

func readAnswer(c net.Conn) error {
	answer, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		return err
	}
	_ = answer.Body.Close()
	return nil
}

func isClosed(c net.Conn) bool {
	_, err := c.Read(make([]byte, 1))
	return errors.Is(err, io.EOF)
}

func (p *port) refused() float64 {
	return testutil.ToFloat64(p.guard.refused.WithLabelValues("api", reasonConnections))
}

func TestServe(t *testing.T) {
	t.Run("when all connections have a request, one more is closed, until one of them ends", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			p := serve(t)
			var busy []net.Conn
			for range MaxConnections {
				c := p.dial()
				p.write(c, "GET /wait HTTP/1.1\r\nHost: localhost\r\n\r\n")
				busy = append(busy, c)
			}
			synctest.Wait()
			if !isClosed(p.dial()) || p.refused() != 1 {
				t.Errorf("one more is taken; %v are counted as refused", p.refused())
			}
			close(p.release)
			for _, c := range busy {
				if err := readAnswer(c); err != nil {
					t.Fatal(err)
				}
			}
			_ = busy[0].Close()
			synctest.Wait()
			if err := p.ask(p.dial(), "/"); err != nil {
				t.Errorf("after the end of another: %v", err)
			}
			if p.refused() != 1 {
				t.Error("it took the place of one more than had ended")
			}
		})
	})
	t.Run("connections without a request lock out nobody: one more takes the place of the one that is so for longest", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			p := serve(t)
			asked, silent, half, waits := p.dial(), p.dial(), p.dial(), p.dial()
			p.write(half, "GET / HTTP/1.1\r\n")
			p.write(waits, "GET /wait HTTP/1.1\r\nHost: localhost\r\n\r\n")
			for range MaxConnections - 4 {
				p.dial()
			}
			synctest.Wait()
			if err := p.ask(asked, "/"); err != nil { // and is the last one to be idle
				t.Fatal(err)
			}
			synctest.Wait()
			for i, longest := range []net.Conn{silent, half} {
				if err := p.ask(p.dial(), "/"); err != nil {
					t.Fatalf("one more: %v", err)
				}
				if !isClosed(longest) || p.refused() != float64(i+1) {
					t.Errorf("not the one that is idle for longest is closed, %d; %v are counted", i, p.refused())
				}
			}
			if err := p.ask(asked, "/"); err != nil {
				t.Errorf("one that was used since: %v", err)
			}
			close(p.release)
			if err := readAnswer(waits); err != nil {
				t.Errorf("one with a request: %v", err)
			}
		})
	})
}

// TestCloseTwice: a connection that is closed twice makes room for one.
func TestCloseTwice(t *testing.T) {
	l := &listener{open: 1}
	ours, theirs := net.Pipe()
	defer ours.Close()
	c := &conn{Conn: theirs, listener: l}
	_, _ = c.Close(), c.Close()
	if l.open != 0 {
		t.Errorf("%d are open", l.open)
	}
}

// TestRefusedBody: who sends a body that nobody reads gets the answer, and the end of the connection behind it.
func TestRefusedBody(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusRequestEntityTooLarge)
	})}
	served := make(chan error, 1)
	go func() {
		served <- New(Config{}, slog.New(slog.DiscardHandler), prometheus.NewRegistry()).Serve("api", server, l)
	}()
	c, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	const unread = 1 << 20 // more than net/http reads to keep a connection
	request := "POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 10000000\r\n\r\n" + strings.Repeat("x", unread)
	if _, err := io.WriteString(c, request); err != nil {
		t.Fatal(err)
	}
	if answer, err := io.ReadAll(c); err != nil || !strings.HasPrefix(string(answer), "HTTP/1.1 413 ") {
		t.Errorf("%q, %v", answer, err)
	}
	if err := server.Shutdown(t.Context()); err != nil {
		t.Error(err)
	}
	if err := <-served; !errors.Is(err, http.ErrServerClosed) {
		t.Error(err)
	}
}
