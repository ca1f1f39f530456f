package listen

import (
	"sync"

	"github.com/telltale-iot/telltale/services/mqtt-bridge/budget"
)

// fair is a share of the budget that is held for as long as a client likes, up to a limit of time. One address takes
// no more than half of it, so that it does not keep those of others waiting.
type fair struct {
	share *budget.Share

	mu sync.Mutex
	of map[string]*part
}

// part is that of an address.
type part struct {
	*budget.Share
	users int // guarded by fair.mu
}

func newFair(share *budget.Share) *fair { return &fair{share: share, of: make(map[string]*part)} }

// take takes n for c, as soon as there is room for its address and at all, as c.wait does. give gives it back.
func (f *fair) take(c *connection, n int) (give func(), err error) {
	own := f.enter(c.from)
	if err := c.wait(own.Share, n); err != nil {
		f.leave(c.from)
		return nil, err
	}
	if err := c.wait(f.share, n); err != nil {
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

func (f *fair) enter(address string) *part {
	f.mu.Lock()
	defer f.mu.Unlock()
	own := f.of[address]
	if own == nil {
		own = &part{Share: budget.NewShare(f.share.Limit() / 2)}
		f.of[address] = own
	}
	own.users++
	return own
}

func (f *fair) leave(address string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	own := f.of[address]
	if own.users--; own.users == 0 {
		delete(f.of, address)
	}
}
