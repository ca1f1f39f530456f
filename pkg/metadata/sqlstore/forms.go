package sqlstore

import (
	"fmt"
	"time"

	"github.com/telltale-iot/telltale/pkg/iot"
)

// What the audit says of a row, as JSON. No secret is in it, nor a hash of one.

type userForm struct {
	ID          int64    `json:"id"`
	Username    string   `json:"username"`
	Email       string   `json:"email"`
	Role        iot.Role `json:"role"`
	Disabled    bool     `json:"disabled"`
	HasPassword bool     `json:"has_password"`
}

func userObject(id int64) string { return fmt.Sprintf("user/%d", id) }

func userEntry(p person) userForm {
	return userForm{p.ID, p.Username, p.Email, p.Role, p.Disabled, p.Password != ""}
}

type deletedUserForm struct {
	userForm
	Gone belongings `json:"gone"`
}

// accountForm is of an account that was changed.
type accountForm struct {
	userForm
	NewPassword   bool  `json:"new_password,omitempty"`
	SessionsEnded int64 `json:"sessions_ended,omitempty"`
}

type deviceForm struct {
	ID           iot.DeviceID `json:"id"`
	Key          string       `json:"key,omitempty"`
	Name         string       `json:"name"`
	User         int64        `json:"user"`
	Location     string       `json:"location"`
	OfflineAfter int64        `json:"offline_after"` // s; 0: as the service is set
	CreatedAt    rowTime      `json:"created_at"`
}

func deviceObject(id iot.DeviceID) string { return "device/" + id.String() }

func deviceEntry(d iot.Device) deviceForm {
	return deviceForm{d.ID, d.Key, d.Name, d.Owner, d.Location, int64(d.OfflineAfter / time.Second), rowTime(d.CreatedAt)}
}

type deviceEndForm struct {
	deviceForm
	Credentials []int64 `json:"credentials,omitempty"` // the ids of its own that have ended
}

type tokenForm struct {
	ID        int64          `json:"id"`
	User      int64          `json:"user"`
	Name      string         `json:"name"`
	Role      iot.Role       `json:"role"`
	Devices   []iot.DeviceID `json:"devices"` // null: all
	CreatedAt rowTime        `json:"created_at"`
	ExpiresAt *rowTime       `json:"expires_at"`
}

// tokenNoun is what the audit calls t.
func tokenNoun(t iot.Token) string {
	if t.Session {
		return "session"
	}
	return "token"
}

func tokenObject(t iot.Token) string { return fmt.Sprintf("%s/%d", tokenNoun(t), t.ID) }

func tokenEntry(t iot.Token) tokenForm {
	return tokenForm{t.ID, t.User, t.Name, t.Role, t.Devices, rowTime(t.CreatedAt), orNull(t.ExpiresAt)}
}

type credentialForm struct {
	ID        int64              `json:"id"`
	Type      iot.CredentialType `json:"type"`
	Username  string             `json:"username"`
	Device    iot.DeviceID       `json:"device,omitempty"`  // whose own it is
	Devices   []iot.DeviceID     `json:"devices,omitempty"` // for which a gateway speaks
	Viewer    bool               `json:"viewer,omitempty"`
	CreatedAt rowTime            `json:"created_at"`
	ExpiresAt *rowTime           `json:"expires_at"`
	// ProvisioningKey is the id of the one that it was made with; 0 for none.
	ProvisioningKey int64 `json:"provisioning_key,omitempty"`
}

func credentialObject(id int64) string { return fmt.Sprintf("credential/%d", id) }

func credentialEntry(c iot.Credential) credentialForm {
	form := credentialForm{
		ID: c.ID, Type: c.Type, Username: c.Name, Device: c.Device, Viewer: c.Viewer,
		CreatedAt: rowTime(c.CreatedAt), ExpiresAt: orNull(c.ExpiresAt),
	}
	if c.Device == 0 {
		form.Devices = c.Devices
	}
	return form
}

type provisioningKeyForm struct {
	ID        int64          `json:"id"`
	Name      string         `json:"name"`
	User      int64          `json:"user"` // 0: the default user
	Uses      int            `json:"uses"`
	Devices   []iot.DeviceID `json:"devices"` // null: any
	CreatedAt rowTime        `json:"created_at"`
	ExpiresAt *rowTime       `json:"expires_at"`
}

func provisioningKeyObject(id int64) string { return fmt.Sprintf("provisioning-key/%d", id) }

func provisioningKeyEntry(k iot.ProvisioningKey) provisioningKeyForm {
	return provisioningKeyForm{k.ID, k.Name, k.Owner, k.Uses, k.Devices, rowTime(k.CreatedAt), orNull(k.ExpiresAt)}
}

// rowTime is a time as clients see it.
type rowTime time.Time

// MarshalJSON is in UTC, with milliseconds.
func (t rowTime) MarshalJSON() ([]byte, error) {
	return []byte(time.Time(t).UTC().Format(`"2006-01-02T15:04:05.000Z"`)), nil
}

func orNull(t time.Time) *rowTime {
	if t.IsZero() {
		return nil
	}
	return (*rowTime)(&t)
}
