// Package budget bounds the bytes that wait in the bridge. They are taken before they are allocated, and
// given back when what they are for is acknowledged, sent or dropped. The budget is divided into shares, so
// that one kind of thing, however much of it comes, takes nothing from another.
package budget

import (
	"sync"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
)

const mib = 1 << 20

// The shares. With what each connection has by right (see package listen) they fit into the 256 MiB that the
// manifests give, and with Go's garbage into half of it as long as there are few connections.
const (
	inFlightBytes    = 16 * mib // 20,000 readings of 100 bytes with what each of them costs: Kafka has them in less than a second
	incompleteBytes  = 8 * mib  // eight of the longest packets at a time, four of an address
	subscribersBytes = 8 * mib  // eight bursts of 5,000 readings
	handshakesBytes  = 8 * mib  // 64 at a time, 32 of an address
	sessionsBytes    = 4 * mib  // 65,536 packet ids
)

// Budget is that of the process.
type Budget struct {
	InFlight    *Share // messages in flight to Kafka, and those that wait to be acknowledged
	Incomplete  *Share // packets of which not all has been received
	Handshakes  *Share // TLS handshakes
	Subscribers *Share // messages that subscribers have not read yet
	Sessions    *Share // what sessions take beyond what each has by right
}

// New returns a budget of which nothing is taken.
func New() *Budget {
	return &Budget{
		InFlight: NewShare(inFlightBytes), Incomplete: NewShare(incompleteBytes),
		Handshakes: NewShare(handshakesBytes), Subscribers: NewShare(subscribersBytes), Sessions: NewShare(sessionsBytes),
	}
}

// Share is an amount, of bytes or of anything else, that is taken and given back.
type Share struct {
	limit int

	mu   sync.Mutex
	used int
	room chan struct{} // closed when there is room again; nil while nobody waits
}

// NewShare returns a share of limit.
func NewShare(limit int) *Share { return &Share{limit: limit} }

// Take takes n, and reports whether it did. If not, room is closed when it is worth trying again.
// The last to take may overdraw the share: so a message that is larger than all of it passes too, alone.
func (s *Share) Take(n int) (room <-chan struct{}, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.used < s.limit {
		s.used += n
		return nil, true
	}
	if s.room == nil {
		s.room = make(chan struct{})
	}
	return s.room, false
}

// TryTake takes n if that much is left, and reports whether it was.
func (s *Share) TryTake(n int) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.used+n > s.limit {
		return false
	}
	s.used += n
	return true
}

// Add takes n, also beyond the limit; less than 0 is given back.
func (s *Share) Add(n int) { s.Release(-n) }

// Release gives n back. Those who wait are woken when a quarter is free, so that each of them has some way to
// go before it waits again.
func (s *Share) Release(n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.used -= n
	if s.room != nil && s.used <= s.limit-s.limit/4 {
		close(s.room)
		s.room = nil
	}
}

// Used is how much is taken.
func (s *Share) Used() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.used
}

// Limit is how much can be taken.
func (s *Share) Limit() int { return s.limit }

// Register has metrics show how much of each share is taken.
func (b *Budget) Register(metrics prometheus.Registerer) {
	for name, s := range map[string]*Share{
		"in_flight": b.InFlight, "incomplete": b.Incomplete, "handshakes": b.Handshakes, "subscribers": b.Subscribers, "sessions": b.Sessions,
	} {
		promauto.With(metrics).NewGaugeFunc(prometheus.GaugeOpts{
			Name:        "telltale_bridge_budget_bytes",
			Help:        "What is taken of each share of the budget of memory.",
			ConstLabels: prometheus.Labels{"share": name},
		}, func() float64 { return float64(s.Used()) })
	}
}
