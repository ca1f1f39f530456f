package bridge

import "sync"

// line is the messages of one MQTT session that are not acknowledged yet. They are acknowledged in the
// order of their receipt, whatever the order in which Kafka answers for them.
//
// A line outlives the connections of its session. A peer that connects again sends again what was not
// acknowledged; what of that is still on its way to Kafka is not put on the way a second time. Without
// that, each reconnect during an outage of Kafka would add a copy of everything.
type line struct {
	open    quota    // messages on their way to Kafka
	idle    func()   // called when there is neither a connection nor a message on its way; may be nil
	metrics *metrics // counts acknowledgements

	mu      sync.Mutex
	conn    *conn               // nil while the session has none
	confirm func(*message)      // see attach; may be nil
	queue   []*message          // QoS 1 and 2, received over conn and not acknowledged
	known   map[uint16]*message // those with QoS 2, and all left over from earlier connections
}

// maxUnanswered is how many messages of one session may wait for Kafka. It is also MQTT 5's Receive
// Maximum.
const maxUnanswered = 16384

func newLine(m *metrics, idle func()) *line {
	return &line{open: quota{limit: maxUnanswered}, idle: idle, metrics: m}
}

// attach makes c the connection of the session. confirm is told of each QoS 2 message that Kafka has, or
// that is dropped, so that its release can be answered.
func (l *line) attach(c *conn, confirm func(*message)) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.known == nil && len(l.queue) > 0 {
		l.known = make(map[uint16]*message)
	}
	for _, m := range l.queue {
		m.queued = false
		l.known[m.id] = m
	}
	l.queue, l.conn, l.confirm = nil, c, confirm
}

// detach ends what attach began, unless another connection took the session over.
func (l *line) detach(c *conn) {
	l.mu.Lock()
	if l.conn == c {
		l.conn = nil
	}
	gone := l.conn == nil
	l.mu.Unlock()
	if gone && l.idle != nil {
		l.idle()
	}
}

// resume reports whether m, received over c, was received before and needs not be put on its way again.
// A packet id alone does not tell: a client may have started anew. Nor does the DUP flag.
func (l *line) resume(c *conn, m *message, dup bool) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	was := l.known[m.id]
	if was == nil || l.conn != c {
		return false
	}
	if !dup || was.hash != m.hash || was.qos != m.qos || was.state == lost {
		if !was.queued {
			delete(l.known, m.id)
		}
		return false
	}
	if !was.queued {
		if was.qos == 1 {
			delete(l.known, m.id)
		}
		was.queued = true
		l.queue = append(l.queue, was)
		l.advance()
	}
	return true
}

// push appends m, received over c. It returns false when c is not the session's connection any more.
func (l *line) push(c *conn, m *message) bool {
	if m.qos == 0 {
		return true // nothing to acknowledge
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.conn != c {
		return false
	}
	if m.qos == 2 {
		if l.known == nil {
			l.known = make(map[uint16]*message)
		}
		l.known[m.id] = m
	}
	m.queued = true
	l.queue = append(l.queue, m)
	l.advance() // m may be settled already: see pipeline.pass
	return true
}

// settle says what became of m, which took its place in l.open.
func (l *line) settle(m *message, s state) {
	l.mu.Lock()
	m.state, m.payload = s, nil
	l.advance()
	l.open.release(1)
	gone := l.conn == nil
	l.mu.Unlock()
	if gone && l.idle != nil {
		l.idle()
	}
}

// advance acknowledges the messages at the head of the queue that are settled.
func (l *line) advance() {
	if l.conn == nil {
		return
	}
	var room [64]byte
	acks, n := room[:0], 0
	for ; n < len(l.queue) && l.queue[n].state == settled; n++ {
		m := l.queue[n]
		l.queue[n] = nil
		kind := byte(pubackByte)
		if m.qos == 2 {
			kind = pubrecByte
			l.release(m)
		}
		acks = append(acks, kind, 2, byte(m.id>>8), byte(m.id))
	}
	if n == 0 {
		return
	}
	l.queue = l.queue[n:]
	l.conn.acknowledge(acks)
	l.metrics.acknowledged.Add(float64(n))
}

// The first bytes of acknowledgements. With a length of 2 they are whole packets of a packet id alone,
// which in MQTT 5 too means success.
const (
	pubackByte = 4 << 4
	pubrecByte = 5 << 4
)

// release forgets m, of QoS 2, for its receipt being confirmed.
func (l *line) release(m *message) {
	if l.known[m.id] == m {
		delete(l.known, m.id)
	}
	if l.confirm != nil {
		l.confirm(m)
	}
}

// abandon reports whether the line has neither a connection nor a message on its way, so that the session
// needs it no more.
func (l *line) abandon() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.conn != nil || l.open.inUse() > 0 {
		return false
	}
	for _, m := range l.known { // what is lost stays unconfirmed, and comes again
		if m.qos == 2 && m.state == settled {
			l.release(m)
		}
	}
	return true
}

// drop closes the connection, so that the peer sends again what was not acknowledged, and reports whether
// it was open.
func (l *line) drop() bool {
	l.mu.Lock()
	c := l.conn
	l.mu.Unlock()
	return c != nil && c.Close() == nil
}
