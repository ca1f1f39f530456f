package api

import (
	"context"
	"errors"
	"net/http"
	"time"

	"github.com/telltale-iot/telltale/services/query-api/access"
	"github.com/telltale-iot/telltale/services/query-api/scope"
)

const (
	// watchEvery is how often it is looked at whether who is sent something for long may still see it, and
	watchEvery = 200 * time.Millisecond
	// watchStale is how old what is known of that may be: together, with a question to the store, less than a second.
	watchStale = 500 * time.Millisecond
)

var errChanged = &problem{status: http.StatusForbidden, detail: "What you may do has changed meanwhile. Ask again."}

// watch has cut called when who sends r does not have what need asks any more, is somebody else, or changed says so of the
// devices that he sees now; until ctx ends. While the store is away nobody knows, and nobody can change it.
func (a *API) watch(ctx context.Context, r *request, need access.Need, changed func(before, now *scope.Scope) bool, cut context.CancelCauseFunc) {
	p := access.Of(ctx)
	if p.Kind == access.Anonymous || p.Kind == access.Warned {
		return
	}
	before, request := r.scope, r.Request().WithContext(access.Watching(ctx)) // r is another's when it is answered
	look := func() error {
		now, err := a.Auth.Admit(request, need)
		var denial *access.Denial
		switch {
		case errors.As(err, &denial):
			return denial
		case err == nil && !p.Same(now):
			return errChanged
		case before == nil:
			return nil
		}
		seen, err := a.scopes.Since(ctx, p, time.Now().Add(-watchStale))
		if errors.Is(err, scope.ErrTooMany) || err == nil && changed(before, seen) {
			return errChanged
		}
		return nil
	}
	go func() {
		ticker := time.NewTicker(watchEvery)
		defer ticker.Stop()
		for ctx.Err() == nil {
			select {
			case <-ctx.Done():
			case <-ticker.C:
				if err := look(); err != nil {
					cut(err)
					return
				}
			}
		}
	}()
}
