package listen

import (
	"crypto/tls"
	"errors"
	"io"
	"math"
	"net"
	"os"
	"sync/atomic"
	"time"

	"github.com/telltale-iot/telltale/pkg/timeouts"
	"github.com/telltale-iot/telltale/pkg/tlsfiles"
	"github.com/telltale-iot/telltale/services/mqtt-bridge/budget"
	"github.com/telltale-iot/telltale/services/mqtt-bridge/paced"
	"github.com/telltale-iot/telltale/services/mqtt-bridge/packet"
	"github.com/telltale-iot/telltale/services/mqtt-bridge/pipeline"
	"github.com/telltale-iot/telltale/services/mqtt-bridge/trace"
)

// connection is one that a client has made. Fields belong to the goroutine that serves it, unless their comment says otherwise.
type connection struct {
	*paced.Conn
	party    // who the client is; set before the CONNECT is taken
	endpoint *Endpoint
	listener net.Addr // that it came to
	from     string   // where it comes from, see origin
	in       input
	pending  *pendingConnection // nil once the CONNECT is taken

	// Set before the CONNECT is taken, and not changed any more.
	version     byte          // of MQTT; 0 until it is known
	idleTimeout time.Duration // one and a half times the keepalive; 0 is for ever
	maxSend     int           // bytes of the longest packet that the client takes

	who         trace.Client // zero until the CONNECT is read
	client      *client      // nil until the CONNECT is taken
	sends       pipeline.Sender
	rate        *clientRate   // nil for none
	release     func()        // gives back what the packet that is being read took of the budget; nil for nothing
	large       []byte        // that packet, as long as nobody keeps it
	hasDeadline bool          // the deadline of the packet that is being read is set
	hasLeft     bool          // it has sent a DISCONNECT after which no will is published
	expiry      time.Duration // of its session, as DISCONNECT asked for, where hasExpiry
	hasExpiry   bool

	isRevoked atomic.Bool // it is being cut, since its credentials have ended; any goroutine sets it

	topic      string // of the latest PUBLISH
	aliases    map[uint16]string
	aliasBytes int
}

func newConnection(e *Endpoint, c *paced.Conn, listener net.Addr) *connection {
	return &connection{Conn: c, endpoint: e, listener: listener, from: origin(c.RemoteAddr()), in: input{conn: c}, maxSend: math.MaxInt}
}

var (
	errClosing  = errors.New("the connection is being closed")
	errNotFirst = &packet.Error{Code: packet.ProtocolError, What: "the first packet is not CONNECT"}
)

// connect takes the CONNECT.
func (c *connection) connect() error {
	_ = c.SetReadDeadline(time.Now().Add(connectTimeout))
	if !c.pending.wait(c.Closed(), c.endpoint.stop) {
		return &refusal{reason: byPending, code: packet.ServerBusy, what: "too many connections of this address that have not sent their CONNECT"}
	}
	if err := c.handshake(); err != nil {
		return err
	}
	first, err := c.in.ReadByte()
	if err != nil {
		return c.timedOut(err)
	}
	h, err := packet.ReadHeader(first, &c.in)
	if err != nil {
		return c.timedOut(err)
	}
	if h.Kind != packet.KindConnect {
		return errNotFirst
	}
	body, err := c.body(h)
	if err != nil {
		return err
	}
	p, err := packet.ReadConnect(body)
	c.version = p.Version
	if err != nil {
		return err
	}
	c.introduce(p)
	switch {
	case len(p.ClientID) > maxClientID:
		return &refusal{reason: byClientID, code: packet.ClientIDNotValid, what: "client id too long"}
	case p.HasWill && !fits(p.Will.Topic):
		return &refusal{reason: byWill, code: packet.TopicNameInvalid, what: "topic of the will too long"}
	case p.HasWill && len(p.Will.Payload) > maxWill:
		return &refusal{reason: byWill, code: packet.PacketTooLarge, what: "will too long"}
	}
	c.idleTimeout = time.Duration(p.KeepAlive) * time.Second * 3 / 2
	if p.MaxPacketSize > 0 {
		c.maxSend = int(p.MaxPacketSize)
	}
	if err := c.authenticate(p); err != nil {
		return err
	}
	if err := c.endpoint.establish(c, p); err != nil {
		return err
	}
	return c.endPacket(h)
}

// handshake establishes TLS and a WebSocket, where the client has to use them.
func (c *connection) handshake() error {
	inner := c.Conn.Conn
	web, _ := inner.(*webSocket)
	if web != nil {
		inner = web.Conn
	}
	if secured, ok := inner.(*tls.Conn); ok {
		err := c.inHandshake(handshakeBytes, secured.Handshake)
		if errors.Is(err, tlsfiles.ErrNoTLS) {
			return c.tellToUseTLS(secured.NetConn().(*tlsfiles.Opening).Plain(), web != nil)
		}
		if err != nil {
			return err
		}
	}
	if web != nil {
		return c.timedOut(c.inHandshake(upgradeBytes, web.handshake))
	}
	return nil
}

// inHandshake calls f, which takes n bytes meanwhile.
func (c *connection) inHandshake(n int, f func() error) error {
	release, err := c.endpoint.handshakes.take(c, n)
	if err != nil {
		return err
	}
	defer release()
	return f()
}

// leavePending ends the time in which the connection waits for its CONNECT.
func (c *connection) leavePending() {
	if c.pending != nil {
		c.pending.leave()
		c.pending = nil
	}
}

// run takes the packets that follow, until the client leaves or is refused.
func (c *connection) run() error {
	for {
		h, err := c.header()
		if err != nil {
			return err
		}
		body, err := c.body(h)
		if err != nil {
			return err
		}
		if err = c.handle(h, body); err != nil || c.leaves(h) {
			return err
		}
		if err = c.endPacket(h); err != nil {
			return err
		}
		c.pause(h)
	}
}

func (c *connection) leaves(h packet.Header) bool { return h.Kind == packet.KindDisconnect }

// header reads the next packet's first bytes, for which it waits for idleTimeout.
func (c *connection) header() (packet.Header, error) {
	c.hasDeadline = false
	if c.in.Buffered() == 0 {
		var deadline time.Time
		if c.idleTimeout > 0 {
			deadline = time.Now().Add(c.idleTimeout)
		}
		_ = c.SetReadDeadline(deadline)
	}
	first, err := c.in.ReadByte()
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return packet.Header{}, &refusal{reason: byKeepAlive, code: packet.KeepAliveTimeout, what: "silent for longer than its keepalive"}
	}
	if err != nil {
		return packet.Header{}, err
	}
	c.setPacketDeadline(4)
	h, err := packet.ReadHeader(first, &c.in)
	return h, c.timedOut(err)
}

// setPacketDeadline sets the deadline for the n bytes of a packet that are read next, unless all are there.
func (c *connection) setPacketDeadline(n int) {
	if c.client != nil && !c.hasDeadline && c.in.Buffered() < n {
		c.hasDeadline = true
		_ = c.SetReadDeadline(time.Now().Add(packetTimeout))
	}
}

// timedOut returns err, or the refusal of a client whose packet has not arrived in time.
func (c *connection) timedOut(err error) error {
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return &refusal{reason: bySlowPacket, code: packet.QuotaExceeded, what: "a packet takes too long"}
	}
	return err
}

// body reads what follows h. A short packet stays in the read buffer until done is called; a longer one takes of
// the budget before there is memory for it.
func (c *connection) body(h packet.Header) ([]byte, error) {
	most := maxControlBytes
	if h.Kind == packet.KindPublish {
		most = c.endpoint.cfg.MaxPacketBytes
	}
	if h.Length > most {
		c.sniffVersion(h)
		return nil, &refusal{reason: byPacketSize, code: packet.PacketTooLarge, what: "packet too long"}
	}
	if h.Length <= readBuffer {
		c.setPacketDeadline(h.Length)
		b, err := c.in.Peek(h.Length)
		return b, c.timedOut(err)
	}
	release, err := c.endpoint.incomplete.take(c, h.Length)
	if err != nil {
		return nil, err
	}
	c.release = release
	c.setPacketDeadline(h.Length)
	c.large = larges.get(h.Length)
	return c.large, c.timedOut(c.in.ReadFull(c.large))
}

// sniffVersion reads the version of MQTT from the beginning of a CONNECT, so that its client can be refused in it.
func (c *connection) sniffVersion(h packet.Header) {
	const name = "\x00\x04MQTT"
	if h.Kind != packet.KindConnect || c.client != nil {
		return
	}
	if b, err := c.in.Peek(len(name) + 1); err == nil && string(b[:len(name)]) == name {
		c.version = b[len(name)]
	}
}

// endPacket releases what is kept of a packet while it is read, and bounds the answers that wait to be sent.
func (c *connection) endPacket(h packet.Header) error {
	if h.Length <= readBuffer {
		c.in.Discard(h.Length)
	}
	c.complete()
	return c.FlushAbove(maxUnsent)
}

// complete gives back what the packet took of the budget while it was incomplete.
func (c *connection) complete() {
	larges.put(c.large)
	c.large = nil
	if c.release != nil {
		c.release()
		c.release = nil
	}
}

// waitForShare takes n of share, as soon as there is room. It fails when the connection is to be closed: it was closed
// meanwhile, the bridge stops, or the client has waited so long that it must take the connection for dead.
func (c *connection) waitForShare(share *budget.Share, n int) error {
	return c.waitFor(func() (<-chan struct{}, bool) { return share.Take(n) })
}

// waitFor calls take until it is ok, each time that there is room again.
func (c *connection) waitFor(take func() (room <-chan struct{}, ok bool)) error {
	room, ok := take()
	if ok {
		return nil
	}
	c.endpoint.pipe.Metrics.Stalls.Inc()
	timeout := c.idleTimeout
	if c.client == nil {
		timeout = connectTimeout
	}
	var tooLong <-chan time.Time // never, with a keepalive of 0
	if timeout > 0 {
		t := time.NewTimer(timeout)
		defer t.Stop()
		tooLong = t.C
	}
	for ; !ok; room, ok = take() {
		select {
		case <-room:
		case <-tooLong:
			return errClosing
		case <-c.Closed():
			return errClosing
		case <-c.endpoint.stop:
			<-c.Closed() // after the acknowledgements of what was taken before
			return errClosing
		}
	}
	return nil
}

// closeWithReason sends the client why its connection ends, if its version of MQTT has a reason code for it.
func (c *connection) closeWithReason(err error) {
	c.complete()
	c.in.free()
	if errors.Is(err, io.EOF) && c.client != nil {
		c.halfClosed()
		return
	}
	var code packet.Code
	var said string
	var refused *refusal
	var wrong *packet.Error
	switch {
	case errors.As(err, &refused) && refused.told:
		c.endpoint.metrics.refusals.WithLabelValues(refused.reason).Inc()
		code, said = refused.code, refused.what
	case errors.As(err, &refused):
		c.reportRefusal(refused.reason, refused.what)
		code, said = refused.code, refused.what
	case errors.As(err, &wrong):
		reason := byProtocol
		if wrong.Code == packet.Malformed {
			reason = byMalformed
		}
		c.reportRefusal(reason, wrong.What)
		code = wrong.Code
	default:
		return
	}
	var last []byte
	if c.client != nil {
		last = packet.AppendDisconnect(nil, c.version, code)
	} else if c.version != 0 {
		last = packet.AppendRefusal(nil, c.version, code, said)
	}
	if _, err := c.Write(last); err != nil || len(last) == 0 {
		return
	}
	// To close with bytes unread would reset the connection, and could destroy what was sent.
	c.CloseWrite()
	_ = c.SetReadDeadline(time.Now().Add(timeouts.MQTTDisconnect))
	_, _ = io.Copy(io.Discard, c)
}

// reportRefusal counts and logs that the client was refused something.
func (c *connection) reportRefusal(reason, what string) {
	id := ""
	if c.client != nil {
		id = c.client.id.client
	}
	c.endpoint.reportRefusal(c.RemoteAddr(), id, reason, what)
}

// halfClosed sends the acknowledgements that are left to a client that has closed its sending half.
func (c *connection) halfClosed() {
	late := time.NewTimer(halfClosedTime)
	defer late.Stop()
	select {
	case <-c.client.Drained(c.Conn):
	case <-late.C:
	case <-c.Closed():
	}
	_, _ = c.Write(nil)
}

// replaced ends the connection because its client has made another one.
func (c *connection) replaced() { c.end(packet.SessionTakenOver) }

// revoked ends the connection because its credentials have ended.
func (c *connection) revoked() {
	if c.isRevoked.Swap(true) {
		return
	}
	c.denied(true, whyEnded, "", "")
	c.endpoint.metrics.refusals.WithLabelValues(byEnded).Inc()
	late := time.AfterFunc(revokedTime, func() { _ = c.Close() })
	defer late.Stop()
	c.end(packet.AdministrativeAction)
}

// end says why and ends the connection. MQTT 3 cannot say so.
func (c *connection) end(why packet.Code) {
	_, _ = c.Write(packet.AppendDisconnect(nil, c.version, why))
	_ = c.Close()
}
