// Package session keeps the in-flight window of an MQTT session: what was received, in which order, and what
// of it may be acknowledged.
//
// Messages are acknowledged in the order of their receipt, whatever the order in which Kafka answers for
// them. A session outlives its connections. A peer that connects again sends again what was not acknowledged;
// what of that is still on its way to Kafka is recognised, and not put on the way a second time. Without
// that, each reconnect during an outage of Kafka would add a copy of everything.
//
// A message that failed is not acknowledged; its connection is closed, so that it comes again.
package session

import (
	"errors"
	"maps"
	"sync"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/telltale-iot/telltale/pkg/kafka"
	"github.com/telltale-iot/telltale/services/mqtt-bridge/budget"
)

const (
	// Window is how many messages of a connection may wait to be acknowledged. It is also MQTT 5's
	// Receive Maximum.
	Window = 16384
	// placesOfQoS0 is how many places a message at QoS 0 takes. Nobody is told when it is in Kafka, so that its
	// sender does not slow down: fewer of them wait, and the messages of others behind them.
	placesOfQoS0 = 16
	// slotBytes is about what a message takes here until it is acknowledged.
	slotBytes = 128
	// idBytes is about what a packet id takes that is remembered.
	idBytes = 64
)

// Conn is the connection over which a session's acknowledgements go out.
type Conn interface {
	Queue(packets []byte) // never blocks
	Close() error
}

// Publish is what a session needs to know of a PUBLISH.
type Publish struct {
	ID   uint16 // of no meaning at QoS 0
	QoS  byte
	Dup  bool
	Hash uint64 // of its content, see Hash
}

// Session is the state of one MQTT session.
type Session struct {
	// Places are those of the messages that wait to be acknowledged; see Enter.
	Places *budget.Share
	// Memory is for what is kept beside these messages.
	Memory Memory

	budget       *budget.Budget
	acknowledged prometheus.Counter
	idle         func()

	mu        sync.Mutex
	conn      Conn             // nil while the session has none
	queue     []*slot          // QoS 1 and 2, received over conn and not acknowledged
	known     map[uint16]*slot // those with QoS 2 until they are released, and what is left of earlier connections
	mostKnown int              // entries that the memory of known is for
	underWay  int              // messages that nothing has become of yet
	ended     bool             // nothing is remembered any more
	emptied   chan struct{}    // closed when queue is empty; nil while nobody waits
}

// slot is a message's place in the order of acknowledgement.
type slot struct {
	hash       uint64
	id         uint16
	qos        byte
	state      state
	queued     bool // it is in queue
	charged    bool // with slotBytes
	remembered bool // with idBytes, of the session's Memory
}

// state is how far a message is.
type state byte

const (
	underWay state = iota
	settled        // Kafka has all of it, or it is none of ours: to be acknowledged
	lost           // some of it will never be in Kafka: not to be acknowledged, and welcome again
)

// New returns a session without a connection. acknowledged counts acknowledgements. idle is called when the
// session has no connection, and nothing of it is under way any more; it may be nil.
func New(b *budget.Budget, acknowledged prometheus.Counter, idle func()) *Session {
	return &Session{
		Places: budget.NewShare(Window), Memory: Memory{share: b.Sessions},
		budget: b, acknowledged: acknowledged, idle: idle,
	}
}

// Attach makes c the connection of the session.
func (s *Session) Attach(c Conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.leave()
	s.conn = c
}

// Detach ends what Attach began, unless another connection took the session over.
func (s *Session) Detach(c Conn) {
	s.mu.Lock()
	if s.conn == c {
		s.leave()
		s.conn = nil
	}
	gone := s.conn == nil && s.underWay == 0
	s.mu.Unlock()
	if gone && s.idle != nil {
		s.idle()
	}
}

// leave ends the order of acknowledgements of a connection. What of it was not acknowledged is remembered.
func (s *Session) leave() {
	for _, m := range s.queue {
		m.queued = false
		s.Places.Release(1)
		s.remember(m)
	}
	s.queue = nil
	s.wake()
}

// Redelivered reports whether p, received over c, was received before and needs not be put on its way again.
// A packet id alone does not tell: a client may have started anew. Nor does the DUP flag.
func (s *Session) Redelivered(c Conn, p Publish) bool {
	if p.QoS == 0 {
		return false
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	was := s.known[p.ID]
	if was == nil || s.conn != c {
		return false
	}
	if !p.Dup || was.hash != p.Hash || was.qos != p.QoS || was.state == lost {
		s.forget(was)
		return false
	}
	if !was.queued {
		if was.qos == 1 {
			s.forget(was)
		}
		s.enqueue(was)
	}
	return true
}

// What Enter refuses a message for.
var (
	ErrDetached = errors.New("the session has another connection")
	ErrTooMany  = errors.New("too many QoS 2 messages of the session are not released")
	ErrQuota    = errors.New("too many QoS 2 messages of all sessions are not released")
)

// PlacesOf returns how many places of Places a message at the given QoS takes.
func PlacesOf(qos byte) int {
	if qos == 0 {
		return placesOfQoS0
	}
	return 1
}

// Enter gives p, received over c, its place in the order, for which the caller has taken PlacesOf Places.
// done must be called once with what became of it: nil lets it be acknowledged in its turn. done does not
// block, and may be called before Enter's caller goes on.
func (s *Session) Enter(c Conn, p Publish) (done func(error), err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.conn != c {
		s.Places.Release(PlacesOf(p.QoS))
		return nil, ErrDetached
	}
	m := &slot{id: p.ID, qos: p.QoS, hash: p.Hash}
	if m.qos == 2 {
		if err := s.keepID(m); err != nil {
			s.Places.Release(1)
			return nil, err
		}
	}
	s.underWay++
	if m.qos == 0 { // nothing to acknowledge, and nobody to send it again
		m.charge(s.budget.InFlight, true)
		return func(error) { s.settle(m, settled) }, nil
	}
	m.queued = true
	m.charge(s.budget.InFlight, true)
	s.queue = append(s.queue, m)
	return func(err error) { s.done(m, err) }, nil
}

// keepID remembers the id of m, at QoS 2, until it is released.
func (s *Session) keepID(m *slot) error {
	if len(s.known) >= Window {
		return ErrTooMany
	}
	if !s.Memory.TryTake(idBytes) {
		return ErrQuota
	}
	m.remembered = true
	s.know(m)
	return nil
}

func (s *Session) know(m *slot) {
	if s.known == nil {
		s.known = make(map[uint16]*slot)
	}
	if was := s.known[m.id]; was != nil && was != m {
		s.forget(was)
	}
	s.known[m.id] = m
	s.mostKnown = max(s.mostKnown, len(s.known))
}

func (s *Session) done(m *slot, err error) {
	if err == nil {
		s.settle(m, settled)
		return
	}
	s.settle(m, lost)
	if errors.Is(err, kafka.ErrClosed) {
		return // the bridge stops, and has others to acknowledge before
	}
	s.mu.Lock()
	c := s.conn
	s.mu.Unlock()
	if c != nil {
		_ = c.Close()
	}
}

// settle says what became of m.
func (s *Session) settle(m *slot, to state) {
	s.mu.Lock()
	m.state = to
	s.underWay--
	m.charge(s.budget.InFlight, m.queued && to != lost) // what is lost is waited for by nobody
	switch {
	case m.qos == 0:
		s.Places.Release(placesOfQoS0)
	case m.queued:
		s.advance()
	default:
		s.remember(m)
	}
	gone := s.conn == nil && s.underWay == 0
	s.mu.Unlock()
	if gone && s.idle != nil {
		s.idle()
	}
}

// remember keeps what is left of m, whose connection has ended without its acknowledgement. At QoS 1 it is
// forgotten when there is no room: what comes again is in Kafka twice then.
func (s *Session) remember(m *slot) {
	m.charge(s.budget.InFlight, m.state == underWay)
	switch {
	case m.state == lost || s.ended:
		s.forget(m)
	case m.qos == 2: // it is known, unless another has taken its id
	case s.known[m.id] != nil && s.known[m.id] != m: // another has taken its id
	case m.state == settled && !s.Memory.TryTake(idBytes):
		s.forget(m)
	default:
		m.remembered = m.state == settled
		s.know(m)
	}
}

// forget ends what is known of m.
func (s *Session) forget(m *slot) {
	if m.remembered {
		m.remembered = false
		s.Memory.Release(idBytes)
	}
	if s.known[m.id] != m {
		return
	}
	delete(s.known, m.id)
	if s.mostKnown >= 64 && len(s.known) < s.mostKnown/4 { // a map does not shrink by itself
		s.known = maps.Collect(maps.All(s.known))
		s.mostKnown = len(s.known)
	}
}

// enqueue gives m, of an earlier connection or confirmed before, a place in the order.
func (s *Session) enqueue(m *slot) {
	m.queued = true
	m.charge(s.budget.InFlight, true)
	s.Places.Add(1)
	s.queue = append(s.queue, m)
	s.advance()
}

// The first bytes of acknowledgements. With a length of 2 they are whole packets of a packet id alone,
// which in MQTT 5 too means success.
const (
	puback = 4 << 4
	pubrec = 5 << 4
)

// advance acknowledges the messages at the head of the queue that are settled.
func (s *Session) advance() {
	if s.conn == nil {
		return
	}
	var room [64]byte
	acks, n := room[:0], 0
	for ; n < len(s.queue) && s.queue[n].state == settled; n++ {
		m := s.queue[n]
		s.queue[n] = nil
		m.queued = false
		m.charged = false
		kind := byte(puback)
		if m.qos == 2 {
			kind = pubrec
		}
		acks = append(acks, kind, 2, byte(m.id>>8), byte(m.id))
	}
	if n == 0 {
		return
	}
	s.queue = s.queue[n:]
	s.conn.Queue(acks)
	s.acknowledged.Add(float64(n))
	s.budget.InFlight.Release(n * slotBytes)
	s.Places.Release(n)
	s.wake()
}

func (s *Session) wake() {
	if len(s.queue) == 0 {
		s.queue = nil
		if s.emptied != nil {
			close(s.emptied)
			s.emptied = nil
		}
	}
}

// charge makes m take slotBytes of share, or give them back.
func (m *slot) charge(share *budget.Share, on bool) {
	switch {
	case on && !m.charged:
		share.Add(slotBytes)
	case !on && m.charged:
		share.Release(slotBytes)
	}
	m.charged = on
}

// Release ends what is known of a QoS 2 message, whose PUBREL came over c, and reports whether there was one with
// that id.
func (s *Session) Release(c Conn, id uint16) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	m := s.known[id]
	if s.conn != c || m == nil || m.qos != 2 || m.queued || m.state == underWay {
		return false
	}
	s.forget(m)
	return true
}

// Acknowledged returns what is closed when nothing that was received over c waits for its acknowledgement.
// One caller may wait at a time.
func (s *Session) Acknowledged(c Conn) <-chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	emptied := make(chan struct{})
	if s.conn != c || len(s.queue) == 0 {
		close(emptied)
	} else {
		s.emptied = emptied
	}
	return emptied
}

// UnderWay reports whether there are messages of which nothing has become yet.
func (s *Session) UnderWay() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.underWay > 0
}

// Holds reports whether there are QoS 2 messages that were not released.
func (s *Session) Holds() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, m := range s.known {
		if m.qos == 2 && m.state != lost {
			return true
		}
	}
	return false
}

// Forget ends what is known of all messages of earlier connections but those under way, as a client asks for
// that starts a new session.
func (s *Session) Forget() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, m := range s.known {
		if m.state != underWay && !m.queued {
			s.forget(m)
		}
	}
}

// End is Forget for a session that no connection comes back to: of what is under way nothing is remembered
// either.
func (s *Session) End() {
	s.mu.Lock()
	s.ended = true
	s.mu.Unlock()
	s.Forget()
}
