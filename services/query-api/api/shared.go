package api

import (
	"net/http"
	"sync"

	"github.com/labstack/echo/v4"
)

// sharing makes an answer once for all requests that come while it is made. Unlike a singleflight.Group it knows
// when the last of them has sent it, and so how much memory the answers take.
type sharing struct {
	mu     sync.Mutex
	making *shared // nil when none is
}

// shared is an answer of sharing.
type shared struct {
	made    chan struct{} // closed when it is, or could not be
	body    []byte
	err     error
	release func() // gives back the room for sending it
	users   int    // that have not sent it yet; guarded by sharing's mu
}

// writeShared answers with what render returns, to this request or to one that came before.
func (a *API) writeShared(c echo.Context, s *sharing, render func() ([]byte, error)) error {
	answer := s.join(func(answer *shared) {
		if answer.body, answer.err = render(); answer.err == nil {
			answer.release, answer.err = a.roomToSend(answer.body)
		}
	})
	defer s.leave(answer)
	if answer.err != nil {
		return answer.err
	}
	return sendBytes(c, http.StatusOK, answer.body)
}

// join returns the answer that is being made, or has fill make one.
func (s *sharing) join(fill func(*shared)) *shared {
	s.mu.Lock()
	if answer := s.making; answer != nil {
		answer.users++
		s.mu.Unlock()
		<-answer.made
		return answer
	}
	answer := &shared{made: make(chan struct{}), err: errInternal, users: 1} // should fill panic
	s.making = answer
	s.mu.Unlock()
	defer func() {
		s.mu.Lock()
		s.making = nil // and users grows no more
		s.mu.Unlock()
		close(answer.made)
	}()
	fill(answer)
	return answer
}

func (s *sharing) leave(answer *shared) {
	s.mu.Lock()
	answer.users--
	last := answer.users == 0
	s.mu.Unlock()
	if last && answer.release != nil {
		answer.release()
	}
}
