package listen

import (
	"sync"

	"github.com/telltale-iot/telltale/services/mqtt-bridge/budget"
)

// fairShare is a share of the budget that a client keeps for as long as it likes, up to a timeout. The clients of one
// address get no more than half of it, so that those of others need not wait for them.
type fairShare struct {
	share *budget.Share

	mu sync.Mutex
	of map[string]*addressShare
}

// addressShare is the half of an address.
type addressShare struct {
	*budget.Share
	users int // guarded by fairShare.mu
}

func newFairShare(share *budget.Share) *fairShare {
	return &fairShare{share: share, of: make(map[string]*addressShare)}
}

// take takes n for c, as soon as there is room for its address and at all, as c.waitForShare does. release gives it back.
func (f *fairShare) take(c *connection, n int) (release func(), err error) {
	own := f.enter(c.from)
	if err := c.waitForShare(own.Share, n); err != nil {
		f.leave(c.from)
		return nil, err
	}
	if err := c.waitForShare(f.share, n); err != nil {
		own.Release(n)
		f.leave(c.from)
		return nil, err
	}
	return func() {
		f.share.Release(n)
		own.Release(n)
		f.leave(c.from)
	}, nil
}

func (f *fairShare) enter(address string) *addressShare {
	f.mu.Lock()
	defer f.mu.Unlock()
	own := f.of[address]
	if own == nil {
		own = &addressShare{Share: budget.NewShare(f.share.Limit() / 2)}
		f.of[address] = own
	}
	own.users++
	return own
}

func (f *fairShare) leave(address string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	own := f.of[address]
	if own.users--; own.users == 0 {
		delete(f.of, address)
	}
}
