package access

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/telltale-iot/telltale/pkg/auth"
	"github.com/telltale-iot/telltale/pkg/credentials"
	"github.com/telltale-iot/telltale/pkg/event"
	"github.com/telltale-iot/telltale/pkg/iot"
	"github.com/telltale-iot/telltale/pkg/timeouts"
)

// Settings are what an Authenticator goes by.
type Settings struct {
	Mode     auth.Mode
	Listener net.Addr // where the requests come in
	Store    iot.AccessStore
	Log      *slog.Logger
	Proxies  Proxies

	Credentials *credentials.Table  // of devices, which send readings; nil: none is let in
	Refused     func(event.Refusal) // is told of who is refused, or would be; it sets Surface, times and counts
}

// Authenticator says who sends a request. It is safe for concurrent use.
type Authenticator struct {
	Settings
	proxies    auth.Networks
	policy     atomic.Pointer[auth.Policy] // nil until it is known
	sameOrigin *http.CrossOriginProtection
	tokens     tokens
	guesses    auth.Guesses
	oneClient  sync.Mutex // of AdmitClient logs in at a time
	logins     logins
	failed     budget
	notice     *auth.Notice
}

// New returns an Authenticator. Its Run notes which tokens are used.
func New(s Settings) *Authenticator {
	a := &Authenticator{Settings: s, sameOrigin: http.NewCrossOriginProtection(), tokens: newTokens(s.Store), proxies: s.Proxies.networks(), notice: auth.NewNotice(s.Mode, s.Listener, s.Log)}
	if p := s.Mode.Policy(s.Listener, false); p == s.Mode.Policy(s.Listener, true) {
		a.policy.Store(&p)
	}
	return a
}

// Policy is that of the listener. An error is the store's, which has to be asked once, where the site may be from before there
// were accounts.
func (a *Authenticator) Policy(ctx context.Context) (auth.Policy, error) {
	if p := a.policy.Load(); p != nil {
		return *p, nil
	}
	moved, err := a.moved(ctx)
	if err != nil {
		return auth.Required, err
	}
	p := a.Mode.Policy(a.Listener, moved)
	a.policy.Store(&p)
	return p, nil
}

// Check is nil when the policy is known, which the log says then. State has it for people.
func (a *Authenticator) Check(ctx context.Context) error {
	p, err := a.Policy(ctx)
	if err == nil {
		a.notice.Tell(p)
	}
	return err
}

// State is what the listener asks of who sends a request.
func (a *Authenticator) State() string { return a.notice.State() }

// moved reports whether the site is from before there were accounts. Where the credentials of devices are known, so is that, also
// while the store is away.
func (a *Authenticator) moved(ctx context.Context) (bool, error) {
	if a.Credentials != nil && a.Credentials.Check(ctx) == nil {
		return a.Credentials.Site().Moved, nil
	}
	ctx, cancel := context.WithTimeout(ctx, timeouts.StoreRequest)
	defer cancel()
	return a.Store.Moved(ctx)
}

// Denial is why a request is refused, in the words of Django REST framework.
type Denial struct {
	Status int
	Why    string // a word, for metrics
	Detail string
	Name   string // of the user, where one is known
}

func (d *Denial) Error() string { return d.Detail }

const invalidToken = "Invalid token."

var (
	errNoCredentials = &Denial{Status: http.StatusUnauthorized, Why: "no_credentials", Detail: "Authentication credentials were not provided."}
	errUnknownToken  = &Denial{Status: http.StatusUnauthorized, Why: "unknown_token", Detail: invalidToken}
	errTokenInURL    = &Denial{
		Status: http.StatusUnauthorized, Why: "token_in_url",
		Detail: "A token in a URL is not taken, since URLs are in logs and histories. Send it in the header Authorization, and make a new one: this is not secret any more.",
	}
	errProxied = &Denial{
		Status: http.StatusForbidden, Why: "proxied",
		Detail: "This request came through a proxy, and the API is open to this machine alone. Set AUTH=on for it to ask who somebody is, or AUTH=off if everybody may do everything.",
	}
)

// forbidden is why p may not do what he asks for.
func forbidden(p *Principal) *Denial {
	return &Denial{Status: http.StatusForbidden, Why: "role", Detail: "You do not have permission to perform this action.", Name: p.actor().Name}
}

// Admit returns who sends r, where that is somebody who has what need asks. The error is a *Denial, or the store's.
func (a *Authenticator) Admit(r *http.Request, need Need) (*Principal, error) {
	address := a.Address(r)
	policy := auth.Required
	if p := a.policy.Load(); p != nil {
		policy = *p
	} else if need != Public { // which waits for no store
		var err error
		if policy, err = a.Policy(r.Context()); err != nil {
			return nil, err
		}
	}
	switch {
	case policy == auth.Open && a.Mode == auth.Auto && proxied(r):
		a.tell(errProxied, example(r), address, true)
		return nil, errProxied
	case policy == auth.Open:
		return Everything(address), nil
	case need == Public:
		return nobody(address), nil
	}
	p, err := a.identify(r, address)
	if err == nil && !need.Allows(p) {
		err = forbidden(p)
	}
	return a.settle(policy, p, err, address, example(r))
}

// settle is what becomes of p, or of why he is refused, by policy: one that only warns lets him in.
func (a *Authenticator) settle(policy auth.Policy, p *Principal, err error, address, example string) (*Principal, error) {
	if err == nil {
		return p, nil
	}
	var denial *Denial
	if errors.As(err, &denial) {
		a.tell(denial, example, address, policy == auth.Required)
	}
	if policy == auth.Required {
		return nil, err
	}
	return warned(p, address), nil // also where the store is away
}

// warned is who would be refused: p, or nil where nobody knows who that is.
func warned(p *Principal, address string) *Principal {
	w := Everything(address)
	w.Kind = Warned
	if p != nil {
		w.User, w.TokenID, w.TokenName = p.User, p.TokenID, p.TokenName
	}
	return w
}

// RefuseKey returns the refusal of r, which has to show a provisioning key, and shows none that counts.
func (a *Authenticator) RefuseKey(r *http.Request) error {
	denial := errUnknownToken
	if r.Header.Get("Authorization") == "" {
		denial = errNoCredentials
	}
	a.tell(denial, example(r), a.Address(r), true)
	return denial
}

// identify returns who sends r by what it shows. The error is a *Denial, or the store's.
func (a *Authenticator) identify(r *http.Request, address string) (*Principal, error) {
	if tokenInURL(r.URL) {
		return nil, errTokenInURL
	}
	scheme, secret, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	if strings.EqualFold(scheme, "Bearer") || strings.EqualFold(scheme, "Token") {
		return a.byToken(r.Context(), strings.TrimSpace(secret), false, address)
	}
	if strings.EqualFold(scheme, "Basic") {
		return a.byCredential(r, address)
	}
	if name, ok := a.proxyUser(r); ok {
		return a.byProxy(r.Context(), name, address)
	}
	if secret, ok := a.cookie(r); ok {
		return a.byToken(r.Context(), secret, true, address)
	}
	return nil, errNoCredentials
}

type watching struct{}

// Watching returns a context for a request that Admit looks at again while it is answered. That is no use of its token: a session
// ends when nobody asks for anything, also where a page is open that is sent what is new.
func Watching(ctx context.Context) context.Context { return context.WithValue(ctx, watching{}, true) }

// maxSecret bounds what is taken for a token.
const maxSecret = 1024

// byToken returns whose the token, or the session, with that secret is.
func (a *Authenticator) byToken(ctx context.Context, secret string, session bool, address string) (*Principal, error) {
	if secret == "" || len(secret) > maxSecret {
		return nil, errUnknownToken
	}
	found, err := a.tokens.find(ctx, auth.Hash(secret))
	now := time.Now()
	switch {
	case errors.Is(err, iot.ErrNotFound), err == nil && found.token.Session != session:
		return nil, errUnknownToken
	case err != nil:
		return nil, err
	case found.account.Disabled:
		return nil, &Denial{Status: http.StatusUnauthorized, Why: "disabled", Detail: "User inactive or deleted.", Name: found.user.Username}
	case found.token.Expired(now):
		return nil, &Denial{Status: http.StatusUnauthorized, Why: "expired", Detail: invalidToken, Name: found.user.Username}
	}
	if ctx.Value(watching{}) == nil {
		a.tokens.use(found, now)
	}
	return found.principal(address), nil
}

// tell has who is refused, or would be, counted and shown.
func (a *Authenticator) tell(d *Denial, example, address string, denied bool) {
	if a.Refused != nil {
		a.Refused(event.Refusal{Denied: denied, Why: d.Why, Principal: d.Name, Address: address, Example: example})
	}
}

// example is what r asks for.
func example(r *http.Request) string { return r.Method + " " + r.URL.Path }

// proxied reports whether r says that it is somebody else's. A proxy makes all clients local.
func proxied(r *http.Request) bool {
	return r.Header["Forwarded"] != nil || r.Header["X-Forwarded-For"] != nil
}

// tokenInURL reports whether somebody has put a token there. Other parameters of these names are a device's.
func tokenInURL(u *url.URL) bool {
	if !strings.Contains(u.RawQuery, "token") {
		return false
	}
	query := u.Query()
	for _, name := range []string{"token", "access_token"} {
		for _, value := range query[name] {
			if strings.HasPrefix(value, auth.TokenPrefix) {
				return true
			}
		}
	}
	return false
}

// host is an address without its port.
func host(remoteAddr string) string {
	if host, _, err := net.SplitHostPort(remoteAddr); err == nil {
		return host
	}
	return remoteAddr
}

// Network is what tells clients apart: the address that a connection comes from, and of IPv6 the network of it, since one
// client has all the addresses there. All who come through a proxy that is not trusted (Authenticator.Address) are one.
func Network(remoteAddr string) netip.Prefix {
	address, err := netip.ParseAddr(host(remoteAddr))
	if err != nil {
		return netip.Prefix{} // no connection of TCP
	}
	address = address.Unmap().WithZone("")
	bits := address.BitLen()
	if address.Is6() {
		bits = 64
	}
	network, _ := address.Prefix(bits) // an address has as many
	return network
}
