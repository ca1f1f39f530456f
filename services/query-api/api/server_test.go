package api

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"testing"
	"time"

	"github.com/telltale-iot/telltale/pkg/iot"
	"github.com/telltale-iot/telltale/pkg/timeouts"
)

// start runs a on a free port. stop stops it and waits for it; it may be called more than once.
func start(t *testing.T, a *API) (addr string, stop func() error) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return l.Addr().String(), startOn(t, a, l)
}

// startOn runs a on l.
func startOn(t *testing.T, a *API, l net.Listener) (stop func() error) {
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	var err error
	go func() {
		defer close(ended)
		err = a.Run(ctx, l)
	}()
	stop = func() error { cancel(); <-ended; return err }
	t.Cleanup(func() { _ = stop() })
	return stop
}

// pipes is a listener for connections within this process, which a synctest bubble may wait for. They hold
// nothing: what one side writes waits until the other reads it.
type pipes chan net.Conn

// startOnPipes runs a in a synctest bubble. dial connects to it.
func startOnPipes(t *testing.T, a *API) (dial func() net.Conn) {
	l := make(pipes)
	startOn(t, a, l)
	return func() net.Conn {
		client, server := net.Pipe()
		t.Cleanup(func() { _ = client.Close() })
		l <- server
		return client
	}
}

func (l pipes) Accept() (net.Conn, error) {
	if c, ok := <-l; ok {
		return c, nil
	}
	return nil, net.ErrClosed
}

func (l pipes) Close() error   { close(l); return nil }
func (l pipes) Addr() net.Addr { return &net.UnixAddr{Name: "pipes", Net: "pipe"} }

func TestRun(t *testing.T) {
	t.Run("a request that is under way when it is stopped is answered", func(t *testing.T) {
		entered, release := make(chan struct{}), make(chan struct{})
		a := embedded(t).api(t, nil)
		a.Latest = cacheFunc{latest: func(ctx context.Context, _ iot.DeviceID) (iot.Reading, error) {
			close(entered)
			<-release
			return reading(1, 0), ctx.Err()
		}}
		addr, stop := start(t, a)
		status := make(chan string, 1)
		go func() {
			response, err := http.Get("http://" + addr + "/api/devices/1/latest/")
			if err != nil {
				status <- err.Error()
				return
			}
			defer response.Body.Close()
			status <- response.Status
		}()
		<-entered
		stopped := make(chan error, 1)
		go func() { stopped <- stop() }()
		for { // until it takes no more connections
			c, err := net.Dial("tcp", addr)
			if err != nil {
				break
			}
			_ = c.Close()
		}
		close(release)
		if got := <-status; got != "200 OK" {
			t.Errorf("the request: %s", got)
		}
		if err := <-stopped; err != nil {
			t.Errorf("Run: %v", err)
		}
	})
	t.Run("connections that are idle do not hold it up", func(t *testing.T) {
		addr, stop := start(t, embedded(t).api(t, nil))
		c, err := net.Dial("tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		if _, err := io.WriteString(c, "GET /api/users/ HTTP/1.1\r\nHost: localhost\r\n\r\n"); err != nil {
			t.Fatal(err)
		}
		if _, err := http.ReadResponse(bufio.NewReader(c), nil); err != nil {
			t.Fatal(err)
		}
		begin := time.Now()
		if err := stop(); err != nil || time.Since(begin) > timeouts.HTTPDrain/2 {
			t.Errorf("Run: %v after %v", err, time.Since(begin))
		}
	})
	t.Run("it fails when its listener does", func(t *testing.T) {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		_ = l.Close()
		if err := embedded(t).api(t, nil).Run(t.Context(), l); !errors.Is(err, net.ErrClosed) {
			t.Errorf("Run: %v", err)
		}
	})
}

func TestHead(t *testing.T) {
	addr, _ := start(t, embedded(t).api(t, nil))
	for _, path := range []string{"/api/users/", "/api/users/1/", "/api/openapi.json", "/api/docs/"} {
		got, err := http.Get("http://" + addr + path)
		if err != nil {
			t.Fatal(err)
		}
		body, _ := io.ReadAll(got.Body)
		_ = got.Body.Close()
		head, err := http.Head("http://" + addr + path)
		if err != nil {
			t.Fatal(err)
		}
		_ = head.Body.Close()
		if head.StatusCode != got.StatusCode || head.Header.Get("Content-Type") != got.Header.Get("Content-Type") {
			t.Errorf("HEAD %s: %s %s", path, head.Status, head.Header)
		}
		if path != "/api/docs/" && head.ContentLength != int64(len(body)) {
			t.Errorf("HEAD %s: Content-Length %d, body %d", path, head.ContentLength, len(body))
		}
	}
}
