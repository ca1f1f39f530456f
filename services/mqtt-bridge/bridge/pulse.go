package bridge

import (
	"fmt"
	"net"
	"sync/atomic"
	"time"

	"github.com/eclipse/paho.mqtt.golang/packets"
)

const (
	// pulseEvery is how often it is looked at whether the broker sends anything; it is pinged when it
	// does not. MQTT's own keepalive ends a dead connection, but takes brokerSilence for that.
	pulseEvery = time.Second
	// silence is how long the broker may say nothing until Check calls it away: with pulseEvery, and the
	// second between two checks, less than 5 s.
	silence = 2500 * time.Millisecond
)

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
