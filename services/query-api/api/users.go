package api

import (
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

// readUser reads what f says of a user, and the password that he is to have: nil where it names none, "" takes his away.
func readUser(f *form) (c iot.AccountChange, password *string) {
	c.UserChange = iot.UserChange{Username: f.text("username", iot.MaxUsername), Email: f.email("email")}
	if role := f.role("role"); role != "" {
		c.Role = &role
	}
	c.Disabled = f.boolean("disabled")
	if value, ok := f.members["password"]; ok && value[0] == 'n' {
		return c, new("")
	} else if ok {
		password = f.newPassword("password")
	}
	return c, password
}

// hashed returns the hash of a password that readUser read.
func hashed(ctx context.Context, password *string) (*string, error) {
	if password == nil || *password == "" {
		return password, nil
	}
	hash, err := auth.HashPassword(ctx, *password)
	if err != nil {
		return nil, errBusy
	}
	return &hash, nil
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
	users = cutRows(r, users, limit, func(u *iot.User) int64 { return u.ID })
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
	change, password := readUser(f)
	if f.errs != nil {
		return nil, refuseUser(ctx, r, f, change.Username, 0)
	}
	if change.Password, err = hashed(ctx, password); err != nil {
		return nil, err
	}
	u, account := iot.User{}, iot.Account{Role: iot.RoleViewer}
	change.Apply(&u, &account)
	if u, err = a.Accounts.CreateAccount(ctx, u, account); err != nil {
		return nil, notStored(err)
	}
	r.Response().Header().Set(echo.HeaderLocation, "/api/users/"+strconv.FormatInt(u.ID, 10)+"/")
	return encodeUser(http.StatusCreated, u, account), nil
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
	change, password := readUser(f)
	if f.errs != nil {
		if _, err := r.Metadata.User(ctx, id); err != nil {
			return nil, err
		}
		return nil, refuseUser(ctx, r, f, change.Username, id)
	}
	if change.Password, err = hashed(ctx, password); err != nil {
		return nil, err
	}
	u, account, err := a.Accounts.UpdateAccount(ctx, id, change)
	if err != nil {
		return nil, notStored(err)
	}
	return encodeUser(http.StatusOK, u, account), nil
}

// notStored returns what a client is told when a store refuses a user.
func notStored(err error) error {
	switch {
	case errors.Is(err, iot.ErrLastAdmin):
		return errLastAdmin
	case errors.Is(err, iot.ErrConflict):
		return fieldErrors{"username": {msgUsernameTaken}}
	}
	return err
}

// refuseUser returns what is wrong with f, and with its username in the store, where it is that of another than id.
func refuseUser(ctx context.Context, r *request, f *form, username *string, id int64) error {
	if username != nil {
		same, err := r.Metadata.Users(ctx, iot.UserQuery{Username: *username, Limit: 1})
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
	credentials, err := a.Metadata.DeleteUser(ctx, id)
	if err != nil {
		return nil, notStored(err)
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
