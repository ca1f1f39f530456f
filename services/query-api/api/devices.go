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

func (a *API) listDevices(ctx context.Context, r *request) (*answer, error) {
	limit := r.query.limit(iot.MaxPage)
	q := iot.DeviceQuery{
		After: iot.DeviceID(r.query.idCursor()),
		Owner: r.query.integer("user", int64(iot.MaxDeviceID), 0),
		Limit: limit + 1,
	}
	if err := r.query.err(); err != nil {
		return nil, err
	}
	release, err := a.limits.lists.take(ctx, limit)
	if err != nil {
		return nil, err
	}
	defer release()
	devices, err := a.Metadata.Devices(ctx, q)
	if err != nil {
		return nil, err
	}
	if len(devices) > limit {
		devices = devices[:limit]
		r.linkNext(formatIDCursor(int64(devices[limit-1].ID)))
	}
	return encodeList(devices, 0, appendDevice), nil
}

func (a *API) getDevice(ctx context.Context, r *request) (*answer, error) {
	id, err := r.deviceID()
	if err != nil {
		return nil, err
	}
	d, err := a.Metadata.Device(ctx, id)
	if err != nil {
		return nil, err
	}
	return encode(http.StatusOK, d, appendDevice), nil
}

func (a *API) createDevice(ctx context.Context, r *request) (*answer, error) {
	f, err := readForm(r)
	if err != nil {
		return nil, err
	}
	id, change := f.newID("id"), readDevice(f)
	if f.errs != nil {
		return nil, a.refuseDevice(ctx, f, id, change, nil)
	}
	d := iot.Device{ID: id, Name: *change.Name, Owner: *change.Owner}
	if change.Location != nil {
		d.Location = *change.Location
	}
	d, err = a.Metadata.CreateDevice(ctx, d)
	if errors.Is(err, iot.ErrConflict) || errors.Is(err, iot.ErrInvalid) {
		return nil, a.refuseDevice(ctx, f, id, change, err)
	}
	if err != nil {
		return nil, err
	}
	r.Response().Header().Set(echo.HeaderLocation, "/api/devices/"+d.ID.String()+"/")
	return encode(http.StatusCreated, d, appendDevice), nil
}

// updateDevice answers PUT and PATCH.
func (a *API) updateDevice(ctx context.Context, r *request) (*answer, error) {
	id, err := r.deviceID()
	if err != nil {
		return nil, err
	}
	f, err := readForm(r)
	if err != nil {
		return nil, err
	}
	change := readDevice(f)
	if f.errs != nil {
		if _, err := a.Metadata.Device(ctx, id); err != nil {
			return nil, err
		}
		return nil, a.refuseDevice(ctx, f, 0, change, nil)
	}
	d, err := a.Metadata.UpdateDevice(ctx, id, change)
	if errors.Is(err, iot.ErrInvalid) {
		return nil, a.refuseDevice(ctx, f, 0, change, err)
	}
	if err != nil {
		return nil, err
	}
	return encode(http.StatusOK, d, appendDevice), nil
}

// refuseDevice returns everything that is wrong with f: what f found, what the store returned (err, which may be nil),
// and what else the store finds wrong with the two fields that only it can check.
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

func (a *API) deleteDevice(ctx context.Context, r *request) (*answer, error) {
	id, err := r.deviceID()
	if err != nil {
		return nil, err
	}
	if err := a.Metadata.DeleteDevice(ctx, id); err != nil {
		return nil, err
	}
	return noContent, nil
}
