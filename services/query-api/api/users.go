package api

import (
	"cmp"
	"context"
	"errors"
	"net/http"
	"strconv"

	"github.com/labstack/echo/v4"

	"github.com/telltale-iot/telltale/pkg/auth"
	"github.com/telltale-iot/telltale/pkg/iot"
	"github.com/telltale-iot/telltale/pkg/readingjson"
	"github.com/telltale-iot/telltale/services/query-api/access"
)

const msgUsernameTaken = "user with this username already exists."

var errLastAdmin = &problem{status: http.StatusConflict, detail: "This is the last admin. Make somebody else one first."}

// appendUser appends u as clients see it.
func appendUser(dst []byte, u iot.User) []byte {
	return append(appendUpToCreated(dst, u), '}')
}

// appendUserWith is appendUser for admins, who see what the user may do.
func appendUserWith(dst []byte, u iot.User, account iot.Account) []byte {
	dst = append(appendUpToCreated(dst, u), `,"role":"`...)
	dst = append(dst, account.Role...)
	dst = append(dst, `","disabled":`...)
	dst = strconv.AppendBool(dst, account.Disabled)
	dst = append(dst, `,"has_password":`...)
	dst = strconv.AppendBool(dst, account.Password != "")
	return append(dst, '}')
}

func appendUpToCreated(dst []byte, u iot.User) []byte {
	dst = append(dst, `{"id":`...)
	dst = strconv.AppendInt(dst, u.ID, 10)
	dst = append(dst, `,"username":`...)
	dst = readingjson.AppendString(dst, u.Username)
	dst = append(dst, `,"email":`...)
	dst = readingjson.AppendString(dst, u.Email)
	dst = append(dst, `,"created_at":`...)
	return appendTime(dst, u.CreatedAt)
}

func readUser(f *form) iot.UserChange {
	return iot.UserChange{Username: f.text("username", iot.MaxUsername), Email: f.email("email")}
}

func (a *API) listUsers(ctx context.Context, r *request) (*answer, error) {
	limit := r.query.limit(iot.MaxPage)
	q := iot.UserQuery{After: r.query.idCursor(), Limit: limit + 1}
	if err := r.query.err(); err != nil {
		return nil, err
	}
	release, err := a.limits.lists.take(ctx, limit)
	if err != nil {
		return nil, err
	}
	defer release()
	users, err := r.Metadata.Users(ctx, q)
	if err != nil {
		return nil, err
	}
	append := appendUser
	if isAdmin(ctx) {
		accounts, err := a.Accounts.Accounts(ctx, q)
		if err != nil {
			return nil, err
		}
		append = func(dst []byte, u iot.User) []byte { return appendUserWith(dst, u, accounts[u.ID]) }
	}
	if len(users) > limit {
		users = users[:limit]
		r.linkNext(formatIDCursor(users[limit-1].ID))
	}
	return encodeList(users, 0, append), nil
}

func (a *API) getUser(ctx context.Context, r *request) (*answer, error) {
	id, err := r.userID()
	if err != nil {
		return nil, err
	}
	u, err := r.Metadata.User(ctx, id)
	if err != nil {
		return nil, err
	}
	if !isAdmin(ctx) {
		return encode(http.StatusOK, u, appendUser), nil
	}
	account, err := a.Accounts.Account(ctx, id)
	if err != nil {
		return nil, err
	}
	return encodeUser(http.StatusOK, u, account), nil
}

func isAdmin(ctx context.Context) bool { return access.Admin.Allows(access.Of(ctx)) }

func encodeUser(status int, u iot.User, account iot.Account) *answer {
	return encode(status, u, func(dst []byte, u iot.User) []byte { return appendUserWith(dst, u, account) })
}

func (a *API) createUser(ctx context.Context, r *request) (*answer, error) {
	f, err := readForm(r)
	if err != nil {
		return nil, err
	}
	change, account := readUser(f), readAccount(f)
	if f.errs != nil {
		return nil, refuseUser(ctx, r, f, change, 0)
	}
	u, err := r.Metadata.CreateUser(ctx, iot.User{Username: *change.Username, Email: *change.Email})
	if errors.Is(err, iot.ErrConflict) {
		return nil, fieldErrors{"username": {msgUsernameTaken}}
	}
	if err != nil {
		return nil, err
	}
	now, err := a.changeAccount(ctx, u.ID, account)
	if err != nil {
		return nil, err
	}
	r.Response().Header().Set(echo.HeaderLocation, "/api/users/"+strconv.FormatInt(u.ID, 10)+"/")
	return encodeUser(http.StatusCreated, u, now), nil
}

// updateUser answers PUT and PATCH.
func (a *API) updateUser(ctx context.Context, r *request) (*answer, error) {
	id, err := r.userID()
	if err != nil {
		return nil, err
	}
	f, err := readForm(r)
	if err != nil {
		return nil, err
	}
	change, account := readUser(f), readAccount(f)
	if f.errs != nil {
		if _, err := r.Metadata.User(ctx, id); err != nil {
			return nil, err
		}
		return nil, refuseUser(ctx, r, f, change, id)
	}
	u, err := r.Metadata.UpdateUser(ctx, id, change)
	if errors.Is(err, iot.ErrConflict) {
		return nil, fieldErrors{"username": {msgUsernameTaken}}
	}
	if err != nil {
		return nil, err
	}
	now, err := a.changeAccount(ctx, id, account)
	if err != nil {
		return nil, err
	}
	return encodeUser(http.StatusOK, u, now), nil
}

// accountChange is what a request says of what a user may do. nil: nothing.
type accountChange struct {
	role     iot.Role
	disabled *bool
	password *string // "" takes it away
}

func readAccount(f *form) accountChange {
	c := accountChange{role: f.role("role"), disabled: f.boolean("disabled")}
	if value, ok := f.members["password"]; ok && value[0] == 'n' {
		c.password = new(string)
	} else if ok {
		c.password = f.newPassword("password")
	}
	return c
}

// changeAccount returns what the user may do after c.
func (a *API) changeAccount(ctx context.Context, id int64, c accountChange) (iot.Account, error) {
	hash := ""
	if c.password != nil && *c.password != "" {
		var err error
		if hash, err = auth.HashPassword(ctx, *c.password); err != nil {
			return iot.Account{}, errBusy
		}
	}
	account, err := a.Accounts.Account(ctx, id)
	if err != nil {
		return iot.Account{}, err
	}
	before := account
	account.Role = cmp.Or(c.role, account.Role)
	if c.disabled != nil {
		account.Disabled = *c.disabled
	}
	if c.password != nil {
		account.Password = hash
	}
	if account == before {
		return account, nil
	}
	err = a.Accounts.SetAccount(ctx, id, account)
	if errors.Is(err, iot.ErrConflict) {
		err = errLastAdmin
	}
	return account, err
}

// refuseUser returns what is wrong with f, and with its username in the store, where id is another's.
func refuseUser(ctx context.Context, r *request, f *form, change iot.UserChange, id int64) error {
	if change.Username != nil {
		same, err := r.Metadata.Users(ctx, iot.UserQuery{Username: *change.Username, Limit: 1})
		if err != nil {
			return err
		}
		if len(same) > 0 && same[0].ID != id {
			f.fail("username", msgUsernameTaken)
		}
	}
	return f.errs
}

func (a *API) deleteUser(ctx context.Context, r *request) (*answer, error) {
	id, err := r.userID()
	if err != nil {
		return nil, err
	}
	credentials, err := r.Metadata.DeleteUser(ctx, id)
	if errors.Is(err, iot.ErrConflict) {
		err = errLastAdmin
	}
	if err != nil {
		return nil, err
	}
	return a.end(ctx, credentials...)
}

// userID reads the id in the path.
func (r *request) userID() (int64, error) {
	id, err := iot.ParseDeviceID(r.Param("id")) // no user has an id beyond those of devices
	if err != nil {
		return 0, errNotFound // what is no id names nothing
	}
	return int64(id), nil
}
