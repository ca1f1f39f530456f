package api

import (
	"context"
	"errors"
	"net/http"
	"strconv"

	"github.com/labstack/echo/v4"

	"github.com/telltale-iot/telltale/pkg/iot"
	"github.com/telltale-iot/telltale/pkg/readingjson"
)

const msgUsernameTaken = "user with this username already exists."

// appendUser appends u as clients see it.
func appendUser(dst []byte, u iot.User) []byte {
	dst = append(dst, `{"id":`...)
	dst = strconv.AppendInt(dst, u.ID, 10)
	dst = append(dst, `,"username":`...)
	dst = readingjson.AppendString(dst, u.Username)
	dst = append(dst, `,"email":`...)
	dst = readingjson.AppendString(dst, u.Email)
	dst = append(dst, `,"created_at":`...)
	dst = appendTime(dst, u.CreatedAt)
	return append(dst, '}')
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
	if len(users) > limit {
		users = users[:limit]
		r.linkNext(formatIDCursor(users[limit-1].ID))
	}
	return encodeList(users, 0, appendUser), nil
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
	return encode(http.StatusOK, u, appendUser), nil
}

func (a *API) createUser(ctx context.Context, r *request) (*answer, error) {
	f, err := readForm(r)
	if err != nil {
		return nil, err
	}
	change := readUser(f)
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
	r.Response().Header().Set(echo.HeaderLocation, "/api/users/"+strconv.FormatInt(u.ID, 10)+"/")
	return encode(http.StatusCreated, u, appendUser), nil
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
	change := readUser(f)
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
	return encode(http.StatusOK, u, appendUser), nil
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
	if err := r.Metadata.DeleteUser(ctx, id); err != nil {
		return nil, err
	}
	a.Credentials.Wake() // those of his devices are deleted
	a.Mosquitto.Wake()
	return noContent, nil
}

// userID reads the id in the path.
func (r *request) userID() (int64, error) {
	id, err := iot.ParseDeviceID(r.Param("id")) // no user has an id beyond those of devices
	if err != nil {
		return 0, errNotFound // what is no id names nothing
	}
	return int64(id), nil
}
