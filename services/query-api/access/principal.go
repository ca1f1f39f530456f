package access

import (
	"context"
	"slices"
	"time"

	"github.com/telltale-iot/telltale/pkg/iot"
)

// Kind is how somebody has said who he is.
type Kind string

const (
	Nobody    Kind = ""        // he has not said it, and what he asks for is for everybody
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
	Role      iot.Role // "" of nobody, and of a device, which sends readings and nothing else
	TokenID   int64    // of a token or a session
	TokenName string
	Expires   time.Time      // of a token; zero: never
	Owner     int64          // he sees only the devices of this user; 0: of all
	Devices   []iot.DeviceID // he sees only these of them; nil: all
	Name      string         // of a device's credential
	Own       iot.Identity   // the device that it means where it names none; zero of a gateway
	Address   string
}

// Everything is a principal's who may do what he likes: of an open listener.
func Everything(address string) *Principal {
	return &Principal{Kind: Anonymous, Role: iot.RoleAdmin, Address: address}
}

// nobody is a principal's who may do nothing, and sees no device.
func nobody(address string) *Principal {
	return &Principal{Kind: Nobody, Devices: []iot.DeviceID{}, Address: address}
}

// Limited reports whether p sees some devices alone.
func (p *Principal) Limited() bool { return p.Owner != 0 || p.Devices != nil }

// Same reports whether other may see and do what p may.
func (p *Principal) Same(other *Principal) bool {
	return p.User.ID == other.User.ID && p.Role == other.Role && p.Owner == other.Owner &&
		(p.Devices == nil) == (other.Devices == nil) && slices.Equal(p.Devices, other.Devices)
}

// actor is p in the audit.
func (p *Principal) actor() iot.Actor {
	a := iot.Actor{Name: p.User.Username, Address: p.Address}
	switch {
	case p.Kind == Device:
		a.Name = p.Name
	case a.Name == "":
		a.Name = "anonymous"
	case p.Kind == Token:
		a.Token = p.TokenName
	}
	return a
}

type principalKey struct{}

// WithPrincipal returns a context of a request that p sends, and of whose changes he is the actor.
func WithPrincipal(ctx context.Context, p *Principal) context.Context {
	return iot.WithActor(context.WithValue(ctx, principalKey{}, p), p.actor())
}

// Of returns who sends the request of ctx. Where nothing says so, he may do nothing.
func Of(ctx context.Context) *Principal {
	if p, ok := ctx.Value(principalKey{}).(*Principal); ok {
		return p
	}
	return nobody("")
}
