package api

import (
	"cmp"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"time"

	"github.com/telltale-iot/telltale/pkg/auth"
	"github.com/telltale-iot/telltale/pkg/iot"
	"github.com/telltale-iot/telltale/pkg/readingjson"
	"github.com/telltale-iot/telltale/services/query-api/dynsec"
)

var (
	errManyCredentials = &problem{status: http.StatusConflict, detail: fmt.Sprintf(
		"There are %d credentials of this type and name, and as many may be valid at once. Delete one before you make another.", iot.MaxCredentials)}
	errOfAnother = &problem{status: http.StatusConflict, detail: "A gateway or a viewer has credentials of this name, or another credential has this certificate."}
	errOfGateway = &problem{status: http.StatusConflict, detail: fmt.Sprintf(
		"There are %d credentials of this type and name, and as many may be valid at once; or the name or the certificate is another's.", iot.MaxCredentials)}
	errOfMosquitto = &problem{status: http.StatusConflict, detail: "Mosquitto has an account of this name that is not kept here. Delete it there first."}
	errManyTopics  = &problem{status: http.StatusBadRequest, detail: fmt.Sprintf(
		"These devices have more than the %d topics that an account on Mosquitto may have: make several gateways, or have MAPPINGS name the formats in use alone.", dynsec.MaxTopics)}
	errMosquittoAway = &problem{http.StatusServiceUnavailable, "Mosquitto is not available, and has to be told a password when it is made. Try again later.", 5}
)

// newCredential is a credential as its maker sees it, once.
type newCredential struct {
	iot.Credential
	password  string // "" of a certificate
	published bool   // bridges can know it
}

// appendCredential appends c as clients see it. Its secret is not in it, nor the hash of a password.
func appendCredential(dst []byte, c iot.Credential) []byte {
	dst = append(dst, `{"id":`...)
	dst = strconv.AppendInt(dst, c.ID, 10)
	dst = append(dst, `,"type":"`...)
	dst = append(dst, c.Type...)
	dst = append(dst, `","username":`...)
	dst = readingjson.AppendString(dst, c.Name)
	dst = append(dst, `,"device":`...)
	if c.Device == 0 {
		dst = append(dst, "null"...)
	} else {
		dst = strconv.AppendInt(dst, int64(c.Device), 10)
	}
	dst = append(dst, `,"devices":`...)
	dst = appendList(dst, c.Devices, func(dst []byte, id iot.DeviceID) []byte { return strconv.AppendInt(dst, int64(id), 10) })
	dst = append(dst, `,"role":`...)
	if c.Viewer {
		dst = append(dst, `"viewer"`...)
	} else {
		dst = append(dst, "null"...)
	}
	dst = append(dst, `,"fingerprint":`...)
	if c.Type == iot.CredentialCertificate && c.Secret != (iot.Secret{}) {
		dst = append(dst, '"')
		dst = hex.AppendEncode(dst, c.Secret[:])
		dst = append(dst, '"')
	} else {
		dst = append(dst, "null"...)
	}
	dst = append(dst, `,"created_at":`...)
	dst = appendTime(dst, c.CreatedAt)
	dst = append(dst, `,"expires_at":`...)
	dst = appendTimeOrNull(dst, c.ExpiresAt)
	return append(dst, '}')
}

func appendNewCredential(dst []byte, c newCredential) []byte {
	dst = appendCredential(dst, c.Credential)
	dst = dst[:len(dst)-1] // the brace
	if c.password != "" {
		dst = append(dst, `,"password":`...)
		dst = readingjson.AppendString(dst, c.password)
	}
	dst = append(dst, `,"published":`...)
	return append(strconv.AppendBool(dst, c.published), '}')
}

func appendTimeOrNull(dst []byte, t time.Time) []byte {
	if t.IsZero() {
		return append(dst, "null"...)
	}
	return appendTime(dst, t)
}

// readCredential reads what new credentials have in common, and returns the password of one that has one.
func readCredential(f *form) (c iot.Credential, password string) {
	c = iot.Credential{
		Type:      choiceOf(f, "type", iot.CredentialPassword, iot.CredentialCertificate),
		ExpiresAt: f.expiry("expires_at", time.Now(), time.Time{}),
	}
	switch c.Type {
	case iot.CredentialCertificate:
		c.Secret = f.certificate()
	case iot.CredentialPassword:
		for _, field := range []string{"fingerprint", "certificate"} {
			if _, ok := f.given(field); ok {
				f.fail(field, msgOnlyOf)
			}
		}
		password = auth.NewSecret("")
		c.Secret = auth.Hash(password)
	}
	return c, password
}

// listDeviceCredentials lists those that are a device's own.
func (a *API) listDeviceCredentials(ctx context.Context, r *request) (*answer, error) {
	d, err := a.findDevice(ctx, r)
	if err != nil {
		return nil, err
	}
	return a.credentialsOf(ctx, r, d.ID)
}

// listCredentials lists those of all, or a device's own.
func (a *API) listCredentials(ctx context.Context, r *request) (*answer, error) {
	return a.credentialsOf(ctx, r, r.query.device("device"))
}

func (a *API) credentialsOf(ctx context.Context, r *request, device iot.DeviceID) (*answer, error) {
	limit := min(r.query.limit(smallPage), smallPage) // one may be for 1,000 devices
	q := iot.CredentialQuery{After: r.query.idCursor(), Device: device, Limit: limit + 1}
	if err := r.query.err(); err != nil {
		return nil, err
	}
	release, err := a.limits.lists.take(ctx, limit)
	if err != nil {
		return nil, err
	}
	defer release()
	all, err := a.Accounts.Credentials(ctx, q)
	if err != nil {
		return nil, err
	}
	all = cutRows(r, all, limit, func(c *iot.Credential) int64 { return c.ID })
	return encodeList(all, 0, appendCredential), nil
}

func (a *API) createDeviceCredential(ctx context.Context, r *request) (*answer, error) {
	d, err := a.findDevice(ctx, r)
	if err != nil {
		return nil, err
	}
	f, err := readForm(r)
	if err != nil {
		return nil, err
	}
	c, password := readCredential(f)
	if f.errs != nil {
		return nil, f.errs
	}
	c.Name, c.Device, c.Devices = cmp.Or(d.Key, d.ID.String()), d.ID, []iot.DeviceID{d.ID}
	created, err := a.Accounts.CreateCredential(ctx, c)
	switch {
	case errors.Is(err, iot.ErrInvalid): // it was deleted meanwhile
		return nil, errNotFound
	case errors.Is(err, iot.ErrConflict):
		return nil, a.conflictOf(ctx, c)
	case err != nil:
		return nil, err
	}
	return a.encodeNewCredential(ctx, created, password, a.Accounts.DeleteCredential)
}

// conflictOf says why the device of c cannot have it.
func (a *API) conflictOf(ctx context.Context, c iot.Credential) error {
	own, err := a.Accounts.Credentials(ctx, iot.CredentialQuery{Device: c.Device, Limit: smallPage})
	if err != nil {
		return err
	}
	same := 0
	for _, other := range own {
		if other.Type == c.Type && other.Name == c.Name {
			same++
		}
	}
	if same >= iot.MaxCredentials {
		return errManyCredentials
	}
	return errOfAnother
}

// createCredential makes one of a gateway or a viewer.
func (a *API) createCredential(ctx context.Context, r *request) (*answer, error) {
	f, err := readForm(r)
	if err != nil {
		return nil, err
	}
	c, password := readCredential(f)
	c.Devices = f.deviceList("devices")
	_, devices := f.given("devices")
	_, role := f.given("role")
	switch {
	case devices == role:
		f.fail("devices", msgRoleOrDevices)
	case role:
		c.Viewer = choiceOf(f, "role", iot.RoleViewer) == iot.RoleViewer
	}
	if c.Name, err = gatewayName(ctx, r, f); err != nil {
		return nil, err
	}
	if f.errs != nil {
		return nil, f.errs
	}
	created, err := a.Accounts.CreateCredential(ctx, c)
	switch {
	case errors.Is(err, iot.ErrConflict):
		return nil, errOfGateway
	case err != nil:
		return nil, err
	}
	return a.encodeNewCredential(ctx, created, password, a.Accounts.DeleteCredential)
}

// gatewayName reads what a gateway or a viewer is called: as no device is.
func gatewayName(ctx context.Context, r *request, f *form) (string, error) {
	value, ok := f.member("name")
	if !ok {
		return "", nil
	}
	name, ok := f.raw("name", value)
	if !ok {
		return "", nil
	}
	id, key, err := iot.ParseDevice(name)
	if err != nil {
		f.fail("name", msgGatewayName)
		return "", nil
	}
	if key != "" {
		_, err = findDeviceOf(ctx, r, iot.Identity{ID: id, Key: key})
	}
	switch {
	case err == nil: // also an id that no device has yet
		f.fail("name", fmt.Sprintf(msgDeviceName, id))
		return "", nil
	case errors.Is(err, iot.ErrNotFound), errors.Is(err, errNotFound):
		return name, nil
	default:
		return "", err
	}
}

// encodeNewCredential tells of c, which is committed, those who let devices in, and answers with it. Mosquitto has to be told a
// password while that is known: where it cannot be, there is no credential, and takeBack is called.
func (a *API) encodeNewCredential(
	ctx context.Context, c iot.Credential, password string, takeBack func(ctx context.Context, id int64) error,
) (*answer, error) {
	if err := a.Mosquitto.Put(ctx, c, password); err != nil {
		err = errors.Join(err, takeBack(context.WithoutCancel(ctx), c.ID))
		a.Mosquitto.Wake()
		a.Credentials.Wake() // it may have been compared meanwhile
		switch {
		case errors.Is(err, dynsec.ErrTaken):
			return nil, errOfMosquitto
		case errors.Is(err, dynsec.ErrTooMany):
			return nil, errManyTopics
		}
		a.Log.Warn("a credential is not made, as mosquitto cannot be told of it", "username", c.Name, "err", err)
		return nil, errMosquittoAway
	}
	published := a.Credentials.Publish(ctx, c) == nil // else bridges are told later
	return encode(http.StatusCreated, newCredential{c, password, published}, appendNewCredential), nil
}

func (a *API) deleteDeviceCredential(ctx context.Context, r *request) (*answer, error) {
	d, err := a.findDevice(ctx, r)
	if err != nil {
		return nil, err
	}
	id, err := r.id("cid")
	if err != nil {
		return nil, err
	}
	if c, err := a.Accounts.Credential(ctx, id); err != nil || c.Device != d.ID {
		return nil, cmp.Or(err, error(errNotFound))
	}
	return a.endCredential(ctx, id)
}

func (a *API) deleteCredential(ctx context.Context, r *request) (*answer, error) {
	id, err := r.id("cid")
	if err != nil {
		return nil, err
	}
	return a.endCredential(ctx, id)
}

func (a *API) endCredential(ctx context.Context, id int64) (*answer, error) {
	if err := a.Accounts.DeleteCredential(ctx, id); err != nil {
		return nil, err
	}
	return a.end(ctx, id)
}

// end tells of credentials that are deleted, alone or with what they are of, those who let them in, and answers. Who asked for
// that must know whether it has come there.
func (a *API) end(ctx context.Context, credentials ...int64) (*answer, error) {
	if a.cutOff(ctx, credentials) != nil {
		return encodeAny(http.StatusAccepted, struct {
			Detail string `json:"detail"`
		}{"It is deleted. Kafka is not available: bridges let in who has the credential until they are told, as soon as it is back."})
	}
	return noContent, nil
}

// cutOff has bridges cut off who has the credentials, which are deleted. An error is Kafka's.
func (a *API) cutOff(ctx context.Context, credentials []int64) error {
	if len(credentials) == 0 {
		return nil
	}
	a.Mosquitto.Wake()
	return a.Credentials.End(ctx, credentials...)
}

// id reads the id in a part of the path. What is none names nothing.
func (r *request) id(param string) (int64, error) {
	id, err := iot.ParseDeviceID(r.Param(param)) // no other row has an id beyond those of devices
	if err != nil {
		return 0, errNotFound
	}
	return int64(id), nil
}

// appendDeviceIDs appends a list, or null for nil.
func appendDeviceIDs(dst []byte, devices []iot.DeviceID) []byte {
	if devices == nil {
		return append(dst, "null"...)
	}
	return appendList(dst, devices, func(dst []byte, id iot.DeviceID) []byte { return strconv.AppendInt(dst, int64(id), 10) })
}
