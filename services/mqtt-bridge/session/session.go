package session

import (
	"errors"
	"sync"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/telltale-iot/telltale/pkg/kafka/producer"
	"github.com/telltale-iot/telltale/services/mqtt-bridge/budget"
)

// Conn is the connection over which a session's acknowledgements are sent.
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
	Code byte   // the reason code of its acknowledgement, which MQTT 5 alone has; 0: success
}

// Session is the state of one MQTT session.
type Session struct {
	// Window is the room in the in-flight window; see Accept.
	Window *budget.Share
	// Memory is for what is kept beside the messages in flight.
	Memory Memory

	budget       *budget.Budget
	acknowledged prometheus.Counter
	idle         func()

	mu        sync.Mutex
	conn      Conn                // nil while the session has none
	inFlight  []*message          // QoS 1 and 2, received over conn and not acknowledged, oldest first
	byID      map[uint16]*message // those with QoS 2 until they are released, and unacknowledged ones of earlier connections
	byIDSize  int                 // entries that the memory of byID is for
	producing int                 // messages that Kafka has not answered for
	ended     bool                // no connection comes back to the session
	drained   chan struct{}       // closed when inFlight is empty; nil while nobody waits
}

// message is a PUBLISH that was accepted.
type message struct {
	hash       uint64
	id         uint16
	qos        byte
	code       byte // of its acknowledgement
	state      state
	inFlight   bool // it is in the session's window
	charged    bool // with messageBytes
	remembered bool // with idBytes, of the session's Memory
}

// state is what has become of a message.
type state byte

const (
	producing state = iota // Kafka has not answered for all of it
	handled                // Kafka has all of it, or it is no reading: to be acknowledged
	failed                 // some of it will never be in Kafka: not to be acknowledged, and accepted again
)

// New returns a session without a connection. acknowledged counts acknowledgements. idle is called when the
// session has no connection and Kafka has answered for all of its messages; it may be nil.
func New(b *budget.Budget, acknowledged prometheus.Counter, idle func()) *Session {
	return &Session{
		Window: budget.NewShare(WindowSize), Memory: Memory{share: b.Sessions},
		budget: b, acknowledged: acknowledged, idle: idle,
	}
}

// Attach makes c the connection of the session.
func (s *Session) Attach(c Conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.clearWindow()
	s.conn = c
}

// Detach ends what Attach began, unless another connection took the session over.
func (s *Session) Detach(c Conn) {
	s.mu.Lock()
	if s.conn == c {
		s.clearWindow()
		s.conn = nil
	}
	idle := s.conn == nil && s.producing == 0
	s.mu.Unlock()
	if idle && s.idle != nil {
		s.idle()
	}
}

// What Accept refuses a message for.
var (
	ErrDetached = errors.New("the session has another connection")
	ErrTooMany  = errors.New("too many QoS 2 messages of the session are not released")
	ErrQuota    = errors.New("too many QoS 2 messages of all sessions are not released")
)

// Accept puts p, received over c, at the end of the in-flight window, of which the caller has taken WindowCost.
// done must be called once with what became of the message: nil lets it be acknowledged in its turn. done does not
// block, and may be called before Accept's caller goes on.
func (s *Session) Accept(c Conn, p Publish) (done func(error), err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.conn != c {
		s.Window.Release(WindowCost(p.QoS))
		return nil, ErrDetached
	}
	m := &message{id: p.ID, qos: p.QoS, code: p.Code, hash: p.Hash}
	if m.qos == 2 {
		if err := s.rememberID(m); err != nil {
			s.Window.Release(1)
			return nil, err
		}
	}
	s.producing++
	m.charge(s.budget.InFlight, true)
	if m.qos == 0 { // nothing to acknowledge, and nobody to redeliver it
		return func(error) { s.resolve(m, handled) }, nil
	}
	m.inFlight = true
	s.inFlight = append(s.inFlight, m)
	return func(err error) { s.done(m, err) }, nil
}

// Redelivered reports whether p, received over c, was received before and need not be produced again. Neither the
// packet id alone proves that, since a client may have started anew, nor the DUP flag.
func (s *Session) Redelivered(c Conn, p Publish) bool {
	if p.QoS == 0 {
		return false
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	was := s.byID[p.ID]
	if was == nil || s.conn != c {
		return false
	}
	if !p.Dup || was.hash != p.Hash || was.qos != p.QoS || was.state == failed {
		s.forget(was)
		return false
	}
	if !was.inFlight {
		if was.qos == 1 {
			s.forget(was)
		}
		was.code = p.Code
		s.enqueue(was)
	}
	return true
}

func (s *Session) done(m *message, err error) {
	if err == nil {
		s.resolve(m, handled)
		return
	}
	s.resolve(m, failed)
	if errors.Is(err, producer.ErrClosed) {
		return // the bridge stops, and has others to acknowledge before
	}
	s.mu.Lock()
	c := s.conn
	s.mu.Unlock()
	if c != nil {
		_ = c.Close()
	}
}

// resolve sets what became of m.
func (s *Session) resolve(m *message, to state) {
	s.mu.Lock()
	m.state = to
	s.producing--
	m.charge(s.budget.InFlight, m.inFlight && to != failed) // nobody waits for what failed
	switch {
	case m.qos == 0:
		s.Window.Release(qos0Cost)
	case m.inFlight:
		s.acknowledge()
	default:
		s.remember(m)
	}
	idle := s.conn == nil && s.producing == 0
	s.mu.Unlock()
	if idle && s.idle != nil {
		s.idle()
	}
}

// Producing reports whether there are messages that Kafka has not answered for.
func (s *Session) Producing() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.producing > 0
}
