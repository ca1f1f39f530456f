package bridge

import (
	"context"
	"errors"
	"fmt"
	"math"
	"net"
	"net/url"
	"sync/atomic"
	"time"

	paho "github.com/eclipse/paho.mqtt.golang"
	"github.com/eclipse/paho.mqtt.golang/packets"
)

const (
	keepAlive = 30 * time.Second
	// brokerTimeout is how long it may take to connect. After that a busy broker may take its time
	// with every answer, also to pings, as long as it sends anything at all: its answers stand in line
	// behind thousands of messages.
	brokerTimeout = 30 * time.Second
	// brokerSilence is how long a broker may send nothing. It is pinged when keepAlive has passed.
	brokerSilence = 3 * keepAlive / 2
	// pulseEvery is how often it is looked at whether the broker sends anything; it is pinged when it
	// does not. MQTT's own keepalive ends a dead connection, but takes brokerSilence for that.
	pulseEvery = time.Second
	// silence is how long the broker may say nothing until Check calls it away: with pulseEvery, and the
	// second between two checks, less than 5 s.
	silence = 2500 * time.Millisecond
	// farewellTime is how long the broker may take to read the last that is sent to it. When the bridge
	// stops, it comes on top of drainTime.
	farewellTime = 3 * time.Second
	// subscribeBuffer is the read buffer of the one connection.
	subscribeBuffer = 64 << 10
	refused         = 0x80 // SUBACK's code for a subscription that is not granted
)

var disconnectPacket = []byte{14 << 4, 0}

// link is a connection to the broker.
type link struct {
	*subscriber
	client    paho.Client
	conn      *conn
	heard     *heardConn             // what is under conn
	connected func() bool            // makes conn outlive the context of connect
	lost      chan error             // says why the connection has ended
	full      chan (<-chan struct{}) // says that there is no room, and when there will be
	deaf      bool                   // takes no more messages; only the handler uses it
}

// connect returns a connection whose subscriptions the broker has confirmed. Messages of the session come
// before that, so when ctx ends meanwhile they are acknowledged as those of any other connection.
func (s *subscriber) connect(ctx context.Context) (*link, error) {
	l := &link{subscriber: s, lost: make(chan error, 1), full: make(chan (<-chan struct{}), 1)}
	l.client = paho.NewClient(paho.NewClientOptions().
		AddBroker(s.broker.String()).
		SetProtocolVersion(4).
		SetClientID(s.id).
		SetUsername(s.username).
		SetPassword(s.password).
		SetCleanSession(false).
		SetKeepAlive(keepAlive).
		SetPingTimeout(math.MaxInt64). // see brokerSilence
		SetConnectTimeout(brokerTimeout).
		SetAutoReconnect(false).
		SetConnectRetry(false).
		SetOrderMatters(true).
		SetAutoAckDisabled(true).
		SetStore(noStore{}).
		SetDefaultPublishHandler(l.handle).
		SetConnectionLostHandler(func(_ paho.Client, err error) { l.lost <- err }).
		SetCustomOpenConnectionFn(func(*url.URL, paho.ClientOptions) (net.Conn, error) {
			return l.dial(ctx)
		}))
	token := l.client.Connect()
	<-token.Done() // soon when ctx ends, see dial
	err := token.Error()
	if err == nil {
		l.connected()
		err = l.subscribe(ctx)
	}
	if err == nil {
		return l, nil
	}
	if l.conn != nil && ctx.Err() != nil {
		l.pipe.drain()
	}
	l.close()
	return nil, err
}

// dial opens the connection. Reads are spaced under TLS, whose records hold a message each.
func (l *link) dial(ctx context.Context) (net.Conn, error) {
	ready, cancel := context.WithTimeout(ctx, brokerTimeout)
	defer cancel()
	nc, err := new(net.Dialer).DialContext(ready, "tcp", l.broker.Host)
	if err != nil {
		return nil, err
	}
	l.heard = newHeardConn(nc)
	nc = pace(l.heard, subscribeBuffer, brokerSilence)
	if l.broker.Scheme == "tls" {
		if nc, err = l.files.Handshake(ready, nc, l.broker.Host); err != nil {
			return nil, err
		}
	}
	l.conn = newConn(nc)
	l.connected = context.AfterFunc(ctx, func() { _ = l.conn.Close() })
	l.line.attach(l.conn, nil)
	return l.conn, nil
}

// subscribe makes the wanted subscriptions, and then ends those that are left from another configuration.
// In between messages come twice, which is harmless; the other way round the broker would drop what comes in
// between, though it has acknowledged it.
func (l *link) subscribe(ctx context.Context) error {
	filters := make(map[string]byte)
	for _, f := range l.wanted {
		filters[f] = 1
	}
	token := l.client.SubscribeMultiple(filters, nil).(*paho.SubscribeToken)
	if err := finish(ctx, token); err != nil {
		return fmt.Errorf("subscribe: %w", err)
	}
	granted := token.Result()
	for _, f := range l.wanted {
		switch granted[f] {
		case refused:
			return fmt.Errorf("subscribe: the broker refuses %s to client %s", f, l.id)
		case 0: // it need not send again what is not acknowledged
			return fmt.Errorf("subscribe: the broker grants %s to client %s at QoS 0 only, and could lose messages", f, l.id)
		}
	}
	if err := finish(ctx, l.client.Unsubscribe(l.other...)); err != nil {
		return fmt.Errorf("unsubscribe: %w", err)
	}
	return nil
}

// finish waits for the broker's answer, or the end of the connection.
func finish(ctx context.Context, t paho.Token) error {
	select {
	case <-t.Done():
		return t.Error()
	case <-ctx.Done():
		return ctx.Err()
	}
}

var errFull = errors.New("too much waited for Kafka, and was left to the broker to send again")

// wait returns why the connection ended or has to end. Meanwhile it tells status whether the broker is there.
func (l *link) wait(ctx context.Context, status func(error)) error {
	pulses := time.NewTicker(pulseEvery)
	defer pulses.Stop()
	for room := (<-chan struct{})(nil); ; {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case err := <-l.lost:
			return err
		case <-pulses.C:
			status(l.pulse())
		case room = <-l.full:
			l.pipe.metrics.stalls.Inc()
			l.pipe.log.Warn("too much waits for Kafka: taking no more messages from the broker until there is room")
		case <-room:
			return errFull
		}
	}
}

// pulse pings a broker that is silent, and says so when that does not help.
func (l *link) pulse() error {
	quiet := time.Since(time.UnixMilli(l.heard.last.Load()))
	if quiet < pulseEvery {
		return nil
	}
	l.conn.acknowledge([]byte{packets.Pingreq << 4, 0}) // as an acknowledgement it goes out without being waited for
	if quiet < silence {
		return nil
	}
	return fmt.Errorf("%s has not answered for %v", l.broker.Redacted(), quiet.Round(time.Second/10))
}

// close ends the connection, and leaves the session as it is. The broker reads what was sent, up to the
// DISCONNECT, and closes; to close first, with messages unread, would reset the connection and could
// destroy the acknowledgements before the DISCONNECT.
func (l *link) close() {
	if l.conn == nil {
		return
	}
	l.connected()         // nothing is to wait for the context any more
	l.line.detach(l.conn) // what is acknowledged from now on is so over the next connection
	if _, err := l.conn.Write(disconnectPacket); err == nil {
		select {
		case <-l.lost: //nolint:errcheck // that the connection has ended is all that is waited for
		case <-time.After(farewellTime):
			l.pipe.log.Warn("the broker takes too long to read the last acknowledgements; it may send those messages again")
		}
	}
	_ = l.conn.Close() // paho ends with it
}

// handle takes a message. It never blocks: paho calls it one message after the other, and would miss the
// answer to a ping.
func (l *link) handle(_ paho.Client, p paho.Message) {
	pipe := l.pipe
	pipe.metrics.receive(p.Qos())
	m := pipe.newMessage(l.line, p.Topic(), p.Payload(), p.Qos(), p.MessageID(), p.Retained())
	device, ok := pipe.filters.match(m.topic)
	switch {
	case m.qos > 0 && l.line.resume(l.conn, m, p.Duplicate()):
		pipe.metrics.messages.SettleOne(messageResent)
	case !ok: // of a subscription that the session has from another configuration
		pipe.pass(l.conn, m)
	case l.hasRoom(m):
		m.device = device
		pipe.take(l.conn, m)
	case m.qos == 0:
		pipe.metrics.messages.SettleOne(messageDropped)
	default:
		pipe.metrics.messages.SettleOne(messageRefused)
	}
}

// hasRoom takes what m needs of the quotas. When there is not that much, no more messages are taken from
// this connection: with the next one the broker sends them again, in order.
func (l *link) hasRoom(m *message) bool {
	if l.deaf {
		return false
	}
	if room := l.pipe.inFlight.take(m.cost); room != nil {
		l.deaf = true
		l.full <- room
		return false
	}
	m.line.open.add(1)
	return true
}

// heardConn is a connection that knows when something last came over it.
type heardConn struct {
	net.Conn
	last atomic.Int64 // in Unix ms
}

func newHeardConn(c net.Conn) *heardConn {
	h := &heardConn{Conn: c}
	h.last.Store(time.Now().UnixMilli())
	return h
}

func (c *heardConn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	if n > 0 {
		c.last.Store(time.Now().UnixMilli())
	}
	return n, err
}

// noStore keeps nothing for paho: the broker's session is the store of what is not acknowledged, and the
// bridge publishes nothing.
type noStore struct{}

func (noStore) Open()                             {}
func (noStore) Close()                            {}
func (noStore) Reset()                            {}
func (noStore) All() []string                     { return nil }
func (noStore) Get(string) packets.ControlPacket  { return nil }
func (noStore) Put(string, packets.ControlPacket) {}
func (noStore) Del(string)                        {}
