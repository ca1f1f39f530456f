package access

import (
	"context"
	"errors"
	"net/http"

	"github.com/telltale-iot/telltale/pkg/auth"
)

// Client is what connects by another protocol than HTTP, shows a token as a password, and wants to see all devices.
type Client struct {
	Address string
	User    string // that it shows beside the token: any
	Token   string // "" for none
	Example string // what it asks for
	Again   bool   // it was let in by that, and goes on
}

var errLimited = &Denial{
	Status: http.StatusForbidden, Why: "scope",
	Detail: "This has the readings of all devices, and the token is for some of them.",
}

// AdmitClient returns who c is. The error is a *Denial, or the store's.
func (a *Authenticator) AdmitClient(ctx context.Context, c Client) (*Principal, error) {
	policy, err := a.Policy(ctx)
	switch {
	case err != nil:
		return nil, err
	case policy == auth.Open:
		return Everything(c.Address), nil
	}
	p, err := a.byClient(ctx, c)
	if err != nil && c.Again && policy == auth.Warning {
		return warned(p, c.Address), nil // that was told
	}
	return a.settle(policy, p, err, c.Address, c.Example)
}

// byClient returns whose token c shows. Guesses are of a user name from a network, as those of passwords are; who was let in makes
// none.
func (a *Authenticator) byClient(ctx context.Context, c Client) (*Principal, error) {
	if c.Token == "" {
		return nil, errNoCredentials
	}
	from := Network(c.Address).String()
	if !c.Again {
		a.oneClient.Lock() // those at the same time, with the right token, are no guesses
		defer a.oneClient.Unlock()
		if wait := a.guesses.Begin(from, c.User); wait > 0 {
			return nil, &Denial{Status: http.StatusTooManyRequests, Why: "throttled", Detail: (&Throttled{wait}).Error()}
		}
	}
	p, err := a.byToken(ctx, c.Token, false, c.Address)
	var denial *Denial
	switch {
	case c.Again:
	case err == nil:
		a.guesses.Right(from, c.User)
	case !errors.As(err, &denial):
		a.guesses.Undo(from, c.User)
	}
	switch {
	case err != nil:
		return nil, err
	case !Viewer.Allows(p):
		return p, forbidden(p)
	case p.Limited():
		denial := *errLimited
		denial.Name = p.User.Username
		return p, &denial
	}
	return p, nil
}
