package api

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strconv"

	"github.com/labstack/echo/v4"

	"github.com/telltale-iot/telltale/pkg/iot"
	"github.com/telltale-iot/telltale/services/query-api/scope"
)

// problem is an answer {"detail": "…"} on its way from a handler to answerError.
type problem struct {
	status     int
	detail     string
	retryAfter int // seconds; 0 for none
}

func (p *problem) Error() string { return p.detail }

var (
	errNotFound  = &problem{status: http.StatusNotFound, detail: "Not found."}
	errForbidden = &problem{status: http.StatusForbidden, detail: "You do not have permission to perform this action."}
	errInvalid   = &problem{status: http.StatusBadRequest, detail: "Invalid request."}
	errBusy      = &problem{http.StatusServiceUnavailable, "Too many requests at the same time. Try again later.", 1}
	errAway      = &problem{http.StatusServiceUnavailable, "A store is not available. Try again later.", 5}
	errInternal  = &problem{status: http.StatusInternalServerError, detail: "Internal server error."}
)

// fieldErrors is an answer 400 on its way to answerError: by field or query parameter, what is wrong with
// it. errNoField stands for the body as a whole.
type fieldErrors map[string][]string

const errNoField = "non_field_errors"

func (e fieldErrors) Error() string { return fmt.Sprint(map[string][]string(e)) }

// panicked is what a handler panicked with, and where.
type panicked struct {
	value any
	stack []byte
}

func (p panicked) Error() string { return fmt.Sprint("panic: ", p.value) }

// statusClientGone is what metrics and logs show where the client went away before the answer.
const statusClientGone = 499

// answerError answers a request whose handler returned err. It is the one place where errors become
// statuses, and nothing of an error that is not made for clients gets into an answer.
func (a *API) answerError(err error, c echo.Context) {
	if c.Response().Committed {
		return // the client has gone away while it was being answered
	}
	var fields fieldErrors
	if errors.As(err, &fields) {
		a.sendError(c, http.StatusBadRequest, map[string][]string(fields))
		return
	}
	if errors.Is(err, context.Canceled) && c.Request().Context().Err() != nil {
		_ = c.NoContent(statusClientGone)
		return
	}
	p := a.problemOf(err, c)
	a.logRefusal(p, c)
	if p.status == http.StatusUnauthorized {
		c.Response().Header().Set(echo.HeaderWWWAuthenticate, "Bearer")
	}
	if p.retryAfter > 0 {
		c.Response().Header().Set(echo.HeaderRetryAfter, strconv.Itoa(p.retryAfter))
	}
	a.sendError(c, p.status, struct {
		Detail string `json:"detail"`
	}{p.detail})
}

func (a *API) sendError(c echo.Context, status int, v any) {
	if answer, err := encodeAny(status, v); err == nil {
		_ = a.send(c, answer)
	}
}

// problemOf translates err, and logs what is not the client's doing.
func (a *API) problemOf(err error, c echo.Context) *problem {
	var (
		p      *problem
		routed *echo.HTTPError
		broken panicked
	)
	if p := accessProblem(err); p != nil {
		return p
	}
	switch {
	case errors.As(err, &p):
		return p
	case errors.Is(err, iot.ErrNotFound):
		return errNotFound
	case errors.Is(err, scope.ErrForbidden):
		return errForbidden
	case errors.Is(err, scope.ErrKnown):
		return errKnownDevice
	case errors.Is(err, scope.ErrTooMany):
		return errTooManyDevices
	case errors.Is(err, iot.ErrInvalid): // which the handler should have found out
		return errInvalid
	case errors.As(err, &routed):
		if routed.Code == http.StatusMethodNotAllowed {
			return &problem{status: routed.Code, detail: fmt.Sprintf("Method %q not allowed.", c.Request().Method)}
		}
		return errNotFound
	case errors.As(err, &broken):
		a.Log.Error("request panicked", "request_id", c.Response().Header().Get(requestIDHeader),
			"method", c.Request().Method, "route", c.Path(), "panic", broken.value, "stack", string(broken.stack))
		return errInternal
	default:
		if n := a.failures.Event(c.Path()); n > 0 { // each request fails while a store is away
			a.Log.Warn("store is not available", "request_id", c.Response().Header().Get(requestIDHeader),
				"method", c.Request().Method, "route", c.Path(), "err", err, "count", n)
		}
		return errAway
	}
}

// logRefusal logs refusals whose cause is a client program, or the number of clients, but not the input of a user.
func (a *API) logRefusal(p *problem, c echo.Context) {
	switch p.status {
	case http.StatusMethodNotAllowed, http.StatusRequestTimeout, http.StatusRequestEntityTooLarge, http.StatusUnsupportedMediaType,
		http.StatusTooManyRequests, http.StatusServiceUnavailable:
	default:
		return
	}
	if p == errAway || c.Request().Context().Err() != nil {
		return // its cause is logged, or nobody waits for it
	}
	if n := a.refusals.Event(strconv.Itoa(p.status)); n > 0 {
		a.Log.Warn("request refused", "request_id", c.Response().Header().Get(requestIDHeader), "method", c.Request().Method,
			"route", c.Path(), "status", p.status, "detail", p.detail, "remote", c.Request().RemoteAddr, "count", n)
	}
}
