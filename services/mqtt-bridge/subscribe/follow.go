package subscribe

import (
	"sync"

	paho "github.com/eclipse/paho.mqtt.golang"
)

// followed are topics that messages name, to be subscribed to beside what is wanted. Package mapping bounds them. One that the
// broker refuses is left out: its ACL need not admit what devices say.
type followed struct {
	mu     sync.Mutex
	topics []string
	more   chan struct{} // there are topics that the connection was not told yet
}

// maxFollowed bounds the topics of a SUBSCRIBE.
const maxFollowed = 100

// Follow subscribes to a topic, too, from now on. It does not block.
func (s *Subscriber) Follow(topic string) {
	s.followed.mu.Lock()
	defer s.followed.mu.Unlock()
	s.followed.topics = append(s.followed.topics, topic)
	s.followed.signal()
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
