package api

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/labstack/echo/v4"

	"github.com/telltale-iot/telltale/pkg/auth"
	"github.com/telltale-iot/telltale/pkg/iot"
	"github.com/telltale-iot/telltale/pkg/readingjson"
)

const (
	maxKeyName   = 255       // characters
	maxKeyUses   = 1_000_000 // of a provisioning key
	usualKeyLife = 7 * 24 * time.Hour
)

var (
	errManyKeys = &problem{status: http.StatusConflict, detail: fmt.Sprintf("There are %d provisioning keys, and no more are kept. Delete one before you make another.", iot.MaxProvisioningKeys)}
	errEnrolled = &problem{status: http.StatusConflict, detail: "This device has a credential, or had one that was deleted. A provisioning key replaces none, unless it was made for this device since then. Or make it a credential yourself."}
)

// newKey is a provisioning key as its maker sees it, once.
type newKey struct {
	iot.ProvisioningKey
	secret string
}

// appendKey appends k as clients see it.
func appendKey(dst []byte, k iot.ProvisioningKey) []byte {
	dst = append(dst, `{"id":`...)
	dst = strconv.AppendInt(dst, k.ID, 10)
	dst = append(dst, `,"name":`...)
	dst = readingjson.AppendString(dst, k.Name)
	dst = append(dst, `,"user":`...)
	if k.Owner == 0 {
		dst = append(dst, "null"...)
	} else {
		dst = strconv.AppendInt(dst, k.Owner, 10)
	}
	dst = append(dst, `,"uses":`...)
	dst = strconv.AppendInt(dst, int64(k.Uses), 10)
	dst = append(dst, `,"devices":`...)
	dst = appendDeviceIDs(dst, k.Devices)
	dst = append(dst, `,"created_at":`...)
	dst = appendTime(dst, k.CreatedAt)
	dst = append(dst, `,"expires_at":`...)
	dst = appendTimeOrNull(dst, k.ExpiresAt)
	return append(dst, '}')
}

func appendNewKey(dst []byte, k newKey) []byte {
	dst = appendKey(dst, k.ProvisioningKey)
	dst = append(dst[:len(dst)-1], `,"key":`...) // behind all but the brace
	return append(readingjson.AppendString(dst, k.secret), '}')
}

func (a *API) listProvisioningKeys(ctx context.Context, _ *request) (*answer, error) {
	keys, err := a.Accounts.ProvisioningKeys(ctx)
	if err != nil {
		return nil, err
	}
	return encodeList(keys, 0, appendKey), nil
}

func (a *API) createProvisioningKey(ctx context.Context, r *request) (*answer, error) {
	f, err := readForm(r)
	if err != nil {
		return nil, err
	}
	now := time.Now()
	k := iot.ProvisioningKey{Devices: f.deviceList("devices"), ExpiresAt: f.expiry("expires_at", now, iot.CeilMillis(now.Add(usualKeyLife).UTC()))}
	if name := f.text("name", maxKeyName); name != nil {
		k.Name = *name
	}
	k.Uses = f.uses("uses")
	if _, ok := f.given("user"); ok {
		if owner := f.userID("user"); owner != nil {
			k.Owner = *owner
			switch _, err := a.Metadata.User(ctx, k.Owner); {
			case errors.Is(err, iot.ErrNotFound):
				f.fail("user", fmt.Sprintf(msgNoSuchPk, k.Owner))
			case err != nil:
				return nil, err
			}
		}
	}
	if f.errs != nil {
		return nil, f.errs
	}
	secret := auth.NewSecret(auth.ProvisioningPrefix)
	k, err = a.Accounts.CreateProvisioningKey(ctx, k, auth.Hash(secret))
	if errors.Is(err, iot.ErrInvalid) { // the user was deleted meanwhile
		return nil, fieldErrors{"user": {fmt.Sprintf(msgNoSuchPk, k.Owner)}}
	}
	if errors.Is(err, iot.ErrConflict) {
		return nil, errManyKeys
	}
	if err != nil {
		return nil, err
	}
	return encode(http.StatusCreated, newKey{k, secret}, appendNewKey), nil
}

// uses reads how many devices may use a key.
func (f *form) uses(field string) int {
	value, ok := f.member(field)
	if !ok {
		return 0
	}
	n, ok := integer(value)
	switch {
	case !ok:
		f.fail(field, msgInteger)
	case n < 1:
		f.fail(field, fmt.Sprintf(msgAtLeast, 1))
	case n > maxKeyUses:
		f.fail(field, fmt.Sprintf(msgAtMost, maxKeyUses))
	}
	return int(n)
}

func (a *API) deleteProvisioningKey(ctx context.Context, r *request) (*answer, error) {
	id, err := r.id("kid")
	if err != nil {
		return nil, err
	}
	if err := a.Accounts.DeleteProvisioningKey(ctx, id); err != nil {
		return nil, err
	}
	return noContent, nil
}

// enroll has a device make a password of its own with a provisioning key.
func (a *API) enroll(ctx context.Context, r *request) (*answer, error) {
	scheme, secret, _ := strings.Cut(r.Request().Header.Get(echo.HeaderAuthorization), " ")
	secret = strings.TrimSpace(secret)
	if !strings.EqualFold(scheme, "Bearer") || !strings.HasPrefix(secret, auth.ProvisioningPrefix) {
		return nil, a.Auth.RefuseKey(r.Request())
	}
	f, err := readForm(r)
	if err != nil {
		return nil, err
	}
	var device iot.Identity
	if value, ok := f.member("device"); ok {
		device, _ = f.identity("device", value)
	}
	if f.errs != nil {
		return nil, f.errs
	}
	if a.Mosquitto.Check() != nil {
		return nil, errMosquittoAway
	}
	password, key := auth.NewSecret(""), auth.Hash(secret)
	c := iot.Credential{
		Type: iot.CredentialPassword, Name: cmp.Or(device.Key, device.ID.String()), Device: device.ID,
		Devices: []iot.DeviceID{device.ID}, Secret: auth.Hash(password),
	}
	c, err = a.Accounts.Enroll(ctx, key, device, c)
	switch {
	case errors.Is(err, iot.ErrNotFound):
		return nil, a.Auth.RefuseKey(r.Request())
	case errors.Is(err, iot.ErrConflict):
		return nil, errEnrolled
	case err != nil:
		return nil, err
	}
	return a.encodeNewCredential(ctx, c, password, func(ctx context.Context, id int64) error { return a.Accounts.Unenroll(ctx, key, id) })
}
