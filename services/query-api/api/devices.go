package api

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strconv"

	"github.com/labstack/echo/v4"

	"github.com/telltale-iot/telltale/pkg/iot"
	"github.com/telltale-iot/telltale/pkg/readingjson"
)

const msgDeviceIDTaken = "device with this id already exists."

// appendDevice appends d as clients see it.
func appendDevice(dst []byte, d iot.Device) []byte {
	dst = append(dst, `{"id":`...)
	dst = strconv.AppendInt(dst, int64(d.ID), 10)
	dst = append(dst, `,"name":`...)
	dst = readingjson.AppendString(dst, d.Name)
	dst = append(dst, `,"user":`...)
	dst = strconv.AppendInt(dst, d.Owner, 10)
	dst = append(dst, `,"location":`...)
	if d.Location == "" {
		dst = append(dst, "null"...)
	} else {
		dst = readingjson.AppendString(dst, d.Location)
	}
	dst = append(dst, `,"created_at":`...)
	dst = appendTime(dst, d.CreatedAt)
	return append(dst, '}')
}

func readDevice(f *form) iot.DeviceChange {
	return iot.DeviceChange{
		Name:     f.text("name", iot.MaxName),
		Owner:    f.userID("user"),
		Location: f.optionalText("location", iot.MaxLocation),
	}
}

func (a *API) listDevices(c echo.Context) error {
	p := readParams(c)
	limit := p.limit(iot.MaxPage)
	q := iot.DeviceQuery{
		After: iot.DeviceID(p.idCursor()),
		Owner: p.integer("user", int64(iot.MaxDeviceID), 0),
		Limit: limit + 1,
	}
	if err := p.err(); err != nil {
		return err
	}
	return a.writeFetched(c, a.rows, int64(limit), func(ctx context.Context) (shape, error) {
		devices, err := a.Metadata.Devices(ctx, q)
		if err != nil {
			return nil, err
		}
		if len(devices) > limit {
			devices = devices[:limit]
			p.linkNext(c, formatIDCursor(int64(devices[limit-1].ID)))
		}
		return list(devices, appendDevice), nil
	})
}

func (a *API) getDevice(c echo.Context) error {
	id, err := pathID(c)
	if err != nil {
		return err
	}
	d, err := a.Metadata.Device(c.Request().Context(), id)
	if err != nil {
		return err
	}
	return a.write(c, http.StatusOK, one(d, appendDevice))
}

func (a *API) createDevice(c echo.Context) error {
	f, err := readForm(c)
	if err != nil {
		return err
	}
	ctx, id, change := c.Request().Context(), f.newID("id"), readDevice(f)
	if f.errs != nil {
		return a.refuseDevice(ctx, f, id, change, nil)
	}
	d := iot.Device{ID: id, Name: *change.Name, Owner: *change.Owner}
	if change.Location != nil {
		d.Location = *change.Location
	}
	d, err = a.Metadata.CreateDevice(ctx, d)
	if errors.Is(err, iot.ErrConflict) || errors.Is(err, iot.ErrInvalid) {
		return a.refuseDevice(ctx, f, id, change, err)
	}
	if err != nil {
		return err
	}
	c.Response().Header().Set(echo.HeaderLocation, "/api/devices/"+d.ID.String()+"/")
	return a.write(c, http.StatusCreated, one(d, appendDevice))
}

// updateDevice answers PUT and PATCH.
func (a *API) updateDevice(c echo.Context) error {
	id, err := pathID(c)
	if err != nil {
		return err
	}
	f, err := readForm(c)
	if err != nil {
		return err
	}
	ctx, change := c.Request().Context(), readDevice(f)
	if f.errs != nil {
		if _, err := a.Metadata.Device(ctx, id); err != nil {
			return err
		}
		return a.refuseDevice(ctx, f, 0, change, nil)
	}
	d, err := a.Metadata.UpdateDevice(ctx, id, change)
	if errors.Is(err, iot.ErrInvalid) {
		return a.refuseDevice(ctx, f, 0, change, err)
	}
	if err != nil {
		return err
	}
	return a.write(c, http.StatusOK, one(d, appendDevice))
}

// refuseDevice returns everything that is wrong with f: what f knows, what the store said (err, which may
// be nil), and what else it knows of the two fields that only it can judge.
func (a *API) refuseDevice(ctx context.Context, f *form, id iot.DeviceID, change iot.DeviceChange, err error) error {
	taken, noOwner := errors.Is(err, iot.ErrConflict), errors.Is(err, iot.ErrInvalid)
	if id != 0 && !taken {
		_, err := a.Metadata.Device(ctx, id)
		if err != nil && !errors.Is(err, iot.ErrNotFound) {
			return err
		}
		taken = err == nil
	}
	if change.Owner != nil && !noOwner {
		_, err := a.Metadata.User(ctx, *change.Owner)
		if err != nil && !errors.Is(err, iot.ErrNotFound) {
			return err
		}
		noOwner = err != nil
	}
	if taken {
		f.fail("id", msgDeviceIDTaken)
	}
	if noOwner {
		f.fail("user", fmt.Sprintf(msgNoSuchPk, *change.Owner))
	}
	return f.errs
}

func (a *API) deleteDevice(c echo.Context) error {
	id, err := pathID(c)
	if err != nil {
		return err
	}
	if err := a.Metadata.DeleteDevice(c.Request().Context(), id); err != nil {
		return err
	}
	return c.NoContent(http.StatusNoContent)
}
