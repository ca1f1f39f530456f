package listen

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"slices"
	"sync"
	"time"

	"github.com/gorilla/websocket"

	"github.com/telltale-iot/telltale/pkg/httpguard"
	"github.com/telltale-iot/telltale/services/mqtt-bridge/packet"
)

// subprotocols are what MQTT calls itself: section 6 of the standard, and clients of MQTT 3.1.
var subprotocols = []string{"mqtt", "mqttv3.1"}

const (
	// webSocketPort names the port to the Guard.
	webSocketPort = "mqtt-websocket"
	// maxRequestBytes is the length of the request that a WebSocket begins with, and upgradeBytes about what it takes.
	maxRequestBytes = 8 << 10
	upgradeBytes    = 32 << 10
	// webSocketBuffer is what a connection reads through, of its own: frames have short headers.
	webSocketBuffer = 1024
	// maxHeaderBytes is what a packet has in front of its body, at most.
	maxHeaderBytes = 5
	// controlTimeout is how long a frame that answers one of the client may take.
	controlTimeout = time.Second
	// pongEvery is how far apart pongs are, at least: a ping that comes earlier is not answered, so that a flood of them
	// does not cost a write each.
	pongEvery = 50 * time.Millisecond
)

// WebSocket is where devices connect by MQTT over WebSocket.
type WebSocket struct {
	net.Listener
	Guard *httpguard.Guard // of its requests
}

// webSocket is a connection whose bytes are the binary messages of a WebSocket, wherever one ends. Its deadlines
// are those of the connection below.
type webSocket struct {
	net.Conn // TCP, or TLS over it
	upgrade  http.Handler
	frames   *websocket.Conn // nil before the handshake
	most     int64           // bytes of a message
	message  io.Reader       // the message that is being read, or was; nil before the first
	failed   bool            // no frame can be read any more
	ponged   time.Time       // when the last ping was answered
}

// upgrader returns the handler of the requests that a WebSocket begins with. The connection is its ResponseWriter.
func (w *WebSocket) upgrader() http.Handler {
	u := websocket.Upgrader{
		Subprotocols:    subprotocols,
		ReadBufferSize:  webSocketBuffer,
		WriteBufferPool: new(sync.Pool),
		Error: func(w http.ResponseWriter, _ *http.Request, status int, reason error) {
			http.Error(w, reason.Error(), status)
		},
	}
	return w.Guard.Handler(webSocketPort, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !slices.ContainsFunc(websocket.Subprotocols(r), func(s string) bool { return slices.Contains(subprotocols, s) }) {
			http.Error(w, "this is MQTT over WebSocket: the request has to say Sec-WebSocket-Protocol: mqtt", http.StatusBadRequest)
			return
		}
		if frames, err := u.Upgrade(w, r, nil); err == nil {
			w.(*upgrade).conn.begin(frames)
		}
	}))
}

// handshake makes the connection a WebSocket. A client that asks for anything else gets an answer that says why not.
func (w *webSocket) handshake() error {
	_ = w.SetWriteDeadline(time.Now().Add(controlTimeout))
	in := bufio.NewReaderSize(io.LimitReader(w.Conn, maxRequestBytes), webSocketBuffer)
	u := &upgrade{conn: w, in: in, header: make(http.Header)}
	r, err := http.ReadRequest(in)
	var failed net.Error
	switch {
	case errors.As(err, &failed):
		return err
	case err != nil:
		return &refusal{reason: byProtocol, code: packet.ProtocolError, what: "no request for a WebSocket: " + err.Error()}
	}
	u.method, r.RemoteAddr = r.Method, w.RemoteAddr().String()
	w.upgrade.ServeHTTP(u, r)
	if w.frames == nil {
		return u.answer()
	}
	return nil
}

// begin takes frames.
func (w *webSocket) begin(frames *websocket.Conn) {
	w.frames = frames
	frames.SetReadLimit(w.most)
	frames.SetPingHandler(func(data string) error {
		if now := time.Now(); now.Sub(w.ponged) >= pongEvery {
			w.ponged = now
			_ = frames.WriteControl(websocket.PongMessage, []byte(data), now.Add(controlTimeout)) // an error shows in the next write
		}
		return nil
	})
}

// Read reads what is next of the messages. After an error it reads what is left on the connection, for nothing but its end.
func (w *webSocket) Read(p []byte) (int, error) {
	if w.failed {
		return w.Conn.Read(p)
	}
	for {
		if w.message != nil {
			n, err := w.message.Read(p)
			switch {
			case n > 0:
				return n, nil
			case err == nil:
				continue
			case !errors.Is(err, io.EOF):
				return 0, w.fail(err)
			}
		}
		kind, message, err := w.frames.NextReader()
		switch {
		case err != nil:
			return 0, w.fail(err)
		case kind != websocket.BinaryMessage:
			w.failed = true
			return 0, &refusal{reason: byProtocol, code: packet.ProtocolError, what: "a text message of a WebSocket"}
		}
		w.message = message
	}
}

// fail returns err as connections of TCP have it.
func (w *webSocket) fail(err error) error {
	w.failed = true
	var closed *websocket.CloseError
	var network net.Error
	switch {
	case errors.As(err, &closed):
		return io.EOF
	case errors.Is(err, websocket.ErrReadLimit):
		return &refusal{reason: byPacketSize, code: packet.PacketTooLarge, what: "a message of a WebSocket is longer than a packet may be"}
	case !errors.As(err, &network):
		return &refusal{reason: byProtocol, code: packet.ProtocolError, what: err.Error()}
	case network.Timeout():
		return os.ErrDeadlineExceeded
	}
	return err
}

// Write sends p as a message.
func (w *webSocket) Write(p []byte) (int, error) {
	if err := w.frames.WriteMessage(websocket.BinaryMessage, p); err != nil {
		return 0, err
	}
	return len(p), nil
}

// SetWriteDeadline is for frames, once there are some: each of them has the deadline then.
func (w *webSocket) SetWriteDeadline(t time.Time) error {
	if w.frames == nil {
		return w.Conn.SetWriteDeadline(t)
	}
	return w.frames.SetWriteDeadline(t)
}

// CloseWrite says that nothing more will come.
func (w *webSocket) CloseWrite() error {
	if w.frames == nil {
		return nil
	}
	bye := websocket.FormatCloseMessage(websocket.CloseNormalClosure, "")
	return w.frames.WriteControl(websocket.CloseMessage, bye, time.Now().Add(controlTimeout))
}

// NetConn returns the connection below.
func (w *webSocket) NetConn() net.Conn { return w.Conn }

// upgrade is the answer to the request of a webSocket.
type upgrade struct {
	conn   *webSocket
	in     *bufio.Reader // what the request was read through, and nothing behind it
	method string        // of the request
	header http.Header
	status int
	body   bytes.Buffer
}

func (u *upgrade) Header() http.Header { return u.header }

func (u *upgrade) WriteHeader(status int) { u.status = status }

func (u *upgrade) Write(b []byte) (int, error) { return u.body.Write(b) }

// Hijack implements http.Hijacker.
func (u *upgrade) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	return hijacked{u.conn.Conn}, bufio.NewReadWriter(u.in, bufio.NewWriterSize(u.conn.Conn, 0)), nil
}

// hijacked keeps the deadline of the CONNECT, which an Upgrader takes for one of the request.
type hijacked struct{ net.Conn }

func (hijacked) SetDeadline(time.Time) error { return nil }

// answer sends an answer that refuses the WebSocket, and returns why.
func (u *upgrade) answer() error {
	why := fmt.Sprintf("no WebSocket of MQTT: %d: %.100s", u.status, bytes.TrimSpace(u.body.Bytes()))
	answer := http.Response{
		StatusCode: u.status, ProtoMajor: 1, ProtoMinor: 1, Header: u.header, Close: true, Request: &http.Request{Method: u.method},
		ContentLength: int64(u.body.Len()), Body: io.NopCloser(&u.body),
	}
	_ = answer.Write(u.conn.Conn)
	return &refusal{reason: byProtocol, code: packet.ProtocolError, what: why}
}
