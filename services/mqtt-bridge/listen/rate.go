package listen

import (
	"errors"
	"math"
	"strconv"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"github.com/telltale-iot/telltale/pkg/auth"
	"github.com/telltale-iot/telltale/services/mqtt-bridge/packet"
)

const (
	// messageBytes is how much of a packet counts as one message: 200 messages a second are 1 MB/s.
	messageBytes = 5000
	// rateBurst is how long a device may have been silent for what it then sends at once.
	rateBurst = 10 // seconds
	// maxRateDevices is for how many of its devices a gateway has a rate.
	maxRateDevices = 50
	// slowedFor is how long a client counts as slowed after it had to wait.
	slowedFor = 30 * time.Second
)

// What a client has too much of.
const (
	tooManyMessages = "messages"
	tooManyBytes    = "bytes"
)

var slowedBy = []string{tooManyMessages, tooManyBytes}

// deviceRate returns the messages a second that a device may send; 0 is without end.
func (c Config) deviceRate() (int, error) {
	if c.DeviceRate == "" || c.DeviceRate == "off" {
		return 0, nil
	}
	n, err := strconv.Atoi(c.DeviceRate)
	if err != nil || n < 1 || n > math.MaxInt32/rateBurst/maxRateDevices {
		return 0, configError("MQTT_DEVICE_RATE", c.DeviceRate, errors.New("must be off, or a number of messages a second"))
	}
	return n, nil
}

// rates has the rates of those that got in by credentials. One has the same for all of its connections, and for both of its
// credentials while they are rotated; it keeps that until it could send a whole burst again, so that to connect anew is of no
// use. There are as many as connected in the last rateBurst, or are connected.
type rates struct {
	device int // messages a second; 0 is without end

	mu     sync.Mutex
	of     map[string]*clientRate
	slowed map[*connection]time.Time // when it had to wait last
}

// clientRate is safe for concurrent use.
type clientRate struct {
	*rate.Limiter
	connections int // guarded by rates.mu
}

func newRates(device int) rates {
	return rates{device: device, of: make(map[string]*clientRate), slowed: make(map[*connection]time.Time)}
}

// enter gives a connection the rate of its principal. Who needs no credentials has none: nobody knows who it is.
func (r *rates) enter(c *connection) {
	if r.device == 0 || c.principal == nil || c.principal.Viewer || c.policy != auth.Required {
		return
	}
	perSecond := r.device * max(1, min(len(c.principal.Devices()), maxRateDevices))
	r.mu.Lock()
	defer r.mu.Unlock()
	its := r.of[c.principal.Name]
	if its == nil {
		its = &clientRate{Limiter: rate.NewLimiter(rate.Limit(perSecond), rateBurst*perSecond)}
		r.of[c.principal.Name] = its
	}
	its.connections++
	c.rate = its
}

// leave takes a connection out that has ended.
func (r *rates) leave(c *connection) {
	if c.rate == nil {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	c.rate.connections--
	delete(r.slowed, c)
}

// slow has c count as slowed, and reports whether it did not before.
func (r *rates) slow(c *connection, now time.Time) (begins bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	_, was := r.slowed[c]
	r.slowed[c] = now
	return !was
}

// expire calls over for each connection that is slowed no more, and forgets rates that say nothing.
func (r *rates) expire(now time.Time, over func(*connection)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for c, last := range r.slowed {
		if now.Sub(last) >= slowedFor {
			delete(r.slowed, c)
			over(c)
		}
	}
	for name, its := range r.of {
		if its.connections == 0 && its.TokensAt(now) >= float64(its.Burst()) {
			delete(r.of, name)
		}
	}
}

// pause waits where the client has sent h, and is over its rate. What it sent is taken: it is acknowledged meanwhile, and TCP has
// the client wait for room.
func (c *connection) pause(h packet.Header) {
	if c.rate == nil || h.Kind != packet.KindPublish {
		return
	}
	n := 1 + h.Length/messageBytes
	now := time.Now()
	wait := c.rate.ReserveN(now, min(n, c.rate.Burst())).DelayFrom(now)
	if wait <= 0 {
		return
	}
	c.slowed(now, n)
	over := time.NewTimer(wait)
	defer over.Stop()
	select {
	case <-over.C:
	case <-c.Closed():
	case <-c.endpoint.stop: // nobody waits for who waits
	}
}

// slowed tells operators that the client has to wait, when that begins.
func (c *connection) slowed(now time.Time, n int) {
	what := tooManyMessages
	if n > 1 {
		what = tooManyBytes
	}
	e := c.endpoint
	e.metrics.slowed.WithLabelValues(what).Inc()
	if !e.rates.slow(c, now) {
		return
	}
	e.seen.Limited(c.who, what, now)
	if n := e.slowings.Event(); n > 0 {
		e.log.Warn("a client sends more than MQTT_DEVICE_RATE allows, and is slowed",
			"what", what, "client_id", c.clientID, "principal", c.principal.Name, "remote", c.RemoteAddr().String(), "count", n)
	}
}
