package access

import (
	"context"
	"errors"
	"time"

	"github.com/telltale-iot/telltale/pkg/iot"
	"github.com/telltale-iot/telltale/pkg/timeouts"
)

// removeEvery is how often what has expired is removed from the store.
const removeEvery = 10 * time.Minute

// Run notes which tokens are used, and removes what has expired, until ctx ends.
func (a *Authenticator) Run(ctx context.Context) error {
	remove := time.NewTicker(removeEvery)
	defer remove.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case n := <-a.tokens.uses:
			a.ask(ctx, "note the use of a token", func(ctx context.Context) error {
				return a.Store.UseToken(ctx, n.token, n.at, n.expires)
			})
		case now := <-remove.C:
			a.ask(ctx, "remove what has expired", func(ctx context.Context) error {
				return a.Store.RemoveExpired(ctx, now)
			})
		}
	}
}

// ask has the store do what can wait: it is done next time.
func (a *Authenticator) ask(ctx context.Context, what string, call func(context.Context) error) {
	within, cancel := context.WithTimeout(ctx, timeouts.SQLCall)
	defer cancel()
	if err := call(within); err != nil && ctx.Err() == nil && !errors.Is(err, iot.ErrNotFound) {
		a.Log.Warn("the metadata store has not done what can wait", "what", what, "err", err)
	}
}
