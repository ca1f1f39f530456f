package iot

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"time"
)

// Role is what somebody may do.
type Role string

const (
	RoleViewer   Role = "viewer"   // reads
	RoleOperator Role = "operator" // also changes devices, their credentials, and dead letters
	RoleAdmin    Role = "admin"    // also users, tokens and the audit
	RoleMember   Role = "member"   // is operator of the devices that he owns, and sees nothing else
)

// Roles are all of them.
var Roles = []Role{RoleViewer, RoleOperator, RoleAdmin, RoleMember}

// Covers reports whether who has r may do all that who has other may.
func (r Role) Covers(other Role) bool {
	switch r {
	case RoleAdmin:
		return true
	case RoleOperator:
		return other != RoleAdmin
	default:
		return r == other
	}
}

// Secret is the SHA-256 of a secret. The secret itself is shown once, and kept nowhere: it is generated, and so long that
// nobody guesses it, so that its hash needs neither salt nor time.
type Secret [sha256.Size]byte

// Account is what a user may do, and how he says who he is.
type Account struct {
	Role     Role
	Password string // its hash, as package auth makes it; "" where he has none, and cannot log in by one
	Disabled bool   // he cannot log in, and his tokens do not count
}

// AccountChange names what to set of a user and of what he may do; nil leaves it as it is.
type AccountChange struct {
	UserChange
	Role     *Role
	Password *string // its hash
	Disabled *bool
}

// Apply sets what c names.
func (c AccountChange) Apply(u *User, a *Account) {
	set(&u.Username, c.Username)
	set(&u.Email, c.Email)
	set(&a.Role, c.Role)
	set(&a.Password, c.Password)
	set(&a.Disabled, c.Disabled)
}

func set[T any](field, value *T) {
	if value != nil {
		*field = *value
	}
}

// Token is a secret by which a program is a user.
type Token struct {
	ID        int64
	User      int64
	Name      string     // for people: what it is for
	Role      Role       // which the user's covers
	Devices   []DeviceID // only these; nil: all that the role sees
	CreatedAt time.Time
	ExpiresAt time.Time // zero: never
	LastUsed  time.Time // zero: not yet; to the minute
	Session   bool      // of a browser: of the user's role whatever that is, and not among the tokens that are listed
	Parent    int64     // the token that it was made with, and ends with; 0: none
}

// Expired reports whether t counts no more at that time.
func (t Token) Expired(now time.Time) bool {
	return !t.ExpiresAt.IsZero() && !now.Before(t.ExpiresAt)
}

// CredentialType is how a device shows that it has a credential.
type CredentialType string

const (
	CredentialPassword    CredentialType = "password"
	CredentialCertificate CredentialType = "certificate"
)

// Credential lets a device in, or a gateway that speaks for devices, or somebody who looks on. It never changes: another is
// made beside it, and it is deleted.
type Credential struct {
	ID        int64
	Type      CredentialType
	Name      string     // the user name: the key or the id of its device, or what a gateway or a viewer is called
	Device    DeviceID   // whose own it is; 0 is a gateway's or a viewer's
	Devices   []DeviceID // for which it speaks: of a device's own, that one; of a viewer, none
	Viewer    bool       // it subscribes to readings, and publishes nothing
	Secret    Secret     // of the password, or of the certificate (DER); zero: any certificate of a trusted authority that names Name
	CreatedAt time.Time
	ExpiresAt time.Time // zero: never
}

// ProvisioningKey is a secret by which devices make credentials of their own.
type ProvisioningKey struct {
	ID        int64
	Name      string     // for people
	Owner     int64      // the user whose the devices become; 0: the default user
	Uses      int        // that are left
	Devices   []DeviceID // only these; nil: any
	CreatedAt time.Time
	ExpiresAt time.Time // zero: never
}

// Actor is who does something.
type Actor struct {
	Name    string // of the user, or what stands for one: "anonymous", "system"
	Token   string // the name of the token that he used; "" for none
	Address string // where he is
}

type actorKey struct{}

// WithActor returns a context in which a does what is done. An AccessStore, and a MetadataStore beside it, write into the
// audit what changes in it, in the same transaction.
func WithActor(ctx context.Context, a Actor) context.Context {
	return context.WithValue(ctx, actorKey{}, a)
}

// ActorOf returns who does what is done in ctx. Without one, nothing is written into the audit.
func ActorOf(ctx context.Context) (Actor, bool) {
	a, ok := ctx.Value(actorKey{}).(Actor)
	return a, ok
}

// AuditEntry says who did what.
type AuditEntry struct {
	ID     int64 // ascending
	At     time.Time
	Actor  Actor
	Action string          // a noun, a dot, and a verb: "device.update"
	Object string          // "device/42", "token/7"
	Before json.RawMessage // the row; nil where it was not there, or is none of this store. No secret is in it, nor a hash
	After  json.RawMessage
}

// AuditRetention is how long entries are kept.
const AuditRetention = 366 * 24 * time.Hour

// AuditQuery selects entries, newest first.
type AuditQuery struct {
	Before int64     // only ids below it, when not 0
	Actor  string    // only of that name, when not empty
	Action string    // only this one or, without a dot, those of this noun ("device"), when not empty
	Object string    // only this one, when not empty
	From   time.Time // only from then on, when not zero
	To     time.Time // only before then, when not zero
	Limit  int       // at most that many, 1 or more
}

// CredentialQuery selects credentials, ascending by id.
type CredentialQuery struct {
	After  int64    // only ids above it
	Device DeviceID // only this device's own, when not 0
	Limit  int
}

// MaxCredentials is how many credentials of one name and type may be valid at once: for rotation.
const MaxCredentials = 2

// What a token, a credential or a provisioning key may hold, and how many keys there may be.
const (
	MaxDevices          = 10_000 // that one names
	MaxProvisioningKeys = 1000
)

// AccessStore keeps who may do what, beside the users and devices of a MetadataStore, in the same database. It is safe for
// concurrent use, by several processes too. Errors are as those of a MetadataStore.
//
// Each change is in the audit when it is committed, where its context has an actor, and only then.
type AccessStore interface {
	// UserCalled returns the user of that name. ErrNotFound: there is none.
	UserCalled(ctx context.Context, username string) (User, error)
	// Account returns what the user may do. ErrNotFound: there is no such user.
	Account(ctx context.Context, user int64) (Account, error)
	// Accounts returns what the users that q selects may do, by their ids.
	Accounts(ctx context.Context, q UserQuery) (map[int64]Account, error)
	// CreateAccount is CreateUser of a MetadataStore, of one who may do what a says.
	CreateAccount(ctx context.Context, u User, a Account) (User, error)
	// UpdateAccount sets what c names, all or nothing, in what is there then, and returns the user and what he may do. A
	// password that is changed ends his sessions. ErrLastAdmin: there is an admin who is not disabled, and would be none. Any
	// other ErrConflict: the username is taken.
	UpdateAccount(ctx context.Context, user int64, c AccountChange) (User, Account, error)

	// LogInAs returns the user who is somebody at an OpenID Connect provider, for whom identity stands, and what he may do. Who
	// comes for the first time is the user of that name, where that one was made for him: it has no password, no token but
	// sessions, is nobody's identity, no admin, and neither DefaultUsername nor AdminUsername. ErrConflict: the name is another's,
	// or one of these two. Where there is none of that name he is a new one. A role that is not empty becomes his, also where he
	// was the last admin.
	LogInAs(ctx context.Context, identity Secret, username, email string, role Role) (User, Account, error)

	// CreateToken stores t under a new id and returns it. ErrInvalid: there is no such user, or no such parent. ErrConflict: the
	// secret is taken.
	CreateToken(ctx context.Context, t Token, s Secret) (Token, error)
	// TokenOf returns the token with that secret, its user and what he may do. ErrNotFound: there is none. One that has
	// expired, and the user's being disabled, is for the caller to see.
	TokenOf(ctx context.Context, s Secret) (Token, User, Account, error)
	// Tokens returns those that are no sessions, ascending by id: of all users, when user is 0.
	Tokens(ctx context.Context, user, after int64, limit int) ([]Token, error)
	// Token returns the one of that id, a session's too.
	Token(ctx context.Context, id int64) (Token, error)
	// DeleteToken deletes a token, and those that were made with it.
	DeleteToken(ctx context.Context, id int64) error
	// UseToken notes that a token was used, and has a session expire then.
	UseToken(ctx context.Context, id int64, at, expires time.Time) error
	// RemoveExpired removes tokens, credentials and provisioning keys that expired before that, and entries of the audit
	// older than AuditRetention: some thousands of each in a call, the rest in the next. It is nobody's act, and leaves no
	// trace in the audit.
	RemoveExpired(ctx context.Context, before time.Time) error

	// CreateCredential stores c under a new id and returns it. ErrInvalid: its device does not exist, or is not called so.
	// ErrConflict: there are MaxCredentials of its name and type that have not expired, the name is another device's or
	// gateway's, or the certificate another credential's. A device that was shut out is so no more.
	CreateCredential(ctx context.Context, c Credential) (Credential, error)
	Credentials(ctx context.Context, q CredentialQuery) ([]Credential, error)
	Credential(ctx context.Context, id int64) (Credential, error)
	// DeleteCredential deletes a credential. The device whose own it is, is shut out: Enroll makes it none.
	DeleteCredential(ctx context.Context, id int64) error

	// CreateProvisioningKey stores k under a new id and returns it. ErrInvalid: there is no such user. ErrConflict: there
	// are MaxProvisioningKeys.
	CreateProvisioningKey(ctx context.Context, k ProvisioningKey, s Secret) (ProvisioningKey, error)
	ProvisioningKeys(ctx context.Context) ([]ProvisioningKey, error)
	DeleteProvisioningKey(ctx context.Context, id int64) error
	// Enroll takes a use of the key with that secret, creates the device where it does not exist, and c, which is its
	// credential, all or nothing. ErrNotFound: there is no such key, or it has expired or no use left, or is not for the
	// device. ErrConflict: the device has a credential that has not expired, so that nobody takes it over with a key that
	// many have; or it is shut out, unless the key names it and was made since then; or as of CreateCredential.
	Enroll(ctx context.Context, s Secret, device Identity, c Credential) (Credential, error)
	// Unenroll takes back what Enroll gave: it deletes the credential, and the key, where it is still there, has its use again.
	// The device stays.
	Unenroll(ctx context.Context, s Secret, credential int64) error

	// Audit returns the entries that q selects.
	Audit(ctx context.Context, q AuditQuery) ([]AuditEntry, error)
	// RecordAudit adds an entry about what is no change of this store, as a log-in. Its id and time are set by the store.
	RecordAudit(ctx context.Context, e AuditEntry) error

	// Moved reports whether the database is from before there were accounts, so that devices and programs may not have
	// credentials yet.
	Moved(ctx context.Context) (bool, error)
	// Settle has it count as moved no more: who needs credentials was said for it.
	Settle(ctx context.Context) error
}
