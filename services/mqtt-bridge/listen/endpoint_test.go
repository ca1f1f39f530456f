package listen

import (
	"bufio"
	"encoding/binary"
	"errors"
	"io"
	"log/slog"
	"net"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"go.uber.org/goleak"

	"github.com/telltale-iot/telltale/pkg/auth"
	"github.com/telltale-iot/telltale/pkg/ignored"
	"github.com/telltale-iot/telltale/pkg/kafka"
	"github.com/telltale-iot/telltale/pkg/kafka/producer"
	"github.com/telltale-iot/telltale/pkg/mapping"
	"github.com/telltale-iot/telltale/services/mqtt-bridge/budget"
	"github.com/telltale-iot/telltale/services/mqtt-bridge/packet"
	"github.com/telltale-iot/telltale/services/mqtt-bridge/pipeline"
	"github.com/telltale-iot/telltale/services/mqtt-bridge/trace"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// testEndpoint is one that nothing listens for, and whose Kafka never answers.
func testEndpoint(t testing.TB) *Endpoint {
	t.Helper()
	log, registry, limits := slog.New(slog.DiscardHandler), prometheus.NewRegistry(), budget.New()
	cfg := kafka.Config{Topic: "raw-data"}
	mappings, err := mapping.Config{Mappings: []string{"telltale"}}.Load()
	if err != nil {
		t.Fatal(err)
	}
	seen := trace.New(cfg, "", true, log)
	pipe := pipeline.New(cfg, producer.New(cfg, log, registry), mappings, ignored.New(cfg, "", mappings.Hint, log), seen, limits.InFlight, log, registry)
	e, err := New(Config{MaxConnections: 10_000, MaxPacketBytes: 1114112}, &Access{Mode: auth.Off}, pipe, seen, limits, log, registry)
	if err != nil {
		t.Fatal(err)
	}
	e.stop = t.Context().Done()
	return e
}

func (e *Endpoint) refused(reason string) int {
	return int(testutil.ToFloat64(e.metrics.refusals.WithLabelValues(reason)))
}

// peer is a client of an endpoint.
type peer struct {
	net.Conn
	t testing.TB
	r *bufio.Reader
	e *Endpoint
}

// addrConn is a connection that comes from an address.
type addrConn struct {
	net.Conn
	from net.IP
}

func (c addrConn) RemoteAddr() net.Addr { return &net.TCPAddr{IP: c.from} }

// dial connects a client that comes from an address, over a pipe.
func (e *Endpoint) dial(t testing.TB, from string) *peer {
	ours, theirs := net.Pipe()
	p := &peer{Conn: theirs, t: t, r: bufio.NewReader(theirs), e: e}
	e.admit(addrConn{ours, net.ParseIP(from)}, &net.TCPAddr{}, nil)
	t.Cleanup(func() {
		_ = theirs.Close()
		e.serving.Wait()
	})
	return p
}

func (p *peer) send(b []byte) {
	p.t.Helper()
	_ = p.SetWriteDeadline(time.Now().Add(time.Minute))
	if _, err := p.Write(b); err != nil {
		p.t.Fatal(err)
	}
}

// receive returns the next packet; its kind is 0 when the connection has ended.
func (p *peer) receive() (packet.Header, []byte) {
	p.t.Helper()
	_ = p.SetReadDeadline(time.Now().Add(time.Minute))
	first, err := p.r.ReadByte()
	if err != nil {
		return packet.Header{}, nil
	}
	length, err := binary.ReadUvarint(p.r) // MQTT's has the same form
	if err != nil {
		p.t.Fatal(err)
	}
	body := make([]byte, length)
	if _, err := io.ReadFull(p.r, body); err != nil {
		p.t.Fatal(err)
	}
	return packet.Header{Kind: packet.Kind(first >> 4), Flags: first & 15, Length: len(body)}, body
}

func (p *peer) want(kind packet.Kind, body ...byte) {
	p.t.Helper()
	h, b := p.receive()
	if h.Kind != kind || body != nil && string(b) != string(body) {
		p.t.Fatalf("received a packet of kind %d with % x, want kind %d with % x", h.Kind, b, kind, body)
	}
}

func text(s string) string { return string(binary.BigEndian.AppendUint16(nil, uint16(len(s)))) + s }

func whole(first byte, parts ...string) []byte {
	body := strings.Join(parts, "")
	return append(binary.AppendUvarint([]byte{first}, uint64(len(body))), body...)
}

// hello is a CONNECT with a persistent session.
func hello(version byte, id string, keepalive int) []byte {
	properties := ""
	if version == packet.V5 {
		properties = "\x05\x11\x00\x00\x02\x58" // a session of 600 s
	}
	return whole(0x10, text("MQTT"), string(version)+"\x00", string(binary.BigEndian.AppendUint16(nil, uint16(keepalive))), properties, text(id))
}

// connect returns a client that is connected.
func (e *Endpoint) connect(t testing.TB, version byte, id string) *peer {
	t.Helper()
	p := e.dial(t, "192.0.2.1")
	p.send(hello(version, id, 60))
	p.want(packet.KindConnack)
	return p
}

func publish(version, qos byte, id int, topic, payload string) []byte {
	properties, packetID := "", ""
	if version == packet.V5 {
		properties = "\x00"
	}
	if qos > 0 {
		packetID = string(binary.BigEndian.AppendUint16(nil, uint16(id)))
	}
	return whole(0x30|qos<<1, text(topic), packetID, properties, payload)
}

func TestKeepalive(t *testing.T) {
	for _, keepalive := range []int{10, 43_691, 65_535} {
		t.Run(strconv.Itoa(keepalive), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				e := testEndpoint(t)
				p := e.dial(t, "192.0.2.1")
				p.send(hello(packet.V5, "a", keepalive))
				p.want(packet.KindConnack)
				time.Sleep(time.Duration(keepalive) * time.Second) // of the test's own clock
				p.send([]byte("\xc0\x00"))
				p.want(packet.KindPingresp)
				start := time.Now()
				_ = p.SetReadDeadline(time.Time{})
				if b, err := p.r.ReadByte(); err != nil || b != 0xe0 {
					t.Fatalf("received %x, %v", b, err)
				}
				if d, want := time.Since(start), time.Duration(keepalive)*1500*time.Millisecond; d < want || d > want+3*time.Second {
					t.Errorf("a silent client is cut off after %v, want %v", d, want)
				}
				if e.refused(byKeepAlive) != 1 {
					t.Error("it is not counted")
				}
			})
		})
	}
}

// What a client sends too slowly ends its connection, and gives back what it took.
func TestSlowPackets(t *testing.T) {
	for name, tt := range map[string]struct {
		connected bool
		sent      []byte
		after     time.Duration
	}{
		"nothing":                  {false, nil, connectTimeout},
		"a part of a CONNECT":      {false, hello(packet.V31, "a", 60)[:10], connectTimeout},
		"a part of a header":       {true, []byte{0x30, 0xff}, packetTimeout},
		"a part of a short packet": {true, publish(packet.V31, 1, 1, "sensors/data", "text")[:12], packetTimeout},
		"a part of a long packet":  {true, publish(packet.V31, 1, 1, "sensors/data", strings.Repeat("x", 100_000))[:50_000], packetTimeout},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				e := testEndpoint(t)
				p := e.dial(t, "192.0.2.1")
				if tt.connected {
					p.send(hello(packet.V31, "a", 3600))
					p.want(packet.KindConnack)
				}
				start := time.Now()
				p.send(tt.sent)
				if n := e.budget.Incomplete.Used(); len(tt.sent) > readBuffer && n != 100_016 {
					t.Errorf("%d bytes are taken of the budget", n)
				}
				p.want(0)
				if d := time.Since(start); d < tt.after || d > tt.after+3*time.Second {
					t.Errorf("ended after %v, want %v", d, tt.after)
				}
				e.serving.Wait()
				if e.refused(bySlowPacket) != 1 || e.budget.Incomplete.Used() != 0 {
					t.Errorf("counted: %d, taken: %d", e.refused(bySlowPacket), e.budget.Incomplete.Used())
				}
			})
		})
	}
}

func TestPendingConnections(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := testEndpoint(t)
		for range 2 * maxPending {
			e.dial(t, "192.0.2.1") // says nothing
		}
		e.dial(t, "192.0.2.2").greet()
		last := e.dial(t, "192.0.2.1")
		go last.greet() // when the others have had their time
		synctest.Wait()
		if n := e.established; n != 1 {
			t.Errorf("%d clients are connected, want that of the other address", n)
		}
		time.Sleep(connectTimeout + 2*time.Second)
		synctest.Wait()
		if n := e.refused(byPending) + e.refused(bySlowPacket); n < 2*maxPending {
			t.Errorf("%d were refused", n)
		}
		if n := len(e.addresses.of); n > 1 {
			t.Errorf("%d addresses are remembered", n)
		}
	})

	t.Run("the first make room for the last", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			e := testEndpoint(t)
			e.addresses.limit = 10
			var silent []*peer
			for i := range 15 {
				silent = append(silent, e.dial(t, "192.0.2."+strconv.Itoa(i)))
			}
			for _, p := range silent[:5] {
				p.want(0)
			}
			silent[5].greet()
			e.dial(t, "192.0.2.100").greet()
		})
	})
}

// name is a client id that no other client has.
func (e *Endpoint) name() string {
	e.mu.Lock()
	defer e.mu.Unlock()
	return strconv.Itoa(len(e.clients))
}

// greet connects, where it is let.
func (p *peer) greet() {
	p.t.Helper()
	if _, err := p.Write(hello(packet.V31, p.e.name(), 60)); err == nil {
		p.receive()
	}
}

func TestHalfClosed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := testEndpoint(t)
		l := newPipe()
		e.admit(l.ours, &net.TCPAddr{}, nil)
		p := &peer{Conn: l.theirs, t: t, r: bufio.NewReader(l.theirs), e: e}
		p.send(hello(packet.V31, "a", 60))
		p.want(packet.KindConnack)
		cl := e.clients[sessionID{client: "a"}]
		p.send(publish(packet.V31, 1, 7, "sensors/data", "x"))
		synctest.Wait()
		l.ours.end() // the client sends no more
		synctest.Wait()
		if cl.conn == nil {
			t.Fatal("the connection ended before its acknowledgement")
		}
		e.pipe.Drain() // Kafka never answers here: it is given up
		time.Sleep(halfClosedTime)
		e.serving.Wait()
	})
}

// pipe is a connection whose one half can be closed.
type pipe struct {
	ours   *halfConn
	theirs net.Conn
}

type halfConn struct {
	net.Conn
	ended atomic.Bool
}

func newPipe() pipe {
	ours, theirs := net.Pipe()
	return pipe{&halfConn{Conn: ours}, theirs}
}

func (c *halfConn) end() {
	c.ended.Store(true)
	_ = c.SetReadDeadline(time.Unix(1, 0))
}

func (c *halfConn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	if err != nil && c.ended.Load() {
		err = io.EOF
	}
	return n, err
}

// scripted is a listener whose Accept a test plays.
type scripted func() (net.Conn, error)

func (s scripted) Accept() (net.Conn, error) { return s() }
func (scripted) Close() error                { return nil }
func (scripted) Addr() net.Addr              { return &net.TCPAddr{} }

func TestAcceptFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := testEndpoint(t)
		var status atomic.Pointer[error]
		results := make(chan error)
		l := scripted(func() (net.Conn, error) { return nil, <-results })
		var accepting sync.WaitGroup
		accepting.Go(func() { _ = e.accept(l, nil, func(err error) { status.Store(&err) }) })
		check := func(want string) {
			t.Helper()
			synctest.Wait()
			status := *status.Load()
			if (status == nil) != (want == "") || (status != nil && !strings.Contains(status.Error(), want)) {
				t.Errorf("the status is %v, want %q", status, want)
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
	if err := e.accept(l, nil, func(error) {}); !errors.Is(err, net.ErrClosed) {
		t.Error(err)
	}
	for _, c := range given {
		_ = c.Close()
	}
	e.serving.Wait()
}
