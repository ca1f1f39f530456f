package api

import (
	"context"
	"sync"
	"time"
)

// flight makes an answer once for all requests that come while it is made. Unlike a singleflight.Group it knows when the
// last of them has sent it, and so how much memory the answers take.
type flight struct {
	mu      sync.Mutex
	current *call // nil while no answer is made
}

// call makes an answer of a flight.
type call struct {
	done   chan struct{} // closed when the answer is made, or could not be
	answer *answer
	err    error
	users  int // that have not sent it yet; guarded by flight's mu
}

// share answers with what encode returns, for this request or for an earlier one that is still under way. Since the answer
// is others' too, encode goes on when a client has gone: its context ends after timeout, or with the API.
func (a *API) share(f *flight, timeout time.Duration, encode func(context.Context) (*answer, error)) (*answer, error) {
	c := f.join(func(c *call) {
		ctx, cancel := context.WithTimeout(a.running, timeout)
		defer cancel()
		if c.answer, c.err = encode(ctx); c.err == nil {
			c.err = a.reserve(c.answer)
		}
	})
	if c.err != nil {
		return nil, c.err
	}
	return &answer{status: c.answer.status, body: c.answer.body, last: c.answer.last, release: func() { f.leave(c) }}, nil
}

// join returns the call under way, or has fill make one.
func (f *flight) join(fill func(*call)) *call {
	f.mu.Lock()
	if c := f.current; c != nil {
		c.users++
		f.mu.Unlock()
		<-c.done
		return c
	}
	c := &call{done: make(chan struct{}), err: errInternal, users: 1} // should fill panic
	f.current = c
	f.mu.Unlock()
	defer func() {
		f.mu.Lock()
		f.current = nil // and users grows no more
		f.mu.Unlock()
		close(c.done)
	}()
	fill(c)
	return c
}

// leave is called by each user of an answer when it was sent.
func (f *flight) leave(c *call) {
	f.mu.Lock()
	c.users--
	last := c.users == 0
	f.mu.Unlock()
	if last {
		c.answer.free()
	}
}
