package session

import "maps"

// idBytes is about what a packet id takes that is remembered.
const idBytes = 64

// rememberID remembers the id of m, at QoS 2, until it is released.
func (s *Session) rememberID(m *message) error {
	if len(s.byID) >= WindowSize {
		return ErrTooMany
	}
	if !s.Memory.TryTake(idBytes) {
		return ErrQuota
	}
	m.remembered = true
	s.index(m)
	return nil
}

// remember keeps m, whose connection has ended before its acknowledgement, so that its redelivery is recognised. At
// QoS 1 it is forgotten when there is no room: its redelivery is in Kafka twice then.
func (s *Session) remember(m *message) {
	m.charge(s.budget.InFlight, m.state == producing)
	switch {
	case m.state == failed || s.ended:
		s.forget(m)
	case m.qos == 2: // it has its id, unless another message has taken that
	case s.byID[m.id] != nil && s.byID[m.id] != m: // another message has taken its id
	case m.state == handled && !s.Memory.TryTake(idBytes):
		s.forget(m)
	default:
		m.remembered = m.state == handled
		s.index(m)
	}
}

func (s *Session) index(m *message) {
	if s.byID == nil {
		s.byID = make(map[uint16]*message)
	}
	if was := s.byID[m.id]; was != nil && was != m {
		s.forget(was)
	}
	s.byID[m.id] = m
	s.byIDSize = max(s.byIDSize, len(s.byID))
}

func (s *Session) forget(m *message) {
	if m.remembered {
		m.remembered = false
		s.Memory.Release(idBytes)
	}
	if s.byID[m.id] != m {
		return
	}
	delete(s.byID, m.id)
	if s.byIDSize >= 64 && len(s.byID) < s.byIDSize/4 { // a map does not shrink by itself
		s.byID = maps.Collect(maps.All(s.byID))
		s.byIDSize = len(s.byID)
	}
}

// Release forgets a QoS 2 message, whose PUBREL came over c, and reports whether there was one with that id.
func (s *Session) Release(c Conn, id uint16) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	m := s.byID[id]
	if s.conn != c || m == nil || m.qos != 2 || m.inFlight || m.state == producing {
		return false
	}
	s.forget(m)
	return true
}

// HasUnreleased reports whether there are QoS 2 messages that were not released.
func (s *Session) HasUnreleased() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, m := range s.byID {
		if m.qos == 2 && m.state != failed {
			return true
		}
	}
	return false
}

// Forget forgets the messages of earlier connections, except those that are being produced: a client has asked for a
// new session.
func (s *Session) Forget() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, m := range s.byID {
		if m.state != producing && !m.inFlight {
			s.forget(m)
		}
	}
}

// End is Forget for a session that no connection comes back to: what is being produced is not remembered either.
func (s *Session) End() {
	s.mu.Lock()
	s.ended = true
	s.mu.Unlock()
	s.Forget()
}
