package scope

import (
	"context"
	"strconv"
	"sync"
	"time"

	"golang.org/x/sync/singleflight"

	"github.com/telltale-iot/telltale/pkg/iot"
	"github.com/telltale-iot/telltale/pkg/timeouts"
	"github.com/telltale-iot/telltale/services/query-api/access"
)

const (
	// MaxStale is for how long a scope may have a device that it has lost.
	MaxStale = time.Second
	// maxKept bounds the devices that are in memory.
	maxKept = 500_000
)

// Scopes knows what principals see. It is safe for concurrent use.
type Scopes struct {
	store  Metadata
	flight singleflight.Group // by user

	mu    sync.Mutex
	owned map[int64]owned // by user
	kept  int             // devices in owned
}

// owned is which devices a user has, ascending.
type owned struct {
	devices []iot.DeviceID
	asked   time.Time // when they were asked for
}

// New returns the Scopes of devices in store.
func New(store Metadata) *Scopes { return &Scopes{store: store, owned: map[int64]owned{}} }

// Since returns what p sees, as it was at since or later; nil: everything.
func (s *Scopes) Since(ctx context.Context, p *access.Principal, since time.Time) (*Scope, error) {
	switch {
	case !p.Limited():
		return nil, nil
	case p.Owner == 0:
		return of(p, nil)
	}
	devices, err := s.ownedBy(ctx, p.Owner, since)
	if err != nil {
		return nil, err
	}
	return of(p, devices)
}

// ownedBy returns the devices of a user, by what was asked for at since or later. Many may ask at the same time.
func (s *Scopes) ownedBy(ctx context.Context, user int64, since time.Time) ([]iot.DeviceID, error) {
	for {
		s.mu.Lock()
		o, ok := s.owned[user]
		s.mu.Unlock()
		if ok && !o.asked.Before(since) {
			return o.devices, nil
		}
		asking := s.flight.DoChan(strconv.FormatInt(user, 10), func() (any, error) { return s.ask(ctx, user) })
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case answer := <-asking:
			if answer.Err != nil {
				return nil, answer.Err
			}
			if o := answer.Val.(owned); !o.asked.Before(since) { // else it was on its way before
				return o.devices, nil
			}
		}
	}
}

// ask asks for the devices of a user, on behalf of all who wait for them.
func (s *Scopes) ask(ctx context.Context, user int64) (owned, error) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), timeouts.SQLCall)
	defer cancel()
	o := owned{asked: time.Now()}
	found, err := s.store.Devices(ctx, iot.DeviceQuery{Owner: user, Limit: MaxDevices + 1})
	if err != nil {
		return o, err
	}
	o.devices = make([]iot.DeviceID, len(found))
	for i, d := range found {
		o.devices[i] = d.ID
	}
	s.keep(user, o)
	return o, nil
}

// keep keeps what is known of a user, and forgets what is too old.
func (s *Scopes) keep(user int64, o owned) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.forget(user)
	if s.kept+len(o.devices) > maxKept {
		for other, before := range s.owned {
			if o.asked.Sub(before.asked) > MaxStale {
				s.forget(other)
			}
		}
	}
	if s.kept+len(o.devices) <= maxKept { // else it is asked for each time
		s.owned[user] = o
		s.kept += len(o.devices)
	}
}

func (s *Scopes) forget(user int64) {
	s.kept -= len(s.owned[user].devices)
	delete(s.owned, user)
}
