// Package access says who sends a request to the query-api, and what he may do.
package access

import (
	"context"

	"github.com/telltale-iot/telltale/pkg/iot"
)

// Kind is how somebody has said who he is.
type Kind string

const (
	Anonymous Kind = "open"    // nobody asked him: the listener is open
	Warned    Kind = "warn"    // he would have been refused
	Session   Kind = "session" // of a browser
	Token     Kind = "token"
	Proxy     Kind = "proxy"  // one that is trusted says it
	Device    Kind = "device" // it has a credential
)

// Principal is who sends a request.
type Principal struct {
	Kind      Kind
	User      iot.User // zero of an anonymous one and a device
	Role      iot.Role // "" of a device, which sends readings and nothing else
	TokenID   int64    // of a token or a session
	TokenName string
	Owner     int64          // he sees only the devices of this user; 0: of all
	Devices   []iot.DeviceID // he sees only these of them; nil: all
	Name      string         // of a device's credential
	Address   string
}

// Everything is a principal's who may do what he likes: of an open listener.
func Everything(address string) *Principal {
	return &Principal{Kind: Anonymous, Role: iot.RoleAdmin, Address: address}
}

// Limited reports whether p sees some devices alone.
func (p *Principal) Limited() bool { return p.Owner != 0 || p.Devices != nil }

type principalKey struct{}

// WithPrincipal returns a context of a request that p sends.
func WithPrincipal(ctx context.Context, p *Principal) context.Context {
	return context.WithValue(ctx, principalKey{}, p)
}

// Of returns who sends the request of ctx.
func Of(ctx context.Context) *Principal {
	if p, ok := ctx.Value(principalKey{}).(*Principal); ok {
		return p
	}
	return Everything("") // of a request that no listener took: a test's
}
