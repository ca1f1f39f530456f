package listen

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gorilla/websocket"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/telltale-iot/telltale/pkg/httpguard"
	"github.com/telltale-iot/telltale/pkg/tlsfiles/tlsfilestest"
	"github.com/telltale-iot/telltale/services/mqtt-bridge/packet"
)

// dialWeb connects a client from an address, over a pipe to the port of WebSockets.
func (e *Endpoint) dialWeb(t testing.TB, upgrade http.Handler, from string) *peer {
	ours, theirs := net.Pipe()
	e.admit(addrConn{ours, net.ParseIP(from)}, &net.TCPAddr{}, upgrade)
	t.Cleanup(func() {
		_ = theirs.Close()
		e.serving.Wait()
	})
	_ = theirs.SetDeadline(time.Now().Add(time.Hour))
	return &peer{Conn: theirs, t: t, r: bufio.NewReader(theirs), e: e}
}

func testUpgrader(hosts ...string) http.Handler {
	guard := httpguard.New(httpguard.Config{AllowedHosts: hosts}, slog.New(slog.DiscardHandler), prometheus.NewRegistry())
	return (&WebSocket{Guard: guard}).upgrader()
}

// web returns a client whose WebSocket is there.
func (e *Endpoint) web(t testing.TB) *peer {
	t.Helper()
	p := e.dialWeb(t, testUpgrader(), "192.0.2.1")
	p.open(t, p.Conn)
	return p
}

// open makes nc, the connection of p, a WebSocket.
func (p *peer) open(t testing.TB, nc net.Conn) {
	t.Helper()
	frames, answer, err := websocket.NewClient(nc, &url.URL{Scheme: "ws", Host: "localhost", Path: "/mqtt"}, //nolint:staticcheck // over a connection that is there
		http.Header{"Sec-Websocket-Protocol": {"mqtt"}}, 0, 0)
	if err != nil {
		t.Fatal(err)
	}
	if got := answer.Header.Get("Sec-Websocket-Protocol"); got != "mqtt" {
		t.Errorf("the subprotocol is %q", got)
	}
	p.Conn = &webSocket{Conn: nc, frames: frames}
	p.r.Reset(p.Conn)
}

func (p *peer) frames() *websocket.Conn { return p.Conn.(*webSocket).frames }

func TestWebSocketHandshake(t *testing.T) {
	const upgrade = "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
	const mqtt, host = "Sec-WebSocket-Protocol: mqtt\r\n", "Host: 127.0.0.1:9001\r\n"
	get := func(headers string) string { return "GET /mqtt HTTP/1.1\r\n" + headers + "\r\n" }
	for name, tt := range map[string]struct {
		request string
		status  int // 0: the connection ends
	}{
		"a WebSocket of MQTT":               {get(host + upgrade + mqtt), 101},
		"with other subprotocols":           {get(host + upgrade + "Sec-WebSocket-Protocol: wamp, mqtt\r\n"), 101},
		"of MQTT 3.1":                       {get(host + upgrade + "Sec-WebSocket-Protocol: mqttv3.1\r\n"), 101},
		"by another path":                   {"GET / HTTP/1.1\r\n" + host + upgrade + mqtt + "\r\n", 101},
		"by a page of the same origin":      {get(host + upgrade + mqtt + "Origin: http://127.0.0.1:9001\r\n"), 101},
		"by a name that is allowed":         {get("Host: telltale.example\r\n" + upgrade + mqtt), 101},
		"by a page of another origin":       {get(host + upgrade + mqtt + "Origin: http://evil.example\r\n"), 403},
		"by a page on another port":         {get(host + upgrade + mqtt + "Origin: http://127.0.0.1:3000\r\n"), 403},
		"by a page that knows no origin":    {get(host + upgrade + mqtt + "Origin: null\r\n"), 403},
		"by a name that is not allowed":     {get("Host: evil.example\r\n" + upgrade + mqtt + "Origin: http://evil.example\r\n"), 421},
		"without a host":                    {get(upgrade + mqtt), 421},
		"without the subprotocol":           {get(host + upgrade), 400},
		"with another subprotocol":          {get(host + upgrade + "Sec-WebSocket-Protocol: wamp\r\n"), 400},
		"without a WebSocket":               {get(host + mqtt), 400},
		"of an old version":                 {get(host + strings.Replace(upgrade, "13", "8", 1) + mqtt), 400},
		"without a key":                     {get(host + strings.Replace(upgrade, "Key", "Kee", 1) + mqtt), 400},
		"another method":                    {"POST /mqtt HTTP/1.1\r\n" + host + upgrade + mqtt + "\r\n", 405},
		"MQTT without a WebSocket":          {string(hello(packet.V5, "a", 60)) + "\n", 0},
		"headers without end":               {"GET / HTTP/1.1\r\nX: " + strings.Repeat("x", maxRequestBytes), 0},
		"a header after another":            {"GET / HTTP/1.1\r\n" + strings.Repeat("X: x\r\n", maxRequestBytes/6), 0},
		"data before the handshake is over": {get(host+upgrade+mqtt) + "\x82\x80\x00\x00\x00\x00", 0},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				e := testEndpoint(t)
				p := e.dialWeb(t, testUpgrader("telltale.example"), "192.0.2.1")
				go func() { _, _ = io.WriteString(p.Conn, tt.request) }()
				answer, err := http.ReadResponse(p.r, nil)
				switch {
				case tt.status == 0:
					if err == nil {
						t.Fatalf("the answer is %d", answer.StatusCode)
					}
				case err != nil:
					t.Fatal(err)
				case answer.StatusCode != tt.status:
					t.Errorf("the answer is %d, want %d", answer.StatusCode, tt.status)
				}
				if tt.status == http.StatusSwitchingProtocols {
					return
				}
				if err == nil {
					if body, err := io.ReadAll(answer.Body); err != nil || len(body) == 0 {
						t.Errorf("it says %q, %v", body, err)
					}
				}
				e.serving.Wait()
				if e.refused(byProtocol) != 1 || e.budget.Handshakes.Used() != 0 {
					t.Errorf("counted %d times, %d bytes are taken", e.refused(byProtocol), e.budget.Handshakes.Used())
				}
			})
		})
	}
}

// Packets may begin and end anywhere in frames and messages, as section 6 of the standard has it.
func TestPacketsInWebSocket(t *testing.T) {
	frame := func(p *peer, first byte, b ...byte) { // with a mask of zeros, which leaves b as it is
		p.below(append([]byte{first, 0x80 | byte(len(b)), 0, 0, 0, 0}, b...))
	}
	for name, send := range map[string]func(p *peer, b []byte){
		"a message for all": func(p *peer, b []byte) { p.send(b) },
		"a message for each byte": func(p *peer, b []byte) {
			for i := range b {
				p.send(b[i : i+1])
			}
		},
		"a frame for each byte": func(p *peer, b []byte) {
			frame(p, websocket.BinaryMessage)
			for _, c := range b {
				frame(p, 0, c)
			}
			frame(p, 0x80)
		},
		"with pings and empty messages between": func(p *peer, b []byte) {
			for len(b) > 0 {
				n := min(len(b), 10)
				p.send(b[:n])
				p.send(nil)
				frame(p, 0x80|websocket.PingMessage, '?')
				frame(p, 0x80|websocket.PongMessage)
				b = b[n:]
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				e := testEndpoint(t)
				p := e.web(t)
				b := append(hello(packet.V5, "a", 60), publish(packet.V5, 1, 7, "other", strings.Repeat("x", 300))...)
				b = append(b, "\xc0\x00"...)
				var sending sync.WaitGroup
				sending.Go(func() { send(p, b) })
				p.want(packet.KindConnack)
				p.want(packet.KindPuback)
				p.want(packet.KindPingresp)
				go func() { _, _ = io.Copy(io.Discard, p.Conn) }()
				sending.Wait()
			})
		})
	}
}

// below sends b to a WebSocket as it is.
func (p *peer) below(b []byte) {
	p.t.Helper()
	if _, err := p.Conn.(*webSocket).Conn.Write(b); err != nil {
		p.t.Fatal(err)
	}
}

// closing returns the code of the frame that ends a WebSocket, and 0 where it ends without.
func (p *peer) closing() int {
	p.t.Helper()
	for {
		_, _, err := p.frames().ReadMessage()
		var closed *websocket.CloseError
		switch {
		case err == nil:
		case errors.As(err, &closed) && closed.Code != websocket.CloseAbnormalClosure:
			return closed.Code
		default:
			return 0
		}
	}
}

func TestLimitsOfWebSocket(t *testing.T) {
	frame := func(first byte, length uint64) []byte {
		return append(binary.BigEndian.AppendUint64([]byte{first, 0xff}, length), 0, 0, 0, 0)
	}
	const binaryFrame, continued = 0x80 | websocket.BinaryMessage, 0
	for name, tt := range map[string]struct {
		send   []byte
		reason string
		code   int
	}{
		"a text message":             {[]byte{0x81, 0x81, 0, 0, 0, 0, 'x'}, byProtocol, websocket.CloseNormalClosure},
		"a frame without a mask":     {[]byte{binaryFrame, 0}, byProtocol, websocket.CloseProtocolError},
		"a frame of no known kind":   {[]byte{0x83, 0x80, 0, 0, 0, 0}, byProtocol, websocket.CloseProtocolError},
		"a frame out of order":       {frame(continued, 10), byProtocol, websocket.CloseProtocolError},
		"a long ping":                {frame(0x80|websocket.PingMessage, 126), byProtocol, websocket.CloseProtocolError},
		"a long frame, announced":    {frame(binaryFrame, 1<<40), byPacketSize, websocket.CloseMessageTooBig},
		"the longest frame":          {frame(binaryFrame, 1<<63-1), byPacketSize, websocket.CloseMessageTooBig},
		"a frame of negative length": {frame(binaryFrame, 1<<63), byPacketSize, websocket.CloseNormalClosure},
		"a long packet, announced":   {[]byte{binaryFrame, 0x85, 0, 0, 0, 0, 0x30, 0xff, 0xff, 0xff, 0x7f}, byPacketSize, websocket.CloseNormalClosure},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				e := testEndpoint(t)
				p := e.web(t)
				p.send(hello(packet.V5, "a", 60))
				p.want(packet.KindConnack)
				go p.below(tt.send)
				if code := p.closing(); code != tt.code {
					t.Errorf("closed with %d, want %d", code, tt.code)
				}
				e.serving.Wait()
				if e.refused(tt.reason) != 1 {
					t.Errorf("it is not counted as %s", tt.reason)
				}
			})
		})
	}
}

// What a client does not send to its end is not waited for.
func TestSlowWebSockets(t *testing.T) {
	t.Run("half a request", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			e, upgrade := testEndpoint(t), testUpgrader()
			atATime := e.budget.Handshakes.Limit() / upgradeBytes
			start := time.Now()
			var slow []*peer
			for i := range 2 * atATime {
				p := e.dialWeb(t, upgrade, fmt.Sprint("192.0.2.", i%250))
				go func() { _, _ = io.WriteString(p.Conn, "GET / HTTP/1.1\r\nHost: localhost\r\n") }()
				slow = append(slow, p)
			}
			synctest.Wait()
			if n := e.budget.Handshakes.Used() / upgradeBytes; n != atATime {
				t.Errorf("%d handshakes at a time, want %d", n, atATime)
			}
			for _, p := range slow {
				_, _ = io.Copy(io.Discard, p.Conn)
			}
			if d := time.Since(start); d > 2*connectTimeout+5*time.Second {
				t.Errorf("the last was cut off after %v", d)
			}
			e.serving.Wait()
			if n := e.refused(bySlowPacket); n != atATime || e.budget.Handshakes.Used() != 0 {
				t.Errorf("%d are counted, want %d; %d bytes are taken", n, atATime, e.budget.Handshakes.Used())
			}
		})
	})
	for name, tt := range map[string]struct {
		connected bool
		send      string // in a message
		frame     string
		late      time.Duration
		reason    string
	}{
		"no CONNECT":     {late: connectTimeout, reason: bySlowPacket},
		"half a CONNECT": {send: "\x10\x10", late: connectTimeout, reason: bySlowPacket},
		"half a packet":  {connected: true, send: "\x30\x7f", late: packetTimeout, reason: bySlowPacket},
		"half a frame":   {connected: true, frame: "\x82\xff\x00\x00", late: 90 * time.Second, reason: byKeepAlive},
		"pings alone":    {connected: true, frame: "\x89\x80\x00\x00\x00\x00", late: 90 * time.Second, reason: byKeepAlive},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				e := testEndpoint(t)
				p := e.web(t)
				if tt.connected {
					p.send(hello(packet.V5, "a", 60))
					p.want(packet.KindConnack)
				}
				start := time.Now()
				if tt.send != "" {
					p.send([]byte(tt.send))
				}
				if tt.frame != "" {
					p.below([]byte(tt.frame))
				}
				_ = p.frames().SetReadDeadline(time.Now().Add(time.Hour))
				p.closing()
				if d := time.Since(start); d < tt.late || d > tt.late+3*time.Second {
					t.Errorf("cut off after %v, want %v", d, tt.late)
				}
				e.serving.Wait()
				if e.refused(tt.reason) != 1 {
					t.Errorf("it is not counted as %s", tt.reason)
				}
			})
		})
	}
}

// A flood of pings costs no write each.
func TestPingsOfWebSocket(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := testEndpoint(t)
		p := e.web(t)
		pongs := 0
		p.frames().SetPongHandler(func(string) error { pongs++; return nil })
		go func() {
			p.send(hello(packet.V5, "a", 60))
			p.below(bytes.Repeat([]byte("\x89\x80\x00\x00\x00\x00"), 10_000))
			p.send([]byte("\xc0\x00"))
		}()
		start := time.Now()
		p.want(packet.KindConnack)
		p.want(packet.KindPingresp)
		if most := int(time.Since(start)/pongEvery) + 1; pongs < 1 || pongs > most {
			t.Errorf("%d pongs, want up to %d", pongs, most)
		}
	})
}

func TestEndOfWebSocket(t *testing.T) {
	connected := func(t *testing.T) (*Endpoint, *peer) {
		e := testEndpoint(t)
		p := e.web(t)
		p.send(hello(packet.V5, "a", 60))
		p.want(packet.KindConnack)
		return e, p
	}
	t.Run("of the client", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			e, p := connected(t)
			bye := websocket.FormatCloseMessage(websocket.CloseGoingAway, "")
			if err := p.frames().WriteControl(websocket.CloseMessage, bye, time.Now().Add(time.Second)); err != nil {
				t.Fatal(err)
			}
			if code := p.closing(); code != websocket.CloseGoingAway {
				t.Errorf("answered with %d", code)
			}
			e.serving.Wait()
		})
	})
	t.Run("of the bridge", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			e, p := connected(t)
			go e.disconnectAll()
			p.want(packet.KindDisconnect, byte(packet.ServerShuttingDown))
			if code := p.closing(); code != websocket.CloseNormalClosure {
				t.Errorf("closed with %d", code)
			}
			e.serving.Wait()
		})
	})
}

func TestSecureWebSocket(t *testing.T) {
	e := testEndpoint(t)
	ca := tlsfilestest.New(t)
	e.cfg.Files.Cert, e.cfg.Files.Key = ca.Write(t, t.TempDir(), "bridge", "127.0.0.1")
	if err := e.secure(); err != nil {
		t.Fatal(err)
	}
	synctest.Test(t, func(t *testing.T) {
		e.stop = make(chan struct{})
		p := e.dialWeb(t, testUpgrader(), "192.0.2.1")
		secured := tls.Client(p.Conn, &tls.Config{InsecureSkipVerify: true}) //nolint:gosec // it is the test's own
		p.open(t, secured)
		p.send(hello(packet.V5, "a", 60))
		p.want(packet.KindConnack)
		if n := e.budget.Handshakes.Used(); n != 0 {
			t.Errorf("%d bytes are taken behind the handshakes", n)
		}
	})
}
