package session

import (
	"sync"

	"github.com/telltale-iot/telltale/services/mqtt-bridge/budget"
)

// ownBytes is what a session may take by right: 16 packet ids, or the will of most devices.
const ownBytes = 1024

// Memory accounts for what a session takes beside its messages in flight: packet ids that it remembers, and what
// its source keeps for it. The first ownBytes are the session's by right; more comes from the share of all sessions.
type Memory struct {
	share *budget.Share

	mu   sync.Mutex
	used int
}

// TryTake takes n bytes where they are there, and reports whether they were.
func (m *Memory) TryTake(n int) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	if more := beyondOwn(m.used+n) - beyondOwn(m.used); more > 0 && !m.share.TryTake(more) {
		return false
	}
	m.used += n
	return true
}

// Release gives n bytes back.
func (m *Memory) Release(n int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if less := beyondOwn(m.used) - beyondOwn(m.used-n); less > 0 {
		m.share.Release(less)
	}
	m.used -= n
}

func beyondOwn(n int) int { return max(n-ownBytes, 0) }
