package subscribe

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

	"github.com/telltale-iot/telltale/pkg/timeouts"
	"github.com/telltale-iot/telltale/services/mqtt-bridge/paced"
	"github.com/telltale-iot/telltale/services/mqtt-bridge/pipeline"
	"github.com/telltale-iot/telltale/services/mqtt-bridge/session"
)

const (
	keepAlive = 30 * time.Second
	// brokerTimeout is how long it may take to connect. After that a busy broker may take its time
	// with every answer, also to pings, as long as it sends anything at all: its answers are queued
	// behind thousands of messages.
	brokerTimeout = 30 * time.Second
	// idleTimeout is how long a broker may send nothing. It is pinged when keepAlive has passed.
	idleTimeout = 3 * keepAlive / 2
	// readBuffer is the read buffer of the one connection.
	readBuffer = 64 << 10
	refused    = 0x80 // SUBACK's code for a subscription that is not granted
)

var disconnectPacket = []byte{14 << 4, 0}

// connection is one to the broker.
type connection struct {
	*Subscriber
	client    paho.Client
	conn      *paced.Conn
	activity  *activityConn          // what is under conn
	connected func() bool            // makes conn outlive the context of connect
	lost      chan error             // gets the reason when the connection has ended
	room      chan (<-chan struct{}) // gets, once there is no room, a channel that is closed when there is room again
	following int                    // topics of followed that it was told
	full      bool                   // there was no room: no more messages are taken; only the handler uses it
}

// connect returns a connection whose subscriptions the broker has confirmed. Messages of the session come
// before that, so when ctx ends meanwhile they are acknowledged as those of any other connection.
func (s *Subscriber) connect(ctx context.Context) (*connection, error) {
	c := &connection{Subscriber: s, lost: make(chan error, 1), room: make(chan (<-chan struct{}), 1)}
	c.client = paho.NewClient(paho.NewClientOptions().
		AddBroker(s.broker.String()).
		SetProtocolVersion(4).
		SetClientID(s.id).
		SetUsername(s.username).
		SetPassword(s.password).
		SetCleanSession(false).
		SetKeepAlive(keepAlive).
		SetPingTimeout(math.MaxInt64). // see idleTimeout
		SetConnectTimeout(brokerTimeout).
		SetAutoReconnect(false).
		SetConnectRetry(false).
		SetOrderMatters(true).
		SetAutoAckDisabled(true).
		SetStore(noStore{}).
		SetDefaultPublishHandler(c.handle).
		SetConnectionLostHandler(func(_ paho.Client, err error) { c.lost <- err }).
		SetCustomOpenConnectionFn(func(*url.URL, paho.ClientOptions) (net.Conn, error) {
			return c.dial(ctx)
		}))
	token := c.client.Connect()
	<-token.Done() // soon when ctx ends, see dial
	err := token.Error()
	if err == nil {
		c.connected()
		err = c.subscribe(ctx)
	}
	if err == nil {
		return c, nil
	}
	if c.conn != nil && ctx.Err() != nil {
		c.pipe.Drain()
	}
	c.close()
	return nil, err
}

// dial opens the connection. Reads are spaced under TLS, whose records hold a message each.
func (c *connection) dial(ctx context.Context) (net.Conn, error) {
	ready, cancel := context.WithTimeout(ctx, brokerTimeout)
	defer cancel()
	nc, err := c.dialer(ready, "tcp", c.broker.Host)
	if err != nil {
		return nil, err
	}
	c.activity = newActivityConn(paced.Quiet(nc))
	nc = paced.Reads(c.activity, readBuffer, idleTimeout)
	if c.broker.Scheme == "tls" {
		if nc, err = c.files.Handshake(ready, nc, c.broker.Host); err != nil {
			return nil, err
		}
	}
	c.conn = paced.NewConn(nc)
	c.connected = context.AfterFunc(ctx, func() { _ = c.conn.Close() })
	c.session.Attach(c.conn)
	c.pipe.MissedAny() // at QoS 0, since the last connection
	c.current.Store(c)
	return c.conn, nil
}

// subscribe makes the wanted subscriptions, and then ends those that are left from another configuration.
// In between messages come twice, which is harmless; the other way round the broker would drop what comes in
// between, though it has acknowledged it.
func (c *connection) subscribe(ctx context.Context) error {
	filters := make(map[string]byte)
	for _, f := range c.wanted {
		filters[f] = 1
	}
	token := c.client.SubscribeMultiple(filters, nil).(*paho.SubscribeToken)
	if err := finish(ctx, token); err != nil {
		return fmt.Errorf("subscribe: %w", err)
	}
	granted := token.Result()
	for _, f := range c.wanted {
		switch granted[f] {
		case refused:
			return fmt.Errorf("subscribe: the broker refuses %s to client %s", f, c.id)
		case 0: // it need not send again what is not acknowledged
			return fmt.Errorf("subscribe: the broker grants %s to client %s at QoS 0 only, and could lose messages", f, c.id)
		}
	}
	if err := finish(ctx, c.client.Unsubscribe(c.other...)); err != nil {
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

var errFull = errors.New("too much waited for Kafka, and was left to the broker to redeliver")

// wait returns why the connection ended or has to end. Meanwhile it calls status with the result of checkBroker.
func (c *connection) wait(ctx context.Context, status func(error)) error {
	checks := time.NewTicker(timeouts.MQTTCheckEvery)
	defer checks.Stop()
	c.followed.signal()
	for room := (<-chan struct{})(nil); ; {
		select {
		case <-c.followed.more:
			c.follow()
		case <-ctx.Done():
			return ctx.Err()
		case err := <-c.lost:
			return err
		case <-checks.C:
			status(c.checkBroker())
		case room = <-c.room:
			c.pipe.Metrics.Stalls.Inc()
			c.log.Warn("too much waits for Kafka: taking no more messages from the broker until there is room")
		case <-room:
			return errFull
		}
	}
}

// checkBroker pings a broker that sends nothing, and returns an error when it does not answer. MQTT's own keepalive ends
// a dead connection, but takes idleTimeout for that.
func (c *connection) checkBroker() error {
	quiet := time.Since(time.UnixMilli(c.activity.last.Load()))
	if quiet < timeouts.MQTTCheckEvery {
		return nil
	}
	c.conn.Queue([]byte{packets.Pingreq << 4, 0}) // like an acknowledgement it is sent without being waited for
	if quiet < timeouts.MQTTUnresponsive {
		return nil
	}
	return fmt.Errorf("%s has not answered for %v", c.broker.Redacted(), quiet.Round(time.Second/10))
}

// close ends the connection, and leaves the session as it is. The broker reads what was sent, up to the
// DISCONNECT, and closes; to close first, with messages unread, would reset the connection and could
// destroy the acknowledgements before the DISCONNECT.
func (c *connection) close() {
	if c.conn == nil {
		return
	}
	c.connected()            // the end of ctx need not close it any more
	c.session.Detach(c.conn) // later acknowledgements go over the next connection
	if _, err := c.conn.Write(disconnectPacket); err == nil {
		select {
		case <-c.lost: //nolint:errcheck // that the connection has ended is all that is waited for
		case <-time.After(timeouts.MQTTFarewell):
			c.log.Warn("the broker takes too long to read the last acknowledgements; it may send those messages again")
		}
	}
	_ = c.conn.Close() // paho ends with it
}

// handle takes a message. It never blocks: paho calls it one message after the other, and would miss the
// answer to a ping.
func (c *connection) handle(_ paho.Client, p paho.Message) {
	metrics := c.pipe.Metrics
	metrics.Receive(p.Qos())
	received := session.Publish{ID: p.MessageID(), QoS: p.Qos(), Dup: p.Duplicate()}
	if received.QoS > 0 {
		received.Hash = session.Hash(p.Topic(), p.Payload())
	}
	m := c.pipe.Message(p.Topic(), pipeline.Sender{}, p.Payload(), p.Retained())
	switch {
	case c.session.Redelivered(c.conn, received):
		metrics.CountOutcome(pipeline.Redelivered)
		return
	case !c.hasRoom(m):
		outcome := pipeline.Refused
		if received.QoS == 0 {
			outcome = pipeline.Dropped
		}
		metrics.CountOutcome(outcome)
		return
	}
	c.session.Window.Add(session.WindowCost(received.QoS))
	done, err := c.session.Accept(c.conn, received)
	if err != nil { // the connection has ended
		c.pipe.Cancel(m)
		metrics.CountOutcome(pipeline.Refused)
		return
	}
	c.pipe.Handle(m, done) // also a message of a subscription that is left from another configuration
}

// hasRoom takes what m needs of the budget. When there is not that much, no more messages are taken from
// this connection: the broker redelivers them over the next one, in order.
func (c *connection) hasRoom(m pipeline.Message) bool {
	if c.full {
		return false
	}
	if room, ok := c.pipe.Reserve(m); !ok {
		c.full = true
		c.room <- room
		return false
	}
	return true
}

// activityConn is a connection that knows when it last received something.
type activityConn struct {
	net.Conn
	last atomic.Int64 // in Unix ms
}

func newActivityConn(c net.Conn) *activityConn {
	a := &activityConn{Conn: c}
	a.last.Store(time.Now().UnixMilli())
	return a
}

func (c *activityConn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	if n > 0 {
		c.last.Store(time.Now().UnixMilli())
	}
	return n, err
}

// noStore keeps nothing for paho: the broker's session is the store of what is not acknowledged, and the
// bridge publishes at QoS 0 alone.
type noStore struct{}

func (noStore) Open()                             {}
func (noStore) Close()                            {}
func (noStore) Reset()                            {}
func (noStore) All() []string                     { return nil }
func (noStore) Get(string) packets.ControlPacket  { return nil }
func (noStore) Put(string, packets.ControlPacket) {}
func (noStore) Del(string)                        {}
