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

	"github.com/telltale-iot/telltale/pkg/iot"
	"github.com/telltale-iot/telltale/pkg/readingjson"
)

const (
	msgDeviceTaken = "device with this %s already exists."
	msgCollision   = "This key has the same id as the key %q, whose device exists."
)

// deviceJSON returns what appends a device as clients see it at this moment.
func (a *API) deviceJSON() func(dst []byte, d iot.Device) []byte {
	now := time.Now()
	return func(dst []byte, d iot.Device) []byte { return appendDevice(dst, d, now, a.OfflineAfter) }
}

// appendDevice appends d as clients see it at the time now, where usual is the OfflineAfter of devices that have none of
// their own.
func appendDevice(dst []byte, d iot.Device, now time.Time, usual time.Duration) []byte {
	dst = append(appendUpToStatus(dst, d, now, usual), `,"last_seen":`...)
	dst = appendLastSeen(dst, d)
	dst = append(dst, `,"offline_after":`...)
	dst = appendSeconds(dst, cmp.Or(d.OfflineAfter, usual))
	return append(dst, '}')
}

// appendUpToStatus appends the members of d up to its status.
func appendUpToStatus(dst []byte, d iot.Device, now time.Time, usual time.Duration) []byte {
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
	dst = append(dst, `,"key":`...)
	if d.Key == "" {
		dst = append(dst, "null"...)
	} else {
		dst = readingjson.AppendString(dst, d.Key)
	}
	dst = append(dst, `,"status":"`...)
	return append(append(dst, d.Status(now, usual)...), '"')
}

// appendLastSeen appends when d was seen, or null.
func appendLastSeen(dst []byte, d iot.Device) []byte {
	if d.LastSeen.IsZero() {
		return append(dst, "null"...)
	}
	return appendTime(dst, d.LastSeen)
}

// appendSeconds appends d as a number.
func appendSeconds(dst []byte, d time.Duration) []byte {
	return strconv.AppendFloat(dst, d.Seconds(), 'f', -1, 64)
}

// readDevice reads what f says of before, which is zero where it is new.
func (a *API) readDevice(f *form, before iot.Device) iot.DeviceChange {
	return iot.DeviceChange{
		Name:         f.text("name", iot.MaxName),
		Owner:        f.userID("user"),
		Location:     f.optionalText("location", iot.MaxLocation),
		OfflineAfter: f.offlineAfter("offline_after", cmp.Or(before.OfflineAfter, a.OfflineAfter)),
	}
}

func (a *API) listDevices(ctx context.Context, r *request) (*answer, error) {
	limit := r.query.limit(iot.MaxPage)
	q := iot.DeviceQuery{
		After: iot.DeviceID(r.query.idCursor()),
		Owner: r.query.integer("user", int64(iot.MaxDeviceID), 0),
		Text:  r.query.text("q", iot.MaxName),
		Limit: limit + 1,

		Status:       choice(r.query, "status", iot.Statuses),
		Now:          time.Now(),
		OfflineAfter: a.OfflineAfter,
	}
	if err := r.query.err(); err != nil {
		return nil, err
	}
	release, err := a.limits.lists.take(ctx, limit)
	if err != nil {
		return nil, err
	}
	defer release()
	devices, err := r.Metadata.Devices(ctx, q)
	if err != nil {
		return nil, err
	}
	devices = cutRows(r, devices, limit, func(d *iot.Device) iot.DeviceID { return d.ID })
	return encodeList(devices, 0, func(dst []byte, d iot.Device) []byte { return appendDevice(dst, d, q.Now, q.OfflineAfter) }), nil
}

func (a *API) getDevice(ctx context.Context, r *request) (*answer, error) {
	d, err := a.findDevice(ctx, r)
	if err != nil {
		return nil, err
	}
	return encode(http.StatusOK, d, a.deviceJSON()), nil
}

// findDevice returns the device that the path names. One that has the id of the key that stands there, and another
// key, is not it.
func (a *API) findDevice(ctx context.Context, r *request) (iot.Device, error) {
	named, err := a.device(ctx, r)
	if err != nil {
		return iot.Device{}, err
	}
	return findDeviceOf(ctx, r, named)
}

func findDeviceOf(ctx context.Context, r *request, named iot.Identity) (iot.Device, error) {
	d, err := r.Metadata.Device(ctx, named.ID)
	if err == nil && named.Key != "" && d.Key != "" && d.Key != named.Key {
		return iot.Device{}, errNotFound
	}
	return d, err
}

func (a *API) createDevice(ctx context.Context, r *request) (*answer, error) {
	f, err := readForm(r)
	if err != nil {
		return nil, err
	}
	device, field := f.newDevice()
	change := a.readDevice(f, iot.Device{})
	if f.errs != nil {
		return nil, refuseNewDevice(ctx, r, f, device, field, change, nil)
	}
	d := iot.Device{ID: device.ID, Key: device.Key, Name: *change.Name, Owner: *change.Owner}
	if change.Location != nil {
		d.Location = *change.Location
	}
	if change.OfflineAfter != nil {
		d.OfflineAfter = *change.OfflineAfter
	}
	d, err = r.Metadata.CreateDevice(ctx, d)
	if errors.Is(err, iot.ErrConflict) || errors.Is(err, iot.ErrInvalid) {
		return nil, refuseNewDevice(ctx, r, f, device, field, change, err)
	}
	if err != nil {
		return nil, err
	}
	r.Response().Header().Set(echo.HeaderLocation, "/api/devices/"+d.ID.String()+"/")
	return encode(http.StatusCreated, d, a.deviceJSON()), nil
}

// updateDevice answers PUT and PATCH.
func (a *API) updateDevice(ctx context.Context, r *request) (*answer, error) {
	d, err := a.findDevice(ctx, r)
	if err != nil {
		return nil, err
	}
	f, err := readForm(r)
	if err != nil {
		return nil, err
	}
	f.fixed("key", cmp.Or(d.Key, d.ID.String()))
	change := a.readDevice(f, d)
	if f.errs != nil {
		return nil, refuseOwner(ctx, r, f, change, nil)
	}
	d, credentials, err := r.Metadata.UpdateDevice(ctx, d.ID, change)
	if errors.Is(err, iot.ErrInvalid) {
		return nil, refuseOwner(ctx, r, f, change, err)
	}
	if err != nil {
		return nil, err
	}
	_ = a.cutOff(ctx, credentials) // or bridges are told as soon as Kafka is back
	return encode(http.StatusOK, d, a.deviceJSON()), nil
}

// refuseNewDevice returns everything that is wrong with f: what f found, what the store returned (err, which may be nil),
// and what else the store finds wrong with the fields that only it can check. field is the one that device is from.
func refuseNewDevice(
	ctx context.Context, r *request, f *form, device iot.Identity, field string, change iot.DeviceChange, err error,
) error {
	if device.ID != 0 {
		d, findErr := r.Metadata.Device(ctx, device.ID)
		switch {
		case findErr == nil && device.Key != "" && d.Key != "" && d.Key != device.Key:
			f.fail(field, fmt.Sprintf(msgCollision, d.Key))
		case findErr == nil || errors.Is(err, iot.ErrConflict):
			f.fail(field, fmt.Sprintf(msgDeviceTaken, field))
		case !errors.Is(findErr, iot.ErrNotFound):
			return findErr
		}
	}
	return refuseOwner(ctx, r, f, change, err)
}

// refuseOwner does so for the owner of a device.
func refuseOwner(ctx context.Context, r *request, f *form, change iot.DeviceChange, err error) error {
	noOwner := errors.Is(err, iot.ErrInvalid)
	if change.Owner != nil && !noOwner {
		_, err := r.Metadata.User(ctx, *change.Owner)
		if err != nil && !errors.Is(err, iot.ErrNotFound) {
			return err
		}
		noOwner = err != nil
	}
	if noOwner {
		f.fail("user", fmt.Sprintf(msgNoSuchPk, *change.Owner))
	}
	return f.errs
}

func (a *API) deleteDevice(ctx context.Context, r *request) (*answer, error) {
	d, err := a.findDevice(ctx, r)
	if err != nil {
		return nil, err
	}
	credentials, err := r.Metadata.DeleteDevice(ctx, d.ID)
	if err != nil {
		return nil, err
	}
	return a.end(ctx, credentials...)
}
