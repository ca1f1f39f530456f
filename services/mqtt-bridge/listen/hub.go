package listen

import (
	"slices"
	"sync"
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/telltale-iot/telltale/services/mqtt-bridge/budget"
	"github.com/telltale-iot/telltale/services/mqtt-bridge/packet"
)

// hub forwards messages to subscribers, at QoS 0: they are people who want to look. It never blocks: a message is
// dropped for a subscriber that does not read in time.
type hub struct {
	share     *budget.Share
	dropped   prometheus.Counter
	connected atomic.Int32 // subscribers that are connected; without any, messages pass at no cost

	mu          sync.RWMutex
	subscribers map[*client]*subscriber
	filters     int // of all subscribers
}

type subscriber struct {
	conn    *connection // nil while it is away
	filters []subscription
}

type subscription struct {
	filter
	noLocal bool
}

func (h *hub) init(share *budget.Share, dropped prometheus.Counter) {
	h.share, h.dropped, h.subscribers = share, dropped, make(map[*client]*subscriber)
}

// subscribe adds a subscription of the client that is connected by c, and reports whether there was room for it.
func (h *hub) subscribe(c *connection, f packet.Filter) bool {
	cl := c.client
	h.mu.Lock()
	defer h.mu.Unlock()
	s := h.subscribers[cl]
	if s == nil {
		s = new(subscriber)
	}
	i := s.index(f.Filter)
	if i < 0 && (len(s.filters) == maxFilters || h.filters == maxSubscriptions) {
		return false
	}
	if i < 0 {
		i = len(s.filters)
		s.filters = append(s.filters, subscription{filter: splitFilter(string(f.Filter))})
		h.filters++
	}
	s.filters[i].noLocal = f.NoLocal
	if s.conn == nil {
		s.conn = c
		h.connected.Add(1)
	}
	h.subscribers[cl] = s
	return true
}

// unsubscribe ends a subscription of cl, and reports whether there was one.
func (h *hub) unsubscribe(cl *client, filter []byte) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	s := h.subscribers[cl]
	i := s.index(filter)
	if i < 0 {
		return false
	}
	s.filters = slices.Delete(s.filters, i, i+1)
	h.filters--
	if len(s.filters) == 0 {
		h.remove(cl, s)
	}
	return true
}

func (s *subscriber) index(filter []byte) int {
	if s == nil {
		return -1
	}
	return slices.IndexFunc(s.filters, func(f subscription) bool { return f.String() == string(filter) })
}

// attach forwards to c what cl subscribed to before; with nil, nothing until cl is back.
func (h *hub) attach(cl *client, c *connection) {
	h.mu.Lock()
	defer h.mu.Unlock()
	s := h.subscribers[cl]
	if s == nil {
		return
	}
	if s.conn != nil {
		h.connected.Add(-1)
	}
	if s.conn = c; c != nil {
		h.connected.Add(1)
	}
}

// forget ends all subscriptions of cl.
func (h *hub) forget(cl *client) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if s := h.subscribers[cl]; s != nil {
		h.filters -= len(s.filters)
		h.remove(cl, s)
	}
}

func (h *hub) remove(cl *client, s *subscriber) {
	delete(h.subscribers, cl)
	if s.conn != nil {
		h.connected.Add(-1)
	}
}

// has reports whether cl has subscriptions.
func (h *hub) has(cl *client) bool {
	h.mu.RLock()
	defer h.mu.RUnlock()
	return h.subscribers[cl] != nil
}

// forward sends p, which from published to topic, to those who subscribe to it and look on. Nothing of p is kept.
func (h *hub) forward(from *client, topic string, p packet.Publish) { h.send(from, topic, p, false) }

// command sends p, which is the bridge's own, to whoever subscribes to its topic.
func (h *hub) command(topic string, p packet.Publish) { h.send(nil, topic, p, true) }

func (h *hub) send(from *client, topic string, p packet.Publish, toAll bool) {
	connected := int(h.connected.Load())
	if connected == 0 {
		return
	}
	limit := min(subscriberBytes, h.share.Limit()/connected)
	var encoded [packet.V5 + 1][]byte // by version
	h.mu.RLock()
	defer h.mu.RUnlock()
	for cl, s := range h.subscribers {
		if s.conn == nil || !s.wants(topic, cl == from) || !toAll && !s.conn.looksOn() {
			continue
		}
		if !s.conn.HasRoom(len(topic)+len(p.Payload), h.share, limit) {
			h.dropped.Inc()
			continue
		}
		b := encoded[s.conn.version]
		if b == nil {
			b = packet.AppendPublish(nil, s.conn.version, topic, p)
			encoded[s.conn.version] = b
		}
		if len(b) > s.conn.maxSend || !s.conn.TryQueue(b, h.share, limit) {
			h.dropped.Inc()
		}
	}
}

func (s *subscriber) wants(topic string, own bool) bool {
	return slices.ContainsFunc(s.filters, func(f subscription) bool {
		return (!own || !f.noLocal) && f.match(topic)
	})
}
