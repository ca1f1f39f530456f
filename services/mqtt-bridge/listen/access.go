package listen

import (
	"crypto/tls"
	"crypto/x509"
	"net"
	"strings"

	"github.com/telltale-iot/telltale/pkg/auth"
	"github.com/telltale-iot/telltale/pkg/credentials"
	"github.com/telltale-iot/telltale/pkg/event"
	"github.com/telltale-iot/telltale/pkg/iot"
	"github.com/telltale-iot/telltale/pkg/refused"
	"github.com/telltale-iot/telltale/services/mqtt-bridge/packet"
	"github.com/telltale-iot/telltale/services/mqtt-bridge/pipeline"
)

// Access is by what clients get in.
type Access struct {
	Mode    auth.Mode
	Table   *credentials.Table // who has credentials; nil where no listener needs them
	Refused *refused.List      // whom the endpoint tells of

	anonymous auth.Networks // networks whose devices need no credentials
	guesses   auth.Guesses
}

// NeedsTable reports whether a listener may need to know who has credentials.
func (a *Access) NeedsTable(listener net.Addr) bool {
	return a.Mode.Policy(listener, false) != auth.Open
}

// Policy is that of a listener, and false while it is not known.
func (a *Access) Policy(listener net.Addr) (p auth.Policy, known bool) {
	if !a.NeedsTable(listener) {
		return auth.Open, true
	}
	ready := a.ready()
	p = a.Mode.Policy(listener, ready && a.Table.Site().Moved)
	return p, ready || p == auth.Warning
}

func (a *Access) ready() bool {
	select {
	case <-a.Table.Ready():
		return true
	default:
		return false
	}
}

// Why somebody is not let in, or may not do something, as metrics and the list of refusals say it.
const (
	whyNoCredentials      = "no_credentials"
	whyUnknownUser        = "unknown_user"
	whyWrongPassword      = "wrong_password"
	whyUnknownCertificate = "unknown_certificate"
	whyTooManyFailures    = "too_many_failures"
	whyDevice             = "device_not_allowed"
	whyPublish            = "viewer_publishes"
	whySubscribe          = "device_subscribes"
	whyEnded              = "credential_ended"
)

// party is who has connected, and what he may do.
type party struct {
	access    *Access
	policy    auth.Policy
	principal *credentials.Principal // nil: he showed no credentials, or none that count
	anonymous bool                   // he needs none
	known     bool                   // whether he has credentials was looked at
	user      string                 // that he said, as people may see it
	clientID  string
	address   net.Addr
	strayed   bool // he sent for a device that is not his, since it was last set
}

// identify looks at the credentials of who sent p and, with TLS, showed a certificate that an authority has signed. It
// returns why there are none that count.
func (a *Access) identify(from string, p packet.Connect, certificate *x509.Certificate) (principal *credentials.Principal, why string) {
	switch {
	case p.Password != nil || p.User != nil && certificate == nil:
		user := string(p.User)
		if wait := a.guesses.Begin(from, user); wait > 0 {
			return nil, whyTooManyFailures
		}
		principal, ok := a.Table.Password(user, string(p.Password))
		if ok {
			a.guesses.Right(from, user)
			return principal, ""
		}
		if a.Table.HasPassword(user) {
			return nil, whyWrongPassword
		}
		return nil, whyUnknownUser
	case certificate != nil:
		if principal, ok := a.Table.Certificate(certificate); ok {
			return principal, ""
		}
		return nil, whyUnknownCertificate
	default:
		return nil, whyNoCredentials
	}
}

// authenticate decides whether who sent p gets in, and as whom.
func (c *connection) authenticate(p packet.Connect) error {
	a := c.endpoint.access
	c.party = party{access: a, user: c.who.User, clientID: c.who.ID, address: c.RemoteAddr()}
	var known bool
	if c.policy, known = a.Policy(c.listener); !known {
		return &refusal{reason: byNotReady, code: packet.ServerUnavailable, what: "the credentials of devices are not known yet"}
	}
	certificate := c.certificate()
	if c.policy != auth.Required && c.endpoint.cfg.ClientCA != "" && certificate == nil {
		return c.refuse(byCredentials, whyNoCredentials, packet.NotAuthorized, "a certificate is needed")
	}
	if c.policy == auth.Open || !a.ready() {
		return nil
	}
	c.known = true
	why := ""
	c.principal, why = a.identify(c.from, p, certificate)
	switch {
	case c.principal != nil && c.principal.Viewer && p.HasWill:
		return c.forbid(whyPublish, string(p.Will.Topic), "who looks on has no will")
	case c.principal != nil:
		return nil
	case why == whyNoCredentials && a.isAnonymous(c.RemoteAddr()):
		c.anonymous = true
		return nil
	case c.policy == auth.Warning:
		c.tell(why, "", "")
		return nil
	}
	switch why {
	case whyWrongPassword, whyUnknownUser:
		return c.refuse(byCredentials, why, packet.BadUserOrPassword, "wrong user name or password")
	case whyTooManyFailures:
		return c.refuse(byCredentials, why, packet.NotAuthorized, "too many wrong passwords: try again in a minute")
	case whyUnknownCertificate:
		return c.refuse(byCredentials, why, packet.NotAuthorized, "the certificate is no device's")
	default:
		return c.refuse(byCredentials, why, packet.NotAuthorized, "a user name and password are needed, or a certificate")
	}
}

// certificate returns the one that the client showed, which an authority has signed that is trusted; nil for none.
func (c *connection) certificate() *x509.Certificate {
	inner := c.Conn.Conn
	if web, ok := inner.(*webSocket); ok {
		inner = web.Conn
	}
	secured, ok := inner.(*tls.Conn)
	if !ok {
		return nil
	}
	state := secured.ConnectionState()
	if len(state.VerifiedChains) == 0 {
		return nil
	}
	return state.PeerCertificates[0]
}

// isAnonymous reports whether devices there need no credentials.
func (a *Access) isAnonymous(addr net.Addr) bool {
	tcp, ok := addr.(*net.TCPAddr)
	return ok && a.anonymous.Contain(tcp.AddrPort().Addr().String())
}

// refuse tells operators, and returns the refusal.
func (c *connection) refuse(reason, why string, code packet.Code, what string) error {
	c.denied(true, why, "", "")
	return &refusal{reason: reason, code: code, what: what, told: true}
}

// forbid is for what who is in may not do: with a warning it only tells operators.
func (c *connection) forbid(why, example, what string) error {
	c.tell(why, "", example)
	if c.policy == auth.Warning {
		return nil
	}
	return &refusal{reason: byNotAllowed, code: packet.NotAuthorized, what: what, told: true}
}

// tell tells operators of something that is refused or, with a warning, would be.
func (p *party) tell(why, device, example string) {
	p.denied(p.policy == auth.Required, why, device, example)
}

func (p *party) denied(denied bool, why, device, example string) {
	p.access.Refused.Add(event.Refusal{
		Denied: denied, Why: why, Principal: p.user, ClientID: p.clientID, Device: device, Address: p.address.String(), Example: example,
	})
}

// sender returns who sends what the party publishes.
func (p *party) sender() pipeline.Sender {
	s := pipeline.Sender{Client: p.clientID}
	if p.principal != nil {
		s.Principal = p.principal.Name
		s.Own, _ = p.principal.Device()
	}
	if p.principal != nil || p.anonymous {
		s.May = p.may
		if p.policy == auth.Required {
			s.Speaks = p.speaksFor
		}
	}
	return s
}

// speaksFor reports whether the party speaks for a device.
func (p *party) speaksFor(device iot.DeviceID) bool {
	return p.principal != nil && p.principal.May(device) || p.anonymous && !p.access.Table.HasOwn(device)
}

// may reports whether the party may send for a device, and tells operators if not. With a warning it may, all the same.
func (p *party) may(device iot.DeviceID) bool {
	if p.speaksFor(device) {
		return true
	}
	p.tell(whyDevice, device.String(), "")
	p.strayed = p.policy == auth.Required
	return !p.strayed
}

// maySubscribe reports whether the party may subscribe to what others publish.
func (p *party) maySubscribe(filter string) bool {
	if !p.known || p.principal != nil && p.principal.Viewer {
		return true
	}
	if p.principal == nil && !p.anonymous {
		return true // with a warning, which was told
	}
	if p.isCommanded(filter) {
		return true
	}
	p.tell(whySubscribe, "", filter)
	return p.policy != auth.Required
}

// isCommanded reports whether a filter is of commands of Sparkplug to a node of the party's: it is asked there for its birth.
func (p *party) isCommanded(filter string) bool {
	const namespace, group, kind, node = 0, 1, 2, 3
	levels := strings.Split(filter, "/")
	if len(levels) <= node || levels[namespace] != "spBv1.0" || levels[kind] != "NCMD" && levels[kind] != "DCMD" {
		return false
	}
	name := levels[group] + "/" + levels[node]
	id, _, err := iot.ParseDevice(name)
	return err == nil && !strings.ContainsAny(name, "+#") && p.speaksFor(id)
}

// looksOn reports whether the party is shown what others publish.
func (p *party) looksOn() bool { return p.policy != auth.Required || p.isViewer() }

// isViewer reports whether the party looks on, and publishes nothing.
func (p *party) isViewer() bool { return p.principal != nil && p.principal.Viewer }

// hasEnded reports whether the credentials by which the party got in do not count any more.
func (p *party) hasEnded() bool { return p.principal != nil && p.principal.Ended() }

// cut returns when stop is closed. Before that it ends the connections of those whose credentials end, each time when ended
// has a value.
func (e *Endpoint) cut(ended, stop <-chan struct{}) {
	for {
		select {
		case <-ended:
		case <-stop:
			return
		}
		e.mu.Lock()
		for c, cl := range e.conns {
			if cl != nil && c.hasEnded() {
				e.serving.Go(c.revoked)
			}
		}
		e.mu.Unlock()
	}
}
