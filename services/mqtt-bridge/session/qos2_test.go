package session

import (
	"errors"
	"slices"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
)

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
