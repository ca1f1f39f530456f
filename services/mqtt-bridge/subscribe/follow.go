package subscribe

import (
	"sync"

	paho "github.com/eclipse/paho.mqtt.golang"

	"github.com/telltale-iot/telltale/pkg/lograte"
)

// followed are topics that messages name, to be subscribed to beside what is wanted, also when nothing names them any more.
// One that the broker refuses is left out: its ACL need not admit what devices say.
type followed struct {
	mu     sync.Mutex
	topics []string
	known  map[string]bool // those in topics
	bytes  int             // that they take
	more   chan struct{}   // there are topics that the connection was not told yet
	full   lograte.Limiter
}

const (
	// maxFollowed bounds the topics of a SUBSCRIBE.
	maxFollowed = 100
	// maxFollowedBytes bounds what followed topics take, each of them topicBytes beside its text: 10,000 of usual length.
	// A device may announce ever new ones in place of those before.
	maxFollowedBytes = 4 << 20
	topicBytes       = 128
)

// Follow subscribes to a topic, too, from now on. It does not block.
func (s *Subscriber) Follow(topic string) {
	if !s.followed.add(topic) {
		if n := s.followed.full.Event(); n > 0 {
			s.log.Warn("too many topics are announced; new ones are not subscribed to until the bridge starts anew", "topic", topic, "count", n)
		}
	}
}

// add adds a topic, and reports whether it is there.
func (f *followed) add(topic string) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	size := topicBytes + len(topic)
	switch {
	case f.known[topic]:
		return true
	case f.bytes+size > maxFollowedBytes:
		return false
	case f.known == nil:
		f.known = make(map[string]bool)
	}
	f.bytes += size
	f.known[topic] = true
	f.topics = append(f.topics, topic)
	f.signal()
	return true
}

func (f *followed) signal() {
	select {
	case f.more <- struct{}{}:
	default:
	}
}

// follow makes subscriptions for the followed topics that c has none for yet.
func (c *connection) follow() {
	c.followed.mu.Lock()
	defer c.followed.mu.Unlock()
	filters := make(map[string]byte)
	for c.following < len(c.followed.topics) && len(filters) < maxFollowed {
		topic := c.followed.topics[c.following]
		if c.shared {
			topic = sharePrefix + topic
		}
		filters[topic] = 1
		c.following++
	}
	if len(filters) == 0 {
		return
	}
	token := c.client.SubscribeMultiple(filters, nil).(*paho.SubscribeToken)
	go func() { // until the broker answers, or the connection ends
		if <-token.Done(); token.Error() != nil {
			return // the next connection tries again
		}
		for topic, granted := range token.Result() {
			if granted == refused {
				c.log.Warn("the broker refuses a topic that a device has announced; its ACL has to admit it", "topic", topic)
			}
		}
		c.followed.signal()
	}()
}
