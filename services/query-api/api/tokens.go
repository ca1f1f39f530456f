package api

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"time"

	"github.com/labstack/echo/v4"

	"github.com/telltale-iot/telltale/pkg/auth"
	"github.com/telltale-iot/telltale/pkg/iot"
	"github.com/telltale-iot/telltale/pkg/readingjson"
	"github.com/telltale-iot/telltale/services/query-api/access"
)

const (
	usualTokenLife = 90 * 24 * time.Hour
	maxTokenLife   = 366 * 24 * time.Hour // of one that no admin makes
	maxTokenName   = 255                  // characters

	msgRole       = "The role of the user, %s, does not have this one."
	msgLifetime   = "Must be %s at the latest. An admin may make tokens that last longer."
	msgNeedsAdmin = "Only an admin may say this."
)

// errLimitedToken is for who has no more than a list of devices: what he could make would be more than he has, or seem so.
var errLimitedToken = &problem{status: http.StatusForbidden, detail: "A token for some devices may not see or make tokens."}

// appendToken appends t as clients see it.
func appendToken(dst []byte, t iot.Token) []byte {
	dst = append(dst, `{"id":`...)
	dst = strconv.AppendInt(dst, t.ID, 10)
	dst = append(dst, `,"name":`...)
	dst = readingjson.AppendString(dst, t.Name)
	dst = append(dst, `,"user":`...)
	dst = strconv.AppendInt(dst, t.User, 10)
	dst = append(dst, `,"role":"`...)
	dst = append(dst, t.Role...)
	dst = append(dst, `","devices":`...)
	dst = appendDeviceIDs(dst, t.Devices)
	dst = append(dst, `,"created_at":`...)
	dst = appendTime(dst, t.CreatedAt)
	dst = append(dst, `,"expires_at":`...)
	dst = appendTimeOrNull(dst, t.ExpiresAt)
	dst = append(dst, `,"last_used_at":`...)
	dst = appendTimeOrNull(dst, t.LastUsed)
	return append(dst, '}')
}

// listTokens answers with the tokens of whoever asks, and of all to an admin.
func (a *API) listTokens(ctx context.Context, r *request) (*answer, error) {
	p := access.Of(ctx)
	limit, after := r.query.limit(iot.MaxPage), r.query.idCursor()
	user := r.query.integer("user", int64(iot.MaxDeviceID), 0)
	if err := r.query.err(); err != nil {
		return nil, err
	}
	if !access.Admin.Allows(p) {
		if p.Devices != nil {
			return nil, errLimitedToken
		}
		if user != 0 && user != p.User.ID {
			return encodeList(nil, 0, appendToken), nil
		}
		user = p.User.ID
	}
	release, err := a.limits.lists.take(ctx, limit)
	if err != nil {
		return nil, err
	}
	defer release()
	tokens, err := a.Accounts.Tokens(ctx, user, after, limit+1)
	if err != nil {
		return nil, err
	}
	tokens = cutRows(r, tokens, limit, func(t *iot.Token) int64 { return t.ID })
	return encodeList(tokens, 0, appendToken), nil
}

func (a *API) getToken(ctx context.Context, r *request) (*answer, error) {
	t, err := a.findToken(ctx, r)
	if err != nil {
		return nil, err
	}
	return encode(http.StatusOK, t, appendToken), nil
}

// deleteToken ends a token. Nobody ends one that may do more than he may.
func (a *API) deleteToken(ctx context.Context, r *request) (*answer, error) {
	t, err := a.findToken(ctx, r)
	if err != nil {
		return nil, err
	}
	if !access.Of(ctx).Role.Covers(t.Role) {
		return nil, errForbidden
	}
	if err := a.Auth.EndToken(ctx, t.ID); err != nil {
		return nil, err
	}
	return noContent, nil
}

// findToken returns the token that the path names. To who is no admin there are only his own.
func (a *API) findToken(ctx context.Context, r *request) (iot.Token, error) {
	p := access.Of(ctx)
	id, err := r.userID()
	if err != nil {
		return iot.Token{}, err
	}
	t, err := a.Accounts.Token(ctx, id)
	switch admin := access.Admin.Allows(p); {
	case err != nil:
		return iot.Token{}, err
	case t.Session, !admin && t.User != p.User.ID:
		return iot.Token{}, errNotFound
	case !admin && p.Devices != nil:
		return iot.Token{}, errLimitedToken
	}
	return t, nil
}

// createToken answers with a new token. This once the answer has the token itself.
func (a *API) createToken(ctx context.Context, r *request) (*answer, error) {
	p := access.Of(ctx)
	if p.Devices != nil {
		return nil, errLimitedToken
	}
	f, err := readForm(r)
	if err != nil {
		return nil, err
	}
	t, err := a.readToken(ctx, f, p)
	if err != nil {
		return nil, err
	}
	secret := auth.NewSecret(auth.TokenPrefix)
	t, err = a.Accounts.CreateToken(ctx, t, auth.Hash(secret))
	switch {
	case errors.Is(err, iot.ErrInvalid) && t.Parent != 0: // it was deleted meanwhile
		return nil, errNotFound
	case err != nil:
		return nil, err
	}
	r.Response().Header().Set(echo.HeaderLocation, "/api/tokens/"+strconv.FormatInt(t.ID, 10)+"/")
	return encode(http.StatusCreated, t, func(dst []byte, t iot.Token) []byte {
		dst = appendToken(dst, t)
		dst = append(dst[:len(dst)-1], `,"token":`...)
		return append(readingjson.AppendString(dst, secret), '}')
	}), nil
}

// readToken reads what f says of a token that p makes.
func (a *API) readToken(ctx context.Context, f *form, p *access.Principal) (iot.Token, error) {
	now := time.Now().UTC().Truncate(time.Millisecond)
	admin := access.Admin.Allows(p)
	t := iot.Token{User: p.User.ID, Role: iot.RoleViewer, CreatedAt: now, ExpiresAt: now.Add(usualTokenLife)}
	most := p.Role
	if !most.Covers(t.Role) {
		t.Role = most // a member's
	}
	if name := f.text("name", maxTokenName); name != nil {
		t.Name = *name
	}
	switch _, given := f.members["user"]; {
	case given && !admin:
		f.fail("user", msgNeedsAdmin)
	case given || t.User == 0:
		if user := f.userID("user"); user != nil {
			t.User = *user
			account, err := a.Accounts.Account(ctx, *user)
			if errors.Is(err, iot.ErrNotFound) {
				f.fail("user", fmt.Sprintf(msgNoSuchPk, *user))
			} else if err != nil {
				return t, err
			}
			most = account.Role
		}
	}
	t.Role = cmp.Or(f.role("role"), t.Role)
	if most != "" && !most.Covers(t.Role) {
		f.fail("role", fmt.Sprintf(msgRole, most))
	}
	t.Devices = f.deviceList("devices")
	latest := now.Add(maxTokenLife)
	if p.Kind == access.Token && !admin { // else one that was stolen would have no end
		t.Parent = p.TokenID
		if !p.Expires.IsZero() && p.Expires.Before(latest) {
			latest = p.Expires
		}
	}
	t.ExpiresAt = f.expiry("expires_at", now, t.ExpiresAt)
	switch _, given := f.members["expires_at"]; {
	case admin || f.errs["expires_at"] != nil:
	case t.ExpiresAt.IsZero():
		f.fail("expires_at", msgNeedsAdmin)
	case !t.ExpiresAt.After(latest):
	case given:
		f.fail("expires_at", fmt.Sprintf(msgLifetime, readingjson.AppendTime(nil, latest)))
	default:
		t.ExpiresAt = latest
	}
	if f.errs != nil {
		return t, f.errs
	}
	return t, nil
}
