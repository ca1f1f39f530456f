package session

import (
	"errors"
	"slices"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/telltale-iot/telltale/services/mqtt-bridge/budget"
)

// peer is a connection that keeps what it is given to send.
type peer struct {
	sent   []byte
	closed bool
}

func (p *peer) Queue(b []byte) { p.sent = append(p.sent, b...) }
func (p *peer) Close() error   { p.closed = true; return nil }

// acks returns the packet ids that the peer was sent acknowledgements of since it was last asked.
func (p *peer) acks(t *testing.T, kind byte) (ids []uint16) {
	t.Helper()
	for b := p.sent; len(b) > 0; b = b[4:] {
		if b[0] != kind || b[1] != 2 {
			t.Fatalf("sent % x, want an acknowledgement of kind %x", b, kind)
		}
		ids = append(ids, uint16(b[2])<<8|uint16(b[3]))
	}
	p.sent = nil
	return ids
}

// testSession is a session, and what it takes of.
type testSession struct {
	*Session
	t      *testing.T
	limits *budget.Budget
	ended  bool
}

func newSession(t *testing.T) *testSession {
	s := &testSession{t: t, limits: budget.New()}
	s.Session = New(s.limits, prometheus.NewCounter(prometheus.CounterOpts{Name: "n"}), func() { s.ended = true })
	return s
}

// publish is one whose content is given by its hash.
func publish(id uint16, qos byte, content uint64) Publish {
	return Publish{ID: id, QoS: qos, Hash: content}
}

func again(p Publish) Publish {
	p.Dup = true
	return p
}

// receive is what a source does with a message. done is nil when it is not put on its way.
func (s *testSession) receive(c Conn, p Publish) (done func(error)) {
	s.t.Helper()
	if s.Redelivered(c, p) {
		return nil
	}
	s.Window.Add(WindowCost(p.QoS))
	done, err := s.Accept(c, p)
	if err != nil && !errors.Is(err, ErrDetached) {
		s.t.Fatal(err)
	}
	return done
}

// empty checks that nothing is taken any more.
func (s *testSession) empty() {
	s.t.Helper()
	if n := s.limits.InFlight.Used(); n != 0 {
		s.t.Errorf("%d bytes are taken of the share in flight", n)
	}
	if n := s.limits.Sessions.Used(); n != 0 {
		s.t.Errorf("%d bytes are taken of the share of sessions", n)
	}
	if n := s.Window.Used(); n != 0 {
		s.t.Errorf("%d of the window is taken", n)
	}
}

var errRefused = errors.New("refused")

func TestAcknowledgementsAreInTheOrderOfReceipt(t *testing.T) {
	for _, tt := range []struct {
		name string
		done []int // of the messages 1 to 5, in this order
		want []uint16
	}{
		{"nothing before Kafka's answer", nil, nil},
		{"in order", []int{1, 2, 3}, []uint16{1, 2, 3}},
		{"nothing before the first", []int{2, 3, 4, 5}, nil},
		{"all when the first comes last", []int{5, 3, 4, 2, 1}, []uint16{1, 2, 3, 4, 5}},
		{"up to the first that is missing", []int{1, 3}, []uint16{1}},
		{"up to the first that is missing, late", []int{2, 1, 4}, []uint16{1, 2}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s, p := newSession(t), new(peer)
			s.Attach(p)
			var done []func(error)
			for id := range uint16(5) {
				done = append(done, s.receive(p, publish(id+1, 1, 0)))
			}
			for _, i := range tt.done {
				done[i-1](nil)
			}
			if got := p.acks(t, puback); !slices.Equal(got, tt.want) {
				t.Errorf("acknowledged %v, want %v", got, tt.want)
			}
			if len(tt.want) == len(done) {
				s.empty()
			}
		})
	}
}

func TestQoS0IsNotAcknowledged(t *testing.T) {
	s, p := newSession(t), new(peer)
	s.Attach(p)
	zero, one := s.receive(p, publish(0, 0, 0)), s.receive(p, publish(1, 1, 0))
	one(nil)
	if got := p.acks(t, puback); !slices.Equal(got, []uint16{1}) {
		t.Errorf("acknowledged %v, want 1 alone", got)
	}
	if n := s.Window.Used(); n != qos0Cost {
		t.Errorf("%d of the window is taken, want the cost of the message at QoS 0", n)
	}
	zero(errRefused)
	s.empty()
}

func TestDrained(t *testing.T) {
	waits := func(c <-chan struct{}) bool {
		select {
		case <-c:
			return false
		default:
			return true
		}
	}
	s, p := newSession(t), new(peer)
	s.Attach(p)
	if waits(s.Drained(p)) {
		t.Error("waits for nothing")
	}
	done := s.receive(p, publish(1, 1, 1))
	all := s.Drained(p)
	if !waits(all) {
		t.Error("does not wait for the message")
	}
	done(nil)
	if waits(all) {
		t.Error("waits after the acknowledgement")
	}
	s.receive(p, publish(2, 1, 1))
	all = s.Drained(p)
	s.Attach(new(peer))
	if waits(all) {
		t.Error("waits after the session was taken over")
	}
}
