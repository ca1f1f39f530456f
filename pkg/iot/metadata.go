package iot

import (
	"cmp"
	"context"
	"time"
)

// How long texts of users and devices may be, in characters.
const (
	MaxUsername = 150
	MaxEmail    = 254 // the length of an address that mail servers agree on
	MaxName     = 255
	MaxLocation = 255
)

// User owns devices.
type User struct {
	ID        int64
	Username  string    // 1 to MaxUsername characters, unique to the letter (case counts)
	Email     string    // up to MaxEmail characters
	CreatedAt time.Time // UTC, whole milliseconds; set by the store
}

// Device is what is known of a device beside its readings.
type Device struct {
	ID        DeviceID
	Name      string // 1 to MaxName characters
	Owner     int64  // the id of its User
	Location  string // up to MaxLocation characters; "" where unknown
	CreatedAt time.Time
	Key       string // "" where it is the decimal form of ID, or not known yet; never changes once it is

	LastSeen     time.Time     // when its last reading arrived, as its Contacts say; zero where none has; set by the store
	OfflineAfter time.Duration // without a reading it counts as offline: whole seconds up to MaxOfflineAfter; 0: as the service is set
}

// MaxOfflineAfter is a year: of a device that is silent for longer nobody waits for the next reading.
const MaxOfflineAfter = 365 * 24 * time.Hour

// Status says whether a device reports.
type Status string

const (
	StatusOnline  Status = "online"  // it has reported lately
	StatusOffline Status = "offline" // it has reported, and is silent
	StatusNever   Status = "never"   // nobody knows of a reading from it
)

// Statuses are all of them.
var Statuses = []Status{StatusOnline, StatusOffline, StatusNever}

// Status is d's at the time now, where usual is the OfflineAfter of devices that have none of their own.
func (d Device) Status(now time.Time, usual time.Duration) Status {
	switch {
	case d.LastSeen.IsZero():
		return StatusNever
	case now.Before(d.LastSeen.Add(cmp.Or(d.OfflineAfter, usual))):
		return StatusOnline
	default:
		return StatusOffline
	}
}

// Contact says that a device has reported.
type Contact struct {
	Device DeviceID
	At     time.Time // of the arrival, in whole milliseconds: no clock of a device counts
}

// Identity is whom a reading is of: what ParseDevice returns.
type Identity struct {
	ID  DeviceID
	Key string // "" where it is the decimal form of ID
}

// Description is what a device says of itself.
type Description struct {
	ID       DeviceID
	Name     string // "" where it does not say
	Location string // likewise
}

// Attributes of a reading in which its device says what it is called, and where it is.
const (
	DeviceNameAttribute     = "device_name"
	DeviceLocationAttribute = "device_location"
)

// UserChange names the fields of a user to set; nil leaves a field as it is.
type UserChange struct {
	Username *string
	Email    *string
}

// DeviceChange names the fields of a device to set; nil leaves a field as it is.
type DeviceChange struct {
	Name         *string
	Owner        *int64
	Location     *string
	OfflineAfter *time.Duration
}

// UserQuery selects users, ascending by id.
type UserQuery struct {
	After    int64  // only ids above it
	Username string // only the user called so, when not empty
	Limit    int    // at most that many, 1 or more
}

// DeviceQuery selects devices, ascending by id.
type DeviceQuery struct {
	After DeviceID // only ids above it
	Owner int64    // only this user's, when not 0
	Text  string   // only with it in the name, the key or the location, in whatever case; "": all
	Limit int      // at most that many, 1 or more

	Devices []DeviceID // only these; nil: all

	Status       Status        // only those that have it; "": all
	Now          time.Time     // when they have it
	OfflineAfter time.Duration // of devices that have none of their own
}

// Who owns devices that registered themselves.
const (
	DefaultUsername = "default_user"
	DefaultEmail    = "default_user@example.com"
)

// The user whom a deployment's token, the first start, and `token create` make an admin.
const (
	AdminUsername = "admin"
	AdminEmail    = "admin@example.com"
)

// MetadataStore keeps users and devices. It is safe for concurrent use, by several processes too.
//
// Each method returns ErrNotFound where the row that it is about does not exist, and ErrConflict where a
// unique value is taken; every other error is an outage.
type MetadataStore interface {
	// CreateUser stores u under a new id, sets CreatedAt, and returns the row. ErrConflict: the
	// username is taken.
	CreateUser(ctx context.Context, u User) (User, error)
	User(ctx context.Context, id int64) (User, error)
	Users(ctx context.Context, q UserQuery) ([]User, error)
	// UpdateUser sets the fields that c names, all or none, and returns the row. ErrConflict: the
	// username is taken.
	UpdateUser(ctx context.Context, id int64, c UserChange) (User, error)
	// DeleteUser removes the user and its devices, and returns the ids of their credentials, which go with them. ErrLastAdmin:
	// it is the last one who is not disabled.
	DeleteUser(ctx context.Context, id int64) (credentials []int64, err error)

	// CreateDevice stores d, sets CreatedAt, and returns the row. With ID 0 and no Key it takes an id
	// that no device has and that is no key's, above every such id in use and every one it gave out
	// before while there is one. ErrConflict: the id or the key is taken. ErrInvalid: there is no user
	// d.Owner, or ID is not the id of Key.
	CreateDevice(ctx context.Context, d Device) (Device, error)
	Device(ctx context.Context, id DeviceID) (Device, error)
	Devices(ctx context.Context, q DeviceQuery) ([]Device, error)
	// UpdateDevice sets the fields that c names, all or none, and returns the row. Where a member's device becomes another's, its
	// own credentials, which he may have seen, go, and their ids are returned. ErrInvalid: there is no user *c.Owner.
	UpdateDevice(ctx context.Context, id DeviceID, c DeviceChange) (d Device, credentials []int64, err error)
	// DeleteDevice removes the device, and its own credentials, whose ids it returns.
	DeleteDevice(ctx context.Context, id DeviceID) (credentials []int64, err error)
	// EnsureDevices creates the devices of seen that do not exist, each under its own id, named by its
	// key or else "Device {id}", owned by the default user, which it creates when missing. A device
	// that exists without a key gets the one that was seen. Repeating it, and running it at the same
	// time elsewhere, is harmless. Those that a does not admit are not created. ErrInvalid: an id is out
	// of range, or not that of its key.
	EnsureDevices(ctx context.Context, seen []Identity, a Admission) (Ensured, error)
	// DescribeDevices gives devices the name that they say, where they have the one from EnsureDevices, and the
	// location, where they have none. Devices that do not exist, and what none may be called, are passed over.
	// Each device is in described once.
	DescribeDevices(ctx context.Context, described []Description) error
	// KeepContacts has each device be seen when a contact says, unless it was seen later. Devices that do not exist are
	// passed over. Each device is in contacts once.
	KeepContacts(ctx context.Context, contacts []Contact) error
}

// Admission says which devices that do not exist may register themselves. The zero Admission: all.
type Admission struct {
	// KnownOnly has none register itself.
	KnownOnly bool
	// Most is how many devices there may be, when not 0. However many processes register devices at once, none
	// goes beyond it; somebody who creates devices in another way may.
	Most int
}

// Ensured is what became of devices that were seen.
type Ensured struct {
	Created int // how many did not exist
	// Collisions are those that cannot be registered, because the device with their id has another
	// key: of seen or, where two keys of one id are new, of the one that was seen first. All others
	// are registered.
	Collisions []Identity
	// Unknown are those that were not created because only known ones are admitted.
	Unknown []Identity
	// TooMany are those that were not created because there are as many as there may be.
	TooMany []Identity
}
