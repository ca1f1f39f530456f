package api

import (
	"crypto/subtle"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/labstack/echo/v4"

	"github.com/telltale-iot/telltale/services/query-api/access"
	"github.com/telltale-iot/telltale/services/query-api/oidc"
)

const (
	// The flow's cookie has what is to be remembered of somebody who is at the provider: in his browser, so that a log-in that
	// was begun elsewhere cannot be ended in it. With TLS no other host can set it, either.
	plainFlowCookie  = "telltale_oidc"
	secureFlowCookie = "__Host-telltale_oidc"

	flowPath = "/api/login/oidc/"
	// flowTime is how long he may be there.
	flowTime = 10 * time.Minute
)

// beginOIDC sends somebody to the OpenID Connect provider.
func (a *API) beginOIDC(c echo.Context) error {
	if a.OIDC == nil {
		return errNotFound
	}
	r := c.Request()
	scheme := "http"
	if access.Secure(r) {
		scheme = "https"
	}
	release, err := a.limits.providerLogins.take(r.RemoteAddr)
	if err != nil {
		return a.failOIDC(c, &access.Denial{Why: "busy"}, err)
	}
	defer release()
	callback := url.URL{Scheme: scheme, Host: r.Host, Path: oidc.CallbackPath}
	to, flow, err := a.OIDC.Begin(r.Context(), callback.String(), pageOf(c.QueryParam("return")))
	if err != nil {
		return a.failOIDC(c, &access.Denial{Why: "provider_away"}, err)
	}
	value, err := json.Marshal(flow)
	if err != nil {
		return err
	}
	c.SetCookie(newFlowCookie(r, base64.RawURLEncoding.EncodeToString(value)))
	c.Response().Header().Set(echo.HeaderCacheControl, keptByNobody)
	return c.Redirect(http.StatusFound, to)
}

// newFlowCookie returns the cookie of a flow; "" ends it.
func newFlowCookie(r *http.Request, value string) *http.Cookie {
	cookie := &http.Cookie{Name: plainFlowCookie, Value: value, Path: flowPath, HttpOnly: true, SameSite: http.SameSiteLaxMode, MaxAge: int(flowTime / time.Second)}
	if access.Secure(r) {
		cookie.Name, cookie.Path, cookie.Secure = secureFlowCookie, "/", true // what the prefix asks
	}
	if value == "" {
		cookie.MaxAge = -1
	}
	return cookie
}

// finishOIDC begins a session of who comes back from the provider.
func (a *API) finishOIDC(c echo.Context) error {
	if a.OIDC == nil {
		return errNotFound
	}
	r := c.Request()
	flow, ok := flowOf(r)
	c.SetCookie(newFlowCookie(r, ""))
	switch {
	case !ok, subtle.ConstantTimeCompare([]byte(flow.State), []byte(c.QueryParam("state"))) == 0:
		return a.failOIDC(c, &access.Denial{Why: "log_in_unknown"}, errors.New("the log-in was not begun in this browser, or too long ago"))
	case c.QueryParam("error") != "":
		return a.failOIDC(c, &access.Denial{Why: "provider_refused"}, fmt.Errorf("the provider says %.200q", c.QueryParam("error")))
	}
	release, err := a.limits.providerLogins.take(r.RemoteAddr)
	if err != nil {
		return a.failOIDC(c, &access.Denial{Why: "busy"}, err)
	}
	defer release()
	person, err := a.OIDC.Finish(r.Context(), flow, c.QueryParam("code"))
	switch {
	case errors.Is(err, oidc.ErrNotAllowed):
		return a.failOIDC(c, &access.Denial{Why: "no_role", Name: person.Username}, err)
	case err != nil:
		return a.failOIDC(c, &access.Denial{Why: "provider_failed"}, err)
	}
	_, secret, err := a.Auth.LogInAs(r, person)
	var denial *access.Denial
	if errors.As(err, &denial) {
		return a.failOIDC(c, denial, err)
	}
	if err != nil {
		return err
	}
	c.SetCookie(access.NewCookie(r, secret))
	return c.Redirect(http.StatusFound, pageOf(flow.Return))
}

// failOIDC sends somebody to the page for logging in, which says why he is not.
func (a *API) failOIDC(c echo.Context, d *access.Denial, err error) error {
	a.Auth.Refuse(c.Request(), d)
	if n := a.failures.Event("log in by OpenID Connect: " + d.Why); n > 0 { // anybody can have it fail
		a.Log.Warn("somebody could not log in by OpenID Connect", "why", d.Why, "err", err, "remote", c.Request().RemoteAddr, "count", n)
	}
	return c.Redirect(http.StatusFound, "/login?failed="+d.Why)
}

// flowOf returns what a browser remembers of its log-in.
func flowOf(r *http.Request) (flow oidc.Flow, ok bool) {
	name := plainFlowCookie
	if access.Secure(r) {
		name = secureFlowCookie
	}
	cookie, err := r.Cookie(name)
	if err != nil {
		return flow, false
	}
	value, err := base64.RawURLEncoding.DecodeString(cookie.Value)
	if err != nil || json.Unmarshal(value, &flow) != nil {
		return flow, false
	}
	return flow, flow.State != ""
}

// pageOf returns a path of this server, to which somebody may be sent, or that of the first page.
func pageOf(path string) string {
	if !strings.HasPrefix(path, "/") || strings.HasPrefix(path, "//") || strings.ContainsAny(path, "\\\r\n\t") {
		return "/"
	}
	return path
}
