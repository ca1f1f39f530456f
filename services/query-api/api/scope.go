package api

import (
	"context"
	"fmt"
	"net/http"
	"time"

	"github.com/labstack/echo/v4"

	"github.com/telltale-iot/telltale/pkg/iot"
	"github.com/telltale-iot/telltale/services/query-api/access"
	"github.com/telltale-iot/telltale/services/query-api/scope"
)

// reach is what a route is for who sees some devices alone.
type reach string

const (
	// byDevice is of a route whose handler asks the request's own Stores, which have nothing of other devices.
	byDevice reach = "by device"
	// noDevices is of a route in whose answer there is nothing of devices. Its request has no Stores.
	noDevices reach = "no devices"
	// whole is of a route that is about all devices together: he may not ask.
	whole reach = "whole"
)

var errKnownDevice = &problem{status: http.StatusForbidden, detail: "Something has come from a device of this id or key, which would be yours to see. An operator can create it for you."}

var errTooManyDevices = &problem{status: http.StatusForbidden, detail: fmt.Sprintf(
	"You may see more than %d devices, which are too many to be told from others. An operator sees all, or can divide them among users.", scope.MaxDevices)}

// view gives r the stores as who sends it sees them, at since or later.
func (a *API) view(ctx context.Context, r *request, since time.Time) (err error) {
	if r.scope, err = a.scopes.Since(ctx, access.Of(ctx), since); err != nil {
		return err
	}
	r.Stores = r.scope.Of(scope.Stores{Metadata: a.Metadata, Readings: a.Readings, Latest: a.Latest, DeadLetters: a.DeadLetters})
	return nil
}

// viewed has h answer a request with the stores as who sends it sees them; without them where its route has no devices, so
// that nobody is refused since he has too many.
func (a *API) viewed(h handler) handler {
	return func(ctx context.Context, r *request) (*answer, error) {
		if r.Get(withoutView) != nil {
			return h(ctx, r)
		}
		if err := a.view(ctx, r, recently()); err != nil {
			return nil, err
		}
		return h(ctx, r)
	}
}

// withoutView is in the context of a request whose route has no devices.
const withoutView = "without view"

// recently is since when what is known of a scope is new enough.
func recently() time.Time { return time.Now().Add(-scope.MaxStale) }

// device reads the id or the key in the path. What is neither names nothing, so it is not found; nor is a device that who asks
// does not see.
func (a *API) device(ctx context.Context, r *request) (iot.Identity, error) {
	device, err := r.pathDevice()
	if err != nil || r.scope == nil || r.scope.Has(device.ID) {
		return device, err
	}
	if err := a.view(ctx, r, time.Now()); err != nil { // it may have become his a moment ago
		return iot.Identity{}, err
	}
	if !r.scope.Has(device.ID) {
		return iot.Identity{}, errNotFound
	}
	return device, nil
}

// mayName returns which devices who sends r may send readings of, as it is now: a reading of a device that has just become
// his is not lost. nil: of all.
func (a *API) mayName(ctx context.Context, r *request) (func(iot.DeviceID) bool, error) {
	if r.scope == nil {
		return nil, nil
	}
	if err := a.view(ctx, r, time.Now()); err != nil {
		return nil, err
	}
	return r.scope.Has, nil
}

// shareWhole shares an answer among those who see everything. Others have one of their own, a few at a time: it takes as much
// as the whole.
func (a *API) shareWhole(
	ctx context.Context, r *request, f *flight, timeout time.Duration, encode func(context.Context) (*answer, error),
) (*answer, error) {
	if r.scope == nil {
		return a.share(f, timeout, encode)
	}
	return a.makeAlone(ctx, r, timeout, encode)
}

// makeAlone makes an answer for one request, in its turn among others that take as much.
func (a *API) makeAlone(
	ctx context.Context, r *request, timeout time.Duration, encode func(context.Context) (*answer, error),
) (*answer, error) {
	release, err := take(ctx, a.limits.parts, 1)
	if err != nil {
		return nil, err
	}
	defer release()
	ctx, cancel := context.WithTimeout(r.Request().Context(), timeout)
	defer cancel()
	return encode(ctx)
}

// limit returns handle for everybody who may have an answer of it: a route without a reach is for who sees everything.
func (reach reach) limit(handle echo.HandlerFunc) echo.HandlerFunc {
	switch reach {
	case byDevice:
		return handle
	case noDevices:
		return func(c echo.Context) error {
			c.Set(withoutView, true)
			return handle(c)
		}
	}
	return func(c echo.Context) error {
		if access.Of(c.Request().Context()).Limited() {
			return errForbidden
		}
		return handle(c)
	}
}
