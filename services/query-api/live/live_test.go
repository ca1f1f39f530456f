package live_test

import (
	"math/rand/v2"
	"testing"

	"github.com/telltale-iot/telltale/services/query-api/live"
)

func TestListen(t *testing.T) {
	t.Run("a client gets what comes from now on, each reading once", func(t *testing.T) {
		w := newWorld(t, 3)
		w.publish(t, 10)
		h, _ := w.hub(t)
		c := &client{t: t}
		c.listen(h)
		c.place()
		w.publish(t, 500)
		w.wantAll(t, c, 10)
	})
	t.Run("it goes on where it was, on another replica, after nobody listened", func(t *testing.T) {
		w := newWorld(t, 3)
		h, _ := w.hub(t)
		c := &client{t: t}
		stop := c.listen(h)
		c.place()
		w.publish(t, 100)
		w.wantAll(t, c, 0)
		_ = stop()
		w.publish(t, 5000)
		other, _ := w.hub(t)
		c.listen(other)
		w.publish(t, 100)
		w.wantAll(t, c, 0)
	})
}

// TestCuts: a client whose connection breaks again and again while readings come, in the middle of an event or not, and
// that comes back to one replica or another, gets each reading once.
func TestCuts(t *testing.T) {
	w := newWorld(t, 3)
	var hubs [2]*live.Hub
	for i := range hubs {
		hubs[i], _ = w.hub(t)
	}
	other := &client{t: t} // so that one replica has what comes, and the other has to read it again
	other.listen(hubs[0])
	c := &client{t: t}
	for cut := range 100 {
		c.mu.Lock()
		c.budget = 1 + rand.IntN(20_000)
		c.mu.Unlock()
		stop := c.listen(hubs[rand.IntN(2)])
		if cut == 0 {
			c.budget = 0
			c.place()
		}
		w.publish(t, 1+rand.IntN(100))
		_ = stop()
	}
	c.budget = 0
	c.listen(hubs[1])
	w.wantAll(t, c, 0)
	w.wantAll(t, other, 0)
	if n := len(c.data("resync")); n > 0 {
		t.Errorf("%d times told to ask anew", n)
	}
}
