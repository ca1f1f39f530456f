package embedded

import (
	"fmt"
	"testing"
	"time"
)

// TestATopicMadeAgain has a topic that was deleted work as a new one, in the same process and in the next.
func TestATopicMadeAgain(t *testing.T) {
	dir := t.TempDir()
	for round := range 3 {
		k := open(t, KafkaConfig{Dir: dir})
		c := newClient(t, k.Addr(), 1)
		c.send(t, 10, 10, time.Now())
		for again := range 2 {
			if _, err := deleteTopic(c.cfg.Topic).RequestWith(t.Context(), raw(t, k)); err != nil {
				t.Fatal(err)
			}
			c = newClient(t, k.Addr(), 1)
			c.send(t, 5, 10, time.Now())
			c.consume(t, fmt.Sprintf("group %d.%d", round, again), 5)
		}
		if err := k.Check(t.Context()); err != nil {
			t.Error(err)
		}
		shut(t, k)
		k = open(t, KafkaConfig{Dir: dir})
		if n := records(k, c.cfg.Topic); n != 5 {
			t.Errorf("round %d: %d records after a restart, want 5", round, n)
		}
		if _, err := deleteTopic(c.cfg.Topic).RequestWith(t.Context(), raw(t, k)); err != nil {
			t.Fatal(err)
		}
		shut(t, k)
	}
}
