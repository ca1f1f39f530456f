package api

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"testing"
)

// takeAll takes all slots, which have to be free, for as many clients.
func takeAll(t *testing.T, s *slots) {
	t.Helper()
	for i := range s.all {
		if _, err := s.take(fmt.Sprintf("198.51.100.%d:1", i)); err != nil {
			t.Fatalf("slot %d: %v", i, err)
		}
	}
}

func checkFree(t *testing.T, s *slots) {
	t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.taken != 0 || len(s.of) != 0 {
		t.Errorf("what has ended still takes %d slots, of %v", s.taken, s.of)
	}
}

func TestSlots(t *testing.T) {
	full, half := new(problem), new(problem)
	full.status, half.status = 503, 429
	s := newSlots(4, 2, full, half)
	take := func(from string, want *problem) (release func()) {
		t.Helper()
		release, err := s.take(from)
		var got *problem
		if errors.As(err, &got); got != want {
			t.Errorf("%s: %v, want %v", from, got, want)
		}
		return release
	}
	first := take("192.0.2.1:1000", nil)
	second := take("[::ffff:192.0.2.1]:2", nil)
	take("192.0.2.1:1001", half)
	third := take("[2001:db8::1]:1", nil)
	fourth := take("[2001:db8::2:0:0:1%eth0]:1", nil)
	take("192.0.2.2:1", full)
	first()
	take("[2001:db8::ffff]:1", half)
	fifth := take("[2001:db8:0:1::1]:1", nil)
	second()
	sixth := take("192.0.2.1:1", nil)
	for _, release := range []func(){third, fourth, fifth, sixth} {
		release()
	}
	checkFree(t, s)
}

// TestSlotsOfClients: of one address there are half of the exports and imports at most, whatever it says of itself. Those of others go on.
func TestSlotsOfClients(t *testing.T) {
	const forever = 1 << 40
	for _, tt := range []struct {
		what, request, begin string
		all                  int
	}{
		{"exports", "GET /api/readings/export/", "", maxExports},
		{"exports of a list", "GET /api/readings/?format=csv", "", maxExports},
		{"imports", "POST " + importPath, "Expect: 100-continue\r\nContent-Length: 1000\r\n", maxImports},
	} {
		t.Run(tt.what, func(t *testing.T) {
			a := withReadings(t, &scanner{n: forever})
			addr, stop := start(t, a)
			var begun []net.Conn
			ask := func(from string) *http.Response {
				t.Helper()
				c, err := (&net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(from)}}).Dial("tcp", addr)
				if err != nil {
					t.Fatal(err)
				}
				begun = append(begun, c)
				if _, err := fmt.Fprintf(c, "%s HTTP/1.1\r\nHost: localhost\r\nX-Forwarded-For: 203.0.113.%d\r\nContent-Type: text/csv\r\n%s\r\n", tt.request, len(begun), tt.begin); err != nil {
					t.Fatal(err)
				}
				answer, err := http.ReadResponse(bufio.NewReader(c), nil)
				if err != nil {
					t.Fatal(err)
				}
				return answer
			}
			for i := range tt.all {
				from := fmt.Sprintf("127.0.0.%d", 1+i/(tt.all/2))
				if answer := ask(from); answer.StatusCode != http.StatusOK && answer.StatusCode != http.StatusContinue {
					t.Fatalf("%d, of %s: %s", i, from, answer.Status)
				}
				if i != tt.all/2-1 {
					continue
				}
				answer := ask(from)
				text, err := io.ReadAll(answer.Body)
				if answer.StatusCode != http.StatusTooManyRequests || answer.Header.Get("Retry-After") != "10" || err != nil {
					t.Errorf("one more than half: %s %s %v", answer.Status, text, err)
				}
			}
			if answer := ask("127.0.0.3"); answer.StatusCode != http.StatusServiceUnavailable || answer.Header.Get("Retry-After") != "10" {
				t.Errorf("one more than all: %s", answer.Status)
			}
			for _, c := range begun {
				_ = c.Close()
			}
			if err := stop(); err != nil {
				t.Error(err)
			}
			checkFree(t, a.limits.exports)
			checkFree(t, a.limits.imports)
		})
	}
}

// tcp hands out connections that tell which buffer is set.
type tcp struct {
	*net.TCPListener
	buffers chan int
}

func (l tcp) Accept() (net.Conn, error) {
	c, err := l.AcceptTCP()
	if err != nil {
		return nil, err
	}
	return buffered{c, l.buffers}, nil
}

type buffered struct {
	*net.TCPConn
	buffers chan int
}

func (c buffered) SetWriteBuffer(bytes int) error {
	c.buffers <- bytes
	return c.TCPConn.SetWriteBuffer(bytes)
}

// TestSendBuffer: the system keeps little of a file, so that it shows what the client takes.
func TestSendBuffer(t *testing.T) {
	l, err := net.ListenTCP("tcp", &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	buffers := make(chan int, 2)
	startOn(t, withReadings(t, &scanner{n: 10}), tcp{l, buffers})
	if _, _, err := fetch(t, "http://"+l.Addr().String()+"/api/readings/export/", "identity"); err != nil {
		t.Fatal(err)
	}
	if len(buffers) != 1 || <-buffers != sendBuffer {
		t.Error("of a file it keeps what it likes")
	}
}
