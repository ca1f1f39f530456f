package access

import (
	"context"
	"errors"
	"net/http"
	"net/netip"
	"strings"

	"github.com/telltale-iot/telltale/pkg/auth"
	"github.com/telltale-iot/telltale/pkg/iot"
	"github.com/telltale-iot/telltale/pkg/settings"
)

// Proxies are those whose word counts. The tags are for package settings.
type Proxies struct {
	Trusted    []string `env:"TRUSTED_PROXIES" help:"Networks (10.1.0.0/16, an address) of proxies before the HTTP API, separated by commas. What they say of where a request comes from (X-Forwarded-For) counts."`
	UserHeader string   `env:"PROXY_USER_HEADER" help:"Header in which a proxy of TRUSTED_PROXIES names the user who sends a request: one of Telltale's. The proxy must remove it from what clients send."`
}

// Validate returns a *settings.Error where the settings cannot work.
func (p Proxies) Validate() error {
	networks, err := auth.ParseNetworks(p.Trusted)
	if err != nil {
		return &settings.Error{Variable: "TRUSTED_PROXIES", Value: strings.Join(p.Trusted, ","), Err: err}
	}
	if p.UserHeader != "" && len(networks) == 0 {
		return &settings.Error{Variable: "PROXY_USER_HEADER", Value: p.UserHeader, Err: errors.New("is of no use without TRUSTED_PROXIES")}
	}
	return nil
}

// networks are those of p, which is valid.
func (p Proxies) networks() auth.Networks {
	networks, _ := auth.ParseNetworks(p.Trusted)
	return networks
}

// Address is where r comes from: before the proxies that are trusted. Each of them has added to X-Forwarded-For whom it had the
// request from; what stands before that is anybody's word.
func (a *Authenticator) Address(r *http.Request) string {
	from := host(r.RemoteAddr)
	if !a.proxies.Contain(from) {
		return from
	}
	hops := strings.Split(strings.Join(r.Header["X-Forwarded-For"], ","), ",")
	for i := len(hops) - 1; i >= 0 && a.proxies.Contain(from); i-- {
		hop, ok := hopAddress(strings.TrimSpace(hops[i]))
		if !ok {
			break
		}
		from = hop
	}
	return from
}

// hopAddress returns the address of a hop. Some proxies add the port to it, and put brackets around one of IPv6.
func hopAddress(hop string) (address string, ok bool) {
	if withPort, err := netip.ParseAddrPort(hop); err == nil {
		return withPort.Addr().String(), true
	}
	if strings.HasPrefix(hop, "[") && strings.HasSuffix(hop, "]") {
		hop = hop[1 : len(hop)-1]
	}
	_, err := netip.ParseAddr(hop)
	return hop, err == nil
}

// proxyUser returns whom a trusted proxy names as the sender of r, where a page of this origin has it sent: what a browser
// shows the proxy it may show for any page.
func (a *Authenticator) proxyUser(r *http.Request) (name string, ok bool) {
	if a.Proxies.UserHeader == "" || !a.proxies.Contain(host(r.RemoteAddr)) || !a.SameOrigin(r) {
		return "", false
	}
	names := r.Header.Values(a.Proxies.UserHeader)
	if len(names) != 1 || names[0] == "" { // two are the proxy's and somebody else's
		return "", false
	}
	return names[0], true
}

// byProxy returns the user of that name.
func (a *Authenticator) byProxy(ctx context.Context, name, address string) (*Principal, error) {
	user, account, err := a.find(ctx, name)
	switch {
	case err != nil:
		return nil, err
	case user.ID == 0:
		return nil, &Denial{Status: http.StatusUnauthorized, Why: "unknown_user", Detail: "The proxy names a user whom an admin has yet to create.", Name: auth.MaskedName(name)}
	case account.Disabled:
		return nil, &Denial{Status: http.StatusUnauthorized, Why: "disabled", Detail: "User inactive or deleted.", Name: user.Username}
	}
	p := &Principal{Kind: Proxy, User: user, Role: account.Role, Address: address}
	if account.Role == iot.RoleMember {
		p.Owner = user.ID
	}
	return p, nil
}
