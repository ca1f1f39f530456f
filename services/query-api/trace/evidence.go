package trace

import (
	"time"

	"github.com/telltale-iot/telltale/pkg/event"
	"github.com/telltale-iot/telltale/pkg/iot"
	"github.com/telltale-iot/telltale/pkg/mapping"
)

// Evidence is what is known of a device.
type Evidence struct {
	Now          time.Time
	Device       Name
	Registered   bool
	Online       bool
	LastSeen     time.Time // when its last reading arrived; zero where none has, as far as is known
	OfflineAfter time.Duration
	Seen         Seen
	DeadLetters  []iot.DeadLetter // of its id, or that name it; newest first
	Stored       *iot.Reading     // the one with the newest time; nil where there is none
	NearMisses   []event.Ignored  // newest first
}

// What became of a message.
const (
	BecameReading    = "reading"
	BecameDeadLetter = "dead_letter"
	BecameNothing    = "ignored"
)

// Message is one that names a device.
type Message struct {
	Topic, Client string // Client is "" where nobody knows
	At            time.Time
	Outcome       string
}

// LastMessage returns the last message that names the device; nil where none is known. One on a topic that nobody reads
// counts only where there is no other: anybody may publish there.
func (e *Evidence) LastMessage() *Message {
	var last *Message
	if d := e.Seen.Last; d.Device != 0 {
		last = &Message{Topic: d.Topic, At: d.At, Outcome: BecameReading}
		if d.DeadLetter {
			last.Outcome = BecameDeadLetter
		}
		if len(d.Clients) > 0 {
			last.Client = d.Clients[0]
		}
	}
	if len(e.DeadLetters) > 0 {
		if d := e.DeadLetters[0]; last == nil || !d.Received.Before(last.At) {
			last = &Message{d.Source, d.Client, d.Received, BecameDeadLetter}
		}
	}
	if i := e.ignored(); last == nil && i != nil {
		last = &Message{i.Topic, i.ClientID, i.Last, BecameNothing}
	}
	return last
}

// ignored returns the last of what is ignored on a topic that names the device; nil where there is none.
func (e *Evidence) ignored() *event.Ignored {
	for i := range e.NearMisses {
		if n := &e.NearMisses[i]; n.Member == "" && e.Device.Names(n.Topic) {
			return n
		}
	}
	return nil
}

// ClockSkew returns how far the clock of the device was behind when it last said what it shows; less than 0 where it was ahead.
// A reading that it had kept for a while is behind as well.
func (e *Evidence) ClockSkew() (behind time.Duration, ok bool) {
	said, arrived, ok := e.said()
	return arrived.Sub(said), ok
}

// said returns the time that the device last said, and when that arrived.
func (e *Evidence) said() (said, arrived time.Time, ok bool) {
	s := e.Seen.Last
	if r := e.Stored; r != nil && !r.Received.IsZero() && !r.Received.Before(s.At) {
		if r.Stamped == iot.StampDevice {
			return r.At, r.Received, true
		}
		if millis, ok := mapping.ParseTime(r.Said); ok {
			return time.UnixMilli(millis), r.Received, true
		}
	}
	return s.Clock, s.At, !s.Clock.IsZero()
}

// heard returns when the last reading of the device arrived; zero where none has.
func (e *Evidence) heard() time.Time {
	at := e.LastSeen
	if e.Stored != nil {
		at = later(at, e.Stored.Received)
	}
	return at
}
