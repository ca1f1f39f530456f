package session

import "github.com/telltale-iot/telltale/services/mqtt-bridge/budget"

const (
	// WindowSize is how many messages of a connection may be in flight. It is also MQTT 5's Receive Maximum.
	WindowSize = 16384
	// qos0Cost is how much of the window a message at QoS 0 takes. It has no acknowledgement that could slow its
	// sender down: fewer of them are in flight, and the messages of others wait behind them.
	qos0Cost = 16
	// messageBytes is about what a message takes here until it is acknowledged.
	messageBytes = 128
)

// WindowCost returns how much of the window a message at the given QoS takes.
func WindowCost(qos byte) int {
	if qos == 0 {
		return qos0Cost
	}
	return 1
}

// enqueue puts m, of an earlier connection or acknowledged before, at the end of the window.
func (s *Session) enqueue(m *message) {
	m.inFlight = true
	m.charge(s.budget.InFlight, true)
	s.Window.Add(1)
	s.inFlight = append(s.inFlight, m)
	s.acknowledge()
}

// The first bytes of acknowledgements. With a length of 2 they are whole packets of a packet id alone,
// which in MQTT 5 too means success.
const (
	puback = 4 << 4
	pubrec = 5 << 4
)

// acknowledge acknowledges the oldest messages of the window, up to the first that is not handled.
func (s *Session) acknowledge() {
	if s.conn == nil {
		return
	}
	var room [64]byte
	acks, n := room[:0], 0
	for ; n < len(s.inFlight) && s.inFlight[n].state == handled; n++ {
		m := s.inFlight[n]
		s.inFlight[n] = nil
		m.inFlight = false
		m.charged = false
		kind := byte(puback)
		if m.qos == 2 {
			kind = pubrec
		}
		if m.code == 0 {
			acks = append(acks, kind, 2, byte(m.id>>8), byte(m.id))
		} else {
			acks = append(acks, kind, 3, byte(m.id>>8), byte(m.id), m.code)
		}
	}
	if n == 0 {
		return
	}
	s.inFlight = s.inFlight[n:]
	s.conn.Queue(acks)
	s.acknowledged.Add(float64(n))
	s.budget.InFlight.Release(n * messageBytes)
	s.Window.Release(n)
	s.signalDrained()
}

// clearWindow ends the window of a connection. The messages that were not acknowledged are remembered.
func (s *Session) clearWindow() {
	for _, m := range s.inFlight {
		m.inFlight = false
		s.Window.Release(1)
		s.remember(m)
	}
	s.inFlight = nil
	s.signalDrained()
}

func (s *Session) signalDrained() {
	if len(s.inFlight) > 0 {
		return
	}
	s.inFlight = nil
	if s.drained != nil {
		close(s.drained)
		s.drained = nil
	}
}

// Drained returns what is closed when nothing that was received over c waits for its acknowledgement. One caller
// may wait at a time.
func (s *Session) Drained(c Conn) <-chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	drained := make(chan struct{})
	if s.conn != c || len(s.inFlight) == 0 {
		close(drained)
	} else {
		s.drained = drained
	}
	return drained
}

// charge makes m take messageBytes of share, or give them back.
func (m *message) charge(share *budget.Share, on bool) {
	switch {
	case on && !m.charged:
		share.Add(messageBytes)
	case !on && m.charged:
		share.Release(messageBytes)
	}
	m.charged = on
}
