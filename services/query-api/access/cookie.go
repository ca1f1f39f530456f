package access

import (
	"net/http"
	"strings"
)

// Names of the cookie that a session has. One with the prefix __Host- no other host can set, nor any page without TLS.
const (
	plainCookie  = "telltale"
	secureCookie = "__Host-telltale"
)

// NewCookie returns the cookie of a session for who sends r. An empty secret ends it. It lasts as long as the browser runs:
// when the session ends the store knows.
func NewCookie(r *http.Request, secret string) *http.Cookie {
	c := &http.Cookie{Name: plainCookie, Value: secret, Path: "/", HttpOnly: true, SameSite: http.SameSiteLaxMode}
	if Secure(r) {
		c.Name, c.Secure = secureCookie, true
	}
	if secret == "" {
		c.MaxAge = -1
	}
	return c
}

// cookie returns the secret of the session that a browser shows, where a page of this origin has it sent.
func (a *Authenticator) cookie(r *http.Request) (secret string, ok bool) {
	if r.Header["Cookie"] == nil || !a.SameOrigin(r) {
		return "", false
	}
	name := plainCookie
	if Secure(r) {
		name = secureCookie
	}
	c, err := r.Cookie(name)
	if err != nil {
		return "", false
	}
	return c.Value, c.Value != ""
}

// SameOrigin reports whether r reads, or is not sent by a page of another origin, be that one in CORS_ORIGINS or not.
func (a *Authenticator) SameOrigin(r *http.Request) bool { return a.sameOrigin.Check(r) == nil }

// Secure reports whether the browser speaks TLS, with us or with a proxy before us. Whoever makes that up has a cookie that
// he does not send.
func Secure(r *http.Request) bool {
	return r.TLS != nil || strings.EqualFold(r.Header.Get("X-Forwarded-Proto"), "https")
}
