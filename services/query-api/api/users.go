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

func (a *API) listUsers(c echo.Context) error {
	p := readParams(c)
	limit := p.limit(iot.MaxPage)
	q := iot.UserQuery{After: p.idCursor(), Limit: limit + 1}
	if err := p.err(); err != nil {
		return err
	}
	return a.writeFetched(c, a.rows, int64(limit), func(ctx context.Context) (shape, error) {
		users, err := a.Metadata.Users(ctx, q)
		if err != nil {
			return nil, err
		}
		if len(users) > limit {
			users = users[:limit]
			p.linkNext(c, formatIDCursor(users[limit-1].ID))
		}
		return list(users, appendUser), nil
	})
}

func (a *API) getUser(c echo.Context) error {
	id, err := userPathID(c)
	if err != nil {
		return err
	}
	u, err := a.Metadata.User(c.Request().Context(), id)
	if err != nil {
		return err
	}
	return a.write(c, http.StatusOK, one(u, appendUser))
}

func (a *API) createUser(c echo.Context) error {
	f, err := readForm(c)
	if err != nil {
		return err
	}
	ctx, change := c.Request().Context(), readUser(f)
	if f.errs != nil {
		return a.refuseUser(ctx, f, change, 0)
	}
	u, err := a.Metadata.CreateUser(ctx, iot.User{Username: *change.Username, Email: *change.Email})
	if errors.Is(err, iot.ErrConflict) {
		return fieldErrors{"username": {msgUsernameTaken}}
	}
	if err != nil {
		return err
	}
	c.Response().Header().Set(echo.HeaderLocation, "/api/users/"+strconv.FormatInt(u.ID, 10)+"/")
	return a.write(c, http.StatusCreated, one(u, appendUser))
}

// updateUser answers PUT and PATCH.
func (a *API) updateUser(c echo.Context) error {
	id, err := userPathID(c)
	if err != nil {
		return err
	}
	f, err := readForm(c)
	if err != nil {
		return err
	}
	ctx, change := c.Request().Context(), readUser(f)
	if f.errs != nil {
		if _, err := a.Metadata.User(ctx, id); err != nil {
			return err
		}
		return a.refuseUser(ctx, f, change, id)
	}
	u, err := a.Metadata.UpdateUser(ctx, id, change)
	if errors.Is(err, iot.ErrConflict) {
		return fieldErrors{"username": {msgUsernameTaken}}
	}
	if err != nil {
		return err
	}
	return a.write(c, http.StatusOK, one(u, appendUser))
}

// refuseUser returns what is wrong with f, and with its username in the store, where id is another's.
func (a *API) refuseUser(ctx context.Context, f *form, change iot.UserChange, id int64) error {
	if change.Username != nil {
		same, err := a.Metadata.Users(ctx, iot.UserQuery{Username: *change.Username, Limit: 1})
		if err != nil {
			return err
		}
		if len(same) > 0 && same[0].ID != id {
			f.fail("username", msgUsernameTaken)
		}
	}
	return f.errs
}

func (a *API) deleteUser(c echo.Context) error {
	id, err := userPathID(c)
	if err != nil {
		return err
	}
	if err := a.Metadata.DeleteUser(c.Request().Context(), id); err != nil {
		return err
	}
	return c.NoContent(http.StatusNoContent)
}

func userPathID(c echo.Context) (int64, error) {
	id, err := pathID(c) // no user has an id beyond those of devices
	return int64(id), err
}
