package access

import (
	"errors"
	"net/http"

	"github.com/telltale-iot/telltale/pkg/iot"
	"github.com/telltale-iot/telltale/services/query-api/oidc"
)

// LogInAs begins a session of somebody whom an OpenID Connect provider has named, as LogIn does.
func (a *Authenticator) LogInAs(r *http.Request, who oidc.Person) (p *Principal, secret string, err error) {
	ctx, address := r.Context(), a.Address(r)
	user, account, err := a.Store.LogInAs(iot.WithActor(ctx, iot.Actor{Name: who.Username, Address: address}), who.Identity, who.Username, who.Email, who.Role)
	switch {
	case errors.Is(err, iot.ErrInvalid):
		return nil, "", &Denial{Status: http.StatusForbidden, Why: "name_invalid", Detail: "Nobody can have the user name that the provider says."}
	case errors.Is(err, iot.ErrConflict):
		return nil, "", &Denial{Status: http.StatusForbidden, Why: "name_taken", Detail: "The user of this name is not the provider's.", Name: who.Username}
	case err != nil:
		return nil, "", err
	case account.Disabled:
		return nil, "", &Denial{Status: http.StatusForbidden, Why: "disabled", Detail: "User inactive or deleted.", Name: user.Username}
	}
	return a.Begin(ctx, user, address)
}

// Refuse tells of a log-in that failed.
func (a *Authenticator) Refuse(r *http.Request, d *Denial) { a.tell(d, example(r), a.Address(r), true) }
