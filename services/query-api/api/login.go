package api

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"strconv"

	"github.com/telltale-iot/telltale/pkg/auth"
	"github.com/telltale-iot/telltale/pkg/iot"
	"github.com/telltale-iot/telltale/pkg/readingjson"
	"github.com/telltale-iot/telltale/services/query-api/access"
)

const msgWrongPassword = "This is not your password."

var (
	errForeignPage = &problem{status: http.StatusForbidden, detail: "Pages of another origin may not log in here."}
	errNoUser      = &problem{status: http.StatusForbidden, detail: "You are no user."}
)

// getLogin says how somebody logs in.
func (a *API) getLogin(ctx context.Context, _ *request) (*answer, error) {
	policy, err := a.Auth.Policy(ctx)
	if err != nil {
		return nil, err
	}
	type provider struct {
		Name string `json:"name"`
		URL  string `json:"url"`
	}
	login := struct {
		Required bool      `json:"required"`
		Password bool      `json:"password"`
		OIDC     *provider `json:"oidc"`
		CA       *string   `json:"ca"`
	}{policy == auth.Required, true, nil, nil}
	if a.CAFile != "" {
		login.CA = new(caPath)
	}
	if a.OIDC != nil {
		login.OIDC = &provider{a.OIDC.Name(), flowPath}
	}
	return encodeAny(http.StatusOK, login)
}

func (a *API) logIn(ctx context.Context, r *request) (*answer, error) {
	if !a.Auth.SameOrigin(r.Request()) {
		return nil, errForeignPage
	}
	f, err := readForm(r)
	if err != nil {
		return nil, err
	}
	username, password := f.secret("username"), f.secret("password")
	if f.errs != nil {
		return nil, f.errs
	}
	p, secret, err := a.Auth.LogIn(r.Request().WithContext(ctx), username, password)
	if err != nil {
		return nil, err
	}
	http.SetCookie(r.Response(), access.NewCookie(r.Request(), secret))
	return a.encodeMe(ctx, p)
}

func (a *API) logOut(ctx context.Context, r *request) (*answer, error) {
	if err := a.Auth.LogOut(r.Request().WithContext(ctx)); err != nil {
		return nil, err
	}
	http.SetCookie(r.Response(), access.NewCookie(r.Request(), ""))
	return noContent, nil
}

func (a *API) getMe(ctx context.Context, _ *request) (*answer, error) {
	return a.encodeMe(ctx, access.Of(ctx))
}

// encodeMe answers with who p is.
func (a *API) encodeMe(ctx context.Context, p *access.Principal) (*answer, error) {
	var account iot.Account
	if p.User.ID != 0 {
		var err error
		if account, err = a.Accounts.Account(ctx, p.User.ID); err != nil {
			return nil, err
		}
	}
	return encode(http.StatusOK, p, func(dst []byte, p *access.Principal) []byte { return appendMe(dst, p, account.Password != "") }), nil
}

func appendMe(dst []byte, p *access.Principal, hasPassword bool) []byte {
	if p.User.ID == 0 {
		dst = append(dst, `{"id":null,"username":null,"email":null`...)
	} else {
		dst = append(dst, `{"id":`...)
		dst = strconv.AppendInt(dst, p.User.ID, 10)
		dst = append(dst, `,"username":`...)
		dst = readingjson.AppendString(dst, p.User.Username)
		dst = append(dst, `,"email":`...)
		dst = readingjson.AppendString(dst, p.User.Email)
	}
	dst = append(dst, `,"role":"`...)
	dst = append(dst, p.Role...)
	dst = append(dst, `","auth":"`...)
	dst = append(dst, p.Kind...)
	dst = append(dst, `","token":`...)
	if p.Kind == access.Token {
		dst = append(dst, `{"id":`...)
		dst = strconv.AppendInt(dst, p.TokenID, 10)
		dst = append(dst, `,"name":`...)
		dst = readingjson.AppendString(dst, p.TokenName)
		dst = append(dst, '}')
	} else {
		dst = append(dst, "null"...)
	}
	dst = append(dst, `,"devices":`...)
	dst = appendDeviceIDs(dst, p.Devices)
	dst = append(dst, `,"may":`...)
	dst = appendList(dst, rightsOf(p), appendWord)
	dst = append(dst, `,"roles":`...)
	dst = appendList(dst, slices.DeleteFunc(slices.Clone(allRoles), func(r iot.Role) bool { return !p.Role.Covers(r) }), appendWord)
	dst = append(dst, `,"has_password":`...)
	dst = strconv.AppendBool(dst, hasPassword)
	return append(dst, '}')
}

// allRoles are in the order in which they are offered.
var allRoles = []iot.Role{iot.RoleViewer, iot.RoleOperator, iot.RoleMember, iot.RoleAdmin}

// rightsOf is what p may do, by what routes need, as far as the dashboard has to know it: what it does not offer is refused too.
func rightsOf(p *access.Principal) []string {
	all := !p.Limited() // of routes that are for who sees all devices
	rights := []string{}
	for _, right := range []struct {
		name string
		has  bool
	}{
		{"site", all && access.Viewer.Allows(p)},
		{"change", access.Operator.Allows(p)},
		{"access", all && access.Operator.Allows(p)},
		{"users", access.Admin.Allows(p)},
	} {
		if right.has {
			rights = append(rights, right.name)
		}
	}
	return rights
}

func appendWord[T ~string](dst []byte, word T) []byte {
	return readingjson.AppendString(dst, string(word))
}

// changePassword gives the user who asks for it another password. His other sessions end.
func (a *API) changePassword(ctx context.Context, r *request) (*answer, error) {
	p := access.Of(ctx)
	if p.User.ID == 0 {
		return nil, errNoUser
	}
	f, err := readForm(r)
	if err != nil {
		return nil, err
	}
	before, after := f.secret("old_password"), f.newPassword("new_password")
	if f.errs != nil {
		return nil, f.errs
	}
	secret, err := a.Auth.ChangePassword(ctx, p, before, *after)
	var denial *access.Denial
	if errors.As(err, &denial) {
		return nil, fieldErrors{"old_password": {msgWrongPassword}}
	}
	if err != nil {
		return nil, err
	}
	if secret != "" {
		http.SetCookie(r.Response(), access.NewCookie(r.Request(), secret))
	}
	return noContent, nil
}
