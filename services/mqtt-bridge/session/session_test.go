package session

import (
	"errors"
	"slices"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/telltale-iot/telltale/pkg/kafka/producer"
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

func TestReconnect(t *testing.T) {
	for _, tt := range []struct {
		name    string
		qos     byte
		done    bool   // before it comes again
		content uint64 // of what comes with the same packet id; the first time it was 1
		dup     bool
		isNew   bool
	}{
		{"what waits for Kafka is not taken twice", 1, false, 1, true, false},
		{"nor is it at QoS 2", 2, false, 1, true, false},
		{"what Kafka has and was not acknowledged is not taken twice", 1, true, 1, true, false},
		{"nor is that at QoS 2", 2, true, 1, true, false},
		{"another message with the same id is taken, whatever its DUP flag says", 1, false, 2, true, true},
		{"an equal message without DUP is another one", 1, false, 1, false, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s, before, after := newSession(t), new(peer), new(peer)
			s.Attach(before)
			first := s.receive(before, publish(7, tt.qos, 1))
			s.Detach(before)
			if tt.done {
				first(nil)
			}
			s.Attach(after)
			p := publish(7, tt.qos, tt.content)
			p.Dup = tt.dup
			second := s.receive(after, p)
			if (second != nil) != tt.isNew {
				t.Fatalf("taken as new: %v, want %v", second != nil, tt.isNew)
			}
			kind := byte(puback)
			if tt.qos == 2 {
				kind = pubrec
			}
			if !tt.done {
				if got := after.acks(t, kind); got != nil {
					t.Errorf("acknowledged %v before Kafka's answer", got)
				}
				first(nil)
			}
			if tt.isNew {
				if got := after.acks(t, kind); got != nil {
					t.Errorf("acknowledged %v for the message of an earlier connection", got)
				}
				second(nil)
			}
			if got := after.acks(t, kind); !slices.Equal(got, []uint16{7}) {
				t.Errorf("acknowledged %v, want 7", got)
			}
			if tt.qos == 2 && !s.Release(after, 7) {
				t.Error("it cannot be released")
			}
			s.Forget()
			s.empty()
		})
	}

	t.Run("what Kafka refuses for good breaks the connection, and is taken again", func(t *testing.T) {
		for _, qos := range []byte{1, 2} {
			s, before, after := newSession(t), new(peer), new(peer)
			s.Attach(before)
			s.receive(before, publish(7, qos, 1))(errRefused)
			if !before.closed || before.sent != nil {
				t.Errorf("closed: %v, sent % x", before.closed, before.sent)
			}
			s.Detach(before)
			s.Attach(after)
			if s.receive(after, again(publish(7, qos, 1))) == nil {
				t.Error("it is not taken again")
			}
		}
	})

	t.Run("that the producer has ended leaves others to be acknowledged", func(t *testing.T) {
		s, p := newSession(t), new(peer)
		s.Attach(p)
		s.receive(p, publish(7, 1, 1))(producer.ErrClosed)
		if p.closed {
			t.Error("the connection is closed")
		}
		if n := s.limits.InFlight.Used(); n != 0 {
			t.Errorf("%d bytes are taken of the share in flight: the bridge waits for nothing", n)
		}
	})

	t.Run("an old connection can add and release nothing", func(t *testing.T) {
		s, before, after := newSession(t), new(peer), new(peer)
		s.Attach(before)
		s.Attach(after)
		if s.receive(before, publish(7, 1, 1)) != nil {
			t.Error("it adds a message")
		}
		s.empty()
		s.receive(after, publish(8, 2, 1))(nil)
		if s.Release(before, 8) || !s.Release(after, 8) {
			t.Error("it releases a message")
		}
	})

	t.Run("what an old message becomes does not touch a new one with its packet id", func(t *testing.T) {
		s, before, after := newSession(t), new(peer), new(peer)
		s.Attach(before)
		old := s.receive(before, publish(1, 1, 1))
		s.Attach(after)
		s.receive(after, publish(1, 2, 2))(nil)
		old(nil)
		if s.receive(after, again(publish(1, 2, 2))) != nil {
			t.Error("the new one, sent again, is taken twice")
		}
		if !s.Release(after, 1) {
			t.Error("the new one cannot be released")
		}
	})

	t.Run("a session that ended remembers no message that is being produced", func(t *testing.T) {
		for _, qos := range []byte{1, 2} {
			s, p := newSession(t), new(peer)
			s.Attach(p)
			var done []func(error)
			for id := range uint16(100) {
				done = append(done, s.receive(p, publish(id+1, qos, 1)))
			}
			s.Detach(p)
			s.End()
			for _, d := range done {
				d(nil)
			}
			s.empty()
			if n := len(s.byID); n != 0 {
				t.Errorf("QoS %d: %d messages are remembered", qos, n)
			}
		}
	})

	t.Run("what is not acknowledged and never comes again takes nothing of what others need", func(t *testing.T) {
		s, p := newSession(t), new(peer)
		s.Attach(p)
		first := s.receive(p, publish(1, 1, 1))
		for id := range uint16(WindowSize - 1) {
			s.receive(p, publish(id+2, 1, 1))(nil) // behind the first
		}
		if n := s.limits.InFlight.Used(); n != WindowSize*messageBytes {
			t.Errorf("%d bytes are taken, want %d", n, WindowSize*messageBytes)
		}
		s.Attach(new(peer))
		first(nil)
		if n := s.limits.InFlight.Used() + s.Window.Used(); n != 0 {
			t.Errorf("%d are taken", n)
		}
		s.Forget()
		s.empty()
		if n := len(s.byID); n != 0 {
			t.Errorf("%d messages are remembered", n)
		}
	})
}

func TestQoS2(t *testing.T) {
	t.Run("is recognised until it is released", func(t *testing.T) {
		s, p := newSession(t), new(peer)
		s.Attach(p)
		done := s.receive(p, publish(7, 2, 1))
		if s.receive(p, again(publish(7, 2, 1))) != nil {
			t.Error("taken again while it waits")
		}
		if s.Release(p, 7) {
			t.Error("released before Kafka's answer")
		}
		done(nil)
		if s.receive(p, again(publish(7, 2, 1))) != nil {
			t.Error("taken again after PUBREC")
		}
		if got := p.acks(t, pubrec); !slices.Equal(got, []uint16{7, 7}) {
			t.Errorf("sent PUBREC of %v, want 7 twice", got)
		}
		if !s.Release(p, 7) || s.Release(p, 7) {
			t.Error("released not once")
		}
		if s.receive(p, publish(7, 2, 1)) == nil {
			t.Error("the id is not free again")
		}
	})

	t.Run("is taken by a session that is away when Kafka has it, and only then", func(t *testing.T) {
		for name, reconnected := range map[string]bool{"over its connection": false, "after another one": true} {
			t.Run(name, func(t *testing.T) {
				s, first, second := newSession(t), new(peer), new(peer)
				s.Attach(first)
				refused, kept := s.receive(first, publish(7, 2, 1)), s.receive(first, publish(8, 2, 1))
				last := first
				if reconnected {
					s.Attach(second)
					last = second
				}
				s.Detach(last)
				refused(errRefused)
				if s.ended {
					t.Error("idle while a message is being produced")
				}
				kept(nil)
				if !s.ended || !s.HasUnreleased() || len(s.byID) != 1 || s.byID[8] == nil {
					t.Errorf("idle: %v, remembered %v; want 8 alone, which Kafka has", s.ended, s.byID)
				}
			})
		}
	})

	t.Run("has a bound for a session, and one for all", func(t *testing.T) {
		s, p := newSession(t), new(peer)
		s.Attach(p)
		enter := func(s *testSession, p *peer, id int) error {
			s.Window.Add(1)
			done, err := s.Accept(p, publish(uint16(id), 2, 1))
			if err == nil {
				done(nil)
			}
			return err
		}
		for id := range WindowSize {
			if err := enter(s, p, id+1); err != nil {
				t.Fatal(err)
			}
		}
		if err := enter(s, p, WindowSize+1); !errors.Is(err, ErrTooMany) {
			t.Errorf("one more: %v", err)
		}
		if n, most := s.limits.Sessions.Used(), WindowSize*idBytes; n > most {
			t.Errorf("%d bytes are taken, want at most %d", n, most)
		}
		s.limits.Sessions.Add(s.limits.Sessions.Limit() - s.limits.Sessions.Used()) // others take the rest
		other := &testSession{t: t, limits: s.limits}
		other.Session = New(s.limits, prometheus.NewCounter(prometheus.CounterOpts{Name: "n"}), nil)
		other.Attach(p)
		own := 0
		for ; enter(other, p, own+1) == nil; own++ { //nolint:revive // until it is refused
		}
		if own != ownBytes/idBytes {
			t.Errorf("a session may hold %d by right, want %d", own, ownBytes/idBytes)
		}
		if err := enter(other, p, own+1); !errors.Is(err, ErrQuota) {
			t.Errorf("one more: %v", err)
		}
		for id := range WindowSize {
			s.Release(p, uint16(id+1))
		}
		if len(s.byID) != 0 || s.byIDSize > 64 {
			t.Errorf("%d remembered, with memory for %d", len(s.byID), s.byIDSize)
		}
	})
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
