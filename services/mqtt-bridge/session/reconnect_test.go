package session

import (
	"slices"
	"testing"

	"github.com/telltale-iot/telltale/pkg/kafka/producer"
)

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
