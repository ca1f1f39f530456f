package metadatatest

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/telltale-iot/telltale/pkg/iot"
	"github.com/telltale-iot/telltale/pkg/metadata"
)

// accounts are about what users may do.
func accounts() []promise {
	admin := iot.Account{Role: iot.RoleAdmin}
	return []promise{
		{"a user is a viewer without a password, the default user too", func(t *testing.T, db *database) {
			s := db.prepared()
			ensure(t, s, 1, 7)
			for _, u := range []iot.User{newUser(t, s, "ann"), defaultUser(t, s)} {
				wantEqual(t, findAccount(t, s, u.ID), iot.Account{Role: iot.RoleViewer})
			}
		}},
		{"an account is as it was set, to the letter", func(t *testing.T, db *database) {
			s := db.prepared()
			ann, bob := newUser(t, s, "ann"), newUser(t, s, "bob")
			for _, a := range []iot.Account{
				{Role: iot.RoleOperator, Password: "$argon2id$v=19$it's\\"}, {Role: iot.RoleMember, Disabled: true}, {Role: iot.RoleViewer},
			} {
				for range 2 { // the second changes nothing
					setAccount(t, s, ann.ID, a)
					wantEqual(t, findAccount(t, s, ann.ID), a)
				}
			}
			wantEqual(t, findAccount(t, s, bob.ID), iot.Account{Role: iot.RoleViewer})
			wantEqual(t, findUser(t, s, ann.ID), ann)
			wantError(t, updateAccount(t.Context(), s, ann.ID, iot.Account{Role: "king"}), iot.ErrInvalid)
			wantError(t, updateAccount(t.Context(), s, 404, admin), iot.ErrNotFound)
			_, err := s.Account(t.Context(), 404)
			wantError(t, err, iot.ErrNotFound)
		}},
		{"a user is created with what he may do, or not at all", func(t *testing.T, db *database) {
			s := db.prepared()
			want := iot.Account{Role: iot.RoleOperator, Password: hash, Disabled: true}
			ann, err := s.CreateAccount(t.Context(), iot.User{Username: "ann", Email: "ann@example.com"}, want)
			wantError(t, err, nil)
			wantEqual(t, findUser(t, s, ann.ID), ann)
			wantEqual(t, findAccount(t, s, ann.ID), want)
			_, err = s.CreateAccount(t.Context(), iot.User{Username: "ann"}, admin)
			wantError(t, err, iot.ErrConflict)
			for _, a := range []iot.Account{{}, {Role: "king"}, {Role: iot.RoleViewer, Password: strings.Repeat("x", 256)}} {
				_, err = s.CreateAccount(t.Context(), iot.User{Username: "bob"}, a)
				wantError(t, err, iot.ErrInvalid)
			}
			wantEqual(t, findAccount(t, s, ann.ID), want)
			wantEqual(t, db.count("users"), 1)
		}},
		{"of a user and what he may do all is changed that is named, or nothing", func(t *testing.T, db *database) {
			s := db.prepared()
			newUser(t, s, "bob")
			ann := newUser(t, s, "ann")
			setAccount(t, s, ann.ID, admin)
			for _, wrong := range []struct {
				change iot.AccountChange
				want   error
			}{
				{iot.AccountChange{UserChange: iot.UserChange{Username: ptr("bob")}, Password: ptr(hash)}, iot.ErrConflict},
				{iot.AccountChange{UserChange: iot.UserChange{Email: ptr("new")}, Role: ptr(iot.RoleViewer)}, iot.ErrLastAdmin},
				{iot.AccountChange{UserChange: iot.UserChange{Email: ptr("new")}, Role: ptr(iot.Role("king"))}, iot.ErrInvalid},
			} {
				_, _, err := s.UpdateAccount(t.Context(), ann.ID, wrong.change)
				wantError(t, err, wrong.want)
				wantEqual(t, errors.Is(err, iot.ErrLastAdmin), errors.Is(wrong.want, iot.ErrLastAdmin))
				wantEqual(t, findUser(t, s, ann.ID), ann)
				wantEqual(t, findAccount(t, s, ann.ID), admin)
			}
			ann.Email = "new"
			want := iot.Account{Role: iot.RoleAdmin, Password: hash}
			u, a, err := s.UpdateAccount(t.Context(), ann.ID, iot.AccountChange{UserChange: iot.UserChange{Email: &ann.Email}, Password: ptr(hash)})
			wantError(t, err, nil)
			wantEqual(t, []iot.User{u, findUser(t, s, ann.ID)}, []iot.User{ann, ann})
			wantEqual(t, []iot.Account{a, findAccount(t, s, ann.ID)}, []iot.Account{want, want})
		}},
		{"of a password, a role, an address and his being disabled, set at once, none is lost", func(t *testing.T, db *database) {
			stores := []metadata.Store{db.prepared(), db.prepared()}
			ann := newUser(t, stores[0], "ann")
			for round := range 10 {
				text, disabled, role := fmt.Sprint(round), round%2 == 0, iot.Roles[round%2]
				concurrently(t, 4, func(ctx context.Context, i int) error {
					_, _, err := stores[i%2].UpdateAccount(ctx, ann.ID, []iot.AccountChange{
						{Password: &text}, {Disabled: &disabled}, {Role: &role}, {UserChange: iot.UserChange{Email: &text}},
					}[i])
					return err
				})
				wantEqual(t, findAccount(t, stores[0], ann.ID), iot.Account{Role: role, Password: text, Disabled: disabled})
				wantEqual(t, findUser(t, stores[0], ann.ID).Email, text)
			}
		}},
		{"a user is found by his name, to the letter", func(t *testing.T, db *database) {
			s := db.prepared()
			ann := newUser(t, s, "Ann")
			u, err := s.UserCalled(t.Context(), "Ann")
			wantError(t, err, nil)
			wantEqual(t, u, ann)
			for _, name := range []string{"ann", "Ann ", "", "\x00", "\xff", "' OR 1=1 --"} {
				_, err := s.UserCalled(t.Context(), name)
				wantError(t, err, iot.ErrNotFound)
			}
		}},
		{"the last admin who is not disabled stays one", func(t *testing.T, db *database) {
			s := db.prepared()
			ann, bob := newUser(t, s, "ann"), newUser(t, s, "bob")
			setAccount(t, s, ann.ID, admin)
			setAccount(t, s, bob.ID, iot.Account{Role: iot.RoleAdmin, Disabled: true})
			for _, a := range []iot.Account{{Role: iot.RoleOperator}, {Role: iot.RoleAdmin, Disabled: true}} {
				wantError(t, updateAccount(t.Context(), s, ann.ID, a), iot.ErrLastAdmin)
			}
			wantError(t, errOf(s.DeleteUser(t.Context(), ann.ID)), iot.ErrLastAdmin)
			setAccount(t, s, ann.ID, iot.Account{Role: iot.RoleAdmin, Password: "x"})
			setAccount(t, s, bob.ID, admin)
			wantError(t, errOf(s.DeleteUser(t.Context(), ann.ID)), nil)
			wantError(t, errOf(s.DeleteUser(t.Context(), bob.ID)), iot.ErrLastAdmin)
		}},
		{"of two admins whom two processes delete or disable at once, one stays", func(t *testing.T, db *database) {
			stores := []metadata.Store{db.prepared(), db.prepared()}
			for round := range 6 {
				var admins []iot.User
				for i := range 2 {
					admins = append(admins, newUser(t, stores[0], fmt.Sprintf("%d.%d", round, i)))
					setAccount(t, stores[0], admins[i].ID, admin)
				}
				var refused atomic.Int64
				concurrently(t, 2, func(ctx context.Context, i int) (err error) {
					if i == 0 || round%2 == 0 {
						_, err = stores[i].DeleteUser(ctx, admins[i].ID)
					} else {
						err = updateAccount(ctx, stores[i], admins[i].ID, iot.Account{Role: iot.RoleViewer})
					}
					if errors.Is(err, iot.ErrLastAdmin) {
						refused.Add(1)
						return nil
					}
					return err
				})
				wantEqual(t, refused.Load(), int64(1))
				db.exec("UPDATE users SET role = 'viewer'")
			}
		}},
	}
}

// tokens are about secrets of programs and browsers.
func tokens() []promise {
	until := time.Date(2126, 3, 1, 12, 0, 0, 123456789, time.UTC)
	return []promise{
		{"a token is as it was created, and found by its secret alone", func(t *testing.T, db *database) {
			s := db.prepared()
			ann := newUser(t, s, "ann")
			account := iot.Account{Role: iot.RoleOperator, Password: "hash", Disabled: true}
			setAccount(t, s, ann.ID, account)
			for i, want := range []iot.Token{
				{User: ann.ID, Name: "Grafana's", Role: iot.RoleViewer, Devices: []iot.DeviceID{7, iot.MaxDeviceID}, ExpiresAt: until},
				{User: ann.ID, Role: iot.RoleAdmin, Devices: []iot.DeviceID{}},
				{User: ann.ID, Session: true, ExpiresAt: until, LastUsed: noon},
			} {
				secret := iot.Secret{byte(i + 1), 31: 0xff}
				created, err := s.CreateToken(t.Context(), want, secret)
				wantError(t, err, nil)
				wantFresh(t, created.CreatedAt)
				want.ID, want.CreatedAt, want.ExpiresAt, want.LastUsed = created.ID, created.CreatedAt, want.ExpiresAt.Truncate(time.Millisecond), time.Time{}
				wantEqual(t, created, want)
				found, user, a, err := s.TokenOf(t.Context(), secret)
				wantError(t, err, nil)
				wantEqual(t, found, want)
				wantEqual(t, user, ann)
				wantEqual(t, a, account)
				found, err = s.Token(t.Context(), created.ID)
				wantError(t, err, nil)
				wantEqual(t, found, want)
			}
			_, _, _, err := s.TokenOf(t.Context(), iot.Secret{})
			wantError(t, err, iot.ErrNotFound)
		}},
		{"a token that makes no sense is refused", func(t *testing.T, db *database) {
			s := db.prepared()
			ann := newUser(t, s, "ann")
			newToken(t, s, iot.Token{User: ann.ID, Role: iot.RoleViewer}, 1)
			for _, tt := range []struct {
				token iot.Token
				want  error
			}{
				{iot.Token{User: 404, Role: iot.RoleViewer}, iot.ErrInvalid},
				{iot.Token{User: ann.ID}, iot.ErrInvalid},
				{iot.Token{User: ann.ID, Role: "king"}, iot.ErrInvalid},
				{iot.Token{User: ann.ID, Role: iot.RoleViewer, Name: "\x00"}, iot.ErrInvalid},
				{iot.Token{User: ann.ID, Role: iot.RoleViewer, Devices: []iot.DeviceID{0}}, iot.ErrInvalid},
				{iot.Token{User: ann.ID, Role: iot.RoleViewer, Devices: make([]iot.DeviceID, iot.MaxDevices+1)}, iot.ErrInvalid},
				{iot.Token{User: ann.ID, Role: iot.RoleViewer}, iot.ErrConflict}, // the secret is taken
			} {
				_, err := s.CreateToken(t.Context(), tt.token, iot.Secret{1})
				wantError(t, err, tt.want)
			}
			wantEqual(t, db.count("tokens"), 1)
		}},
		{"tokens are listed in pages, of all users or one, and sessions are not", func(t *testing.T, db *database) {
			s := db.prepared()
			ann, bob := newUser(t, s, "ann"), newUser(t, s, "bob")
			var all []iot.Token
			for i, owner := range []iot.User{ann, bob, ann, ann} {
				all = append(all, newToken(t, s, iot.Token{User: owner.ID, Role: iot.RoleViewer}, byte(2*i)))
				newToken(t, s, iot.Token{User: owner.ID, Session: true}, byte(2*i+1))
			}
			for _, tt := range []struct {
				user, after int64
				limit       int
				want        []iot.Token
			}{
				{0, 0, 9, all},
				{0, all[0].ID, 2, all[1:3]},
				{ann.ID, 0, 2, []iot.Token{all[0], all[2]}},
				{ann.ID, all[2].ID, 2, all[3:]},
				{404, 0, 2, nil},
			} {
				got, err := s.Tokens(t.Context(), tt.user, tt.after, tt.limit)
				wantError(t, err, nil)
				wantEqual(t, got, tt.want)
			}
			_, err := s.Tokens(t.Context(), 0, 0, 0)
			wantError(t, err, iot.ErrInvalid)
		}},
		{"a use is noted to the minute, and extends a session alone", func(t *testing.T, db *database) {
			s := db.prepared()
			ann := newUser(t, s, "ann")
			program := newToken(t, s, iot.Token{User: ann.ID, Role: iot.RoleViewer, ExpiresAt: until}, 1)
			browser := newToken(t, s, iot.Token{User: ann.ID, Session: true, ExpiresAt: until}, 2)
			for _, token := range []iot.Token{program, browser} {
				wantError(t, s.UseToken(t.Context(), token.ID, noon.Add(7*time.Second), noon.Add(time.Hour)), nil)
				want := token
				want.LastUsed = noon.Truncate(time.Minute)
				if token.Session {
					want.ExpiresAt = noon.Add(time.Hour)
				}
				got, err := s.Token(t.Context(), token.ID)
				wantError(t, err, nil)
				wantEqual(t, got, want)
			}
			wantError(t, s.UseToken(t.Context(), 404, noon, noon), iot.ErrNotFound)
		}},
		{"a token that is deleted, or whose user is, is nobody's", func(t *testing.T, db *database) {
			s := db.prepared()
			ann, bob := newUser(t, s, "ann"), newUser(t, s, "bob")
			first := newToken(t, s, iot.Token{User: ann.ID, Role: iot.RoleViewer}, 1)
			newToken(t, s, iot.Token{User: ann.ID, Session: true}, 2)
			kept := newToken(t, s, iot.Token{User: bob.ID, Role: iot.RoleViewer}, 3)
			wantError(t, s.DeleteToken(t.Context(), first.ID), nil)
			wantError(t, s.DeleteToken(t.Context(), first.ID), iot.ErrNotFound)
			wantError(t, errOf(s.DeleteUser(t.Context(), ann.ID)), nil)
			for _, secret := range []byte{1, 2} {
				_, _, _, err := s.TokenOf(t.Context(), iot.Secret{secret})
				wantError(t, err, iot.ErrNotFound)
			}
			_, err := s.Token(t.Context(), kept.ID)
			wantError(t, err, nil)
			if next := newToken(t, s, iot.Token{User: bob.ID, Role: iot.RoleViewer}, 4); next.ID <= kept.ID {
				t.Errorf("id %d after %d", next.ID, kept.ID)
			}
		}},
		{"a token ends with the one that it was made with, however far back, and that is in the audit", func(t *testing.T, db *database) {
			s := db.prepared()
			ann := newUser(t, s, "ann")
			first := newToken(t, s, iot.Token{User: ann.ID, Role: iot.RoleViewer}, 1)
			second := newToken(t, s, iot.Token{User: ann.ID, Role: iot.RoleViewer, Parent: first.ID}, 2)
			third := newToken(t, s, iot.Token{User: ann.ID, Role: iot.RoleViewer, Parent: second.ID}, 3)
			kept := newToken(t, s, iot.Token{User: ann.ID, Role: iot.RoleViewer}, 4)
			ctx := iot.WithActor(t.Context(), iot.Actor{Name: "ann"})
			wantError(t, s.DeleteToken(ctx, first.ID), nil)
			left, err := s.Tokens(t.Context(), 0, 0, 9)
			wantError(t, err, nil)
			wantEqual(t, left, []iot.Token{kept})
			entries, err := s.Audit(t.Context(), iot.AuditQuery{Action: "token.delete", Limit: 9})
			wantError(t, err, nil)
			var ended []string
			for _, e := range entries {
				ended = append(ended, e.Object)
			}
			wantEqual(t, ended, []string{fmt.Sprint("token/", third.ID), fmt.Sprint("token/", second.ID), fmt.Sprint("token/", first.ID)})
			_, err = s.CreateToken(t.Context(), iot.Token{User: ann.ID, Role: iot.RoleViewer, Parent: first.ID}, iot.Secret{5})
			wantError(t, err, iot.ErrInvalid)
		}},
		{"a new password ends a user's sessions, and nothing else does", func(t *testing.T, db *database) {
			s := db.prepared()
			ann, bob := newUser(t, s, "ann"), newUser(t, s, "bob")
			for i, owner := range []iot.User{ann, ann, bob} {
				newToken(t, s, iot.Token{User: owner.ID, Session: true}, byte(i))
			}
			newToken(t, s, iot.Token{User: ann.ID, Role: iot.RoleViewer}, 9)
			setAccount(t, s, ann.ID, iot.Account{Role: iot.RoleOperator, Disabled: true})
			wantEqual(t, db.count("tokens"), 4)
			setAccount(t, s, ann.ID, iot.Account{Role: iot.RoleOperator, Password: "hash"})
			wantEqual(t, db.count("tokens"), 2)
		}},
		{"no token is left of a user who is deleted while it is created", func(t *testing.T, db *database) {
			stores := []metadata.Store{db.prepared(), db.prepared()}
			for round := range 8 {
				ann := newUser(t, stores[0], fmt.Sprint("ann ", round))
				concurrently(t, 3, func(ctx context.Context, i int) error {
					if i == 0 {
						return errOf(stores[0].DeleteUser(ctx, ann.ID))
					}
					_, err := stores[1].CreateToken(ctx, iot.Token{User: ann.ID, Role: iot.RoleViewer}, iot.Secret{byte(round), byte(i)})
					if errors.Is(err, iot.ErrInvalid) {
						return nil
					}
					return err
				})
			}
			wantEqual(t, db.count("tokens"), 0)
		}},
		{"what has expired is removed, some at a time", func(t *testing.T, db *database) {
			s := db.prepared()
			ann := newUser(t, s, "ann")
			newDevice(t, s, iot.Device{ID: 7, Name: "x", Owner: ann.ID})
			for i, expires := range []time.Time{noon, noon.Add(time.Hour), {}} {
				newToken(t, s, iot.Token{User: ann.ID, Role: iot.RoleViewer, ExpiresAt: expires}, byte(i))
				newCredential(t, s, iot.Credential{Type: iot.CredentialCertificate, Name: fmt.Sprint("gateway ", i), ExpiresAt: expires})
				_, err := s.CreateProvisioningKey(t.Context(), iot.ProvisioningKey{Uses: 1, ExpiresAt: expires}, iot.Secret{byte(i)})
				wantError(t, err, nil)
			}
			actor := iot.WithActor(t.Context(), iot.Actor{Name: "ann"})
			wantError(t, s.RemoveExpired(actor, noon.Add(time.Minute)), nil)
			for _, table := range []string{"tokens", "device_credentials", "provisioning_keys"} {
				wantEqual(t, db.count(table), 2)
			}
			wantEqual(t, db.count("audit"), 0)

			const many = 10_500 // more than a call removes
			row := "(0, 'x', '', '', 'x', 'x', 'x')"
			db.exec("INSERT INTO audit (recorded_at, actor, token, address, noun, action, object) VALUES " + row + strings.Repeat(","+row, many-1))
			wantError(t, s.RecordAudit(t.Context(), iot.AuditEntry{Action: "log-in.create"}), nil)
			wantError(t, s.RemoveExpired(t.Context(), time.Now()), nil)
			if left := db.count("audit"); left == 1 || left == many+1 {
				t.Errorf("%d of %d entries are left", left, many)
			}
			wantError(t, s.RemoveExpired(t.Context(), time.Now()), nil)
			wantEqual(t, db.count("audit"), 1)
		}},
	}
}

func setAccount(t *testing.T, s metadata.Store, user int64, a iot.Account) {
	t.Helper()
	wantError(t, updateAccount(t.Context(), s, user, a), nil)
}

// updateAccount has the user do what a says, and nothing else.
func updateAccount(ctx context.Context, s metadata.Store, user int64, a iot.Account) error {
	_, _, err := s.UpdateAccount(ctx, user, iot.AccountChange{Role: &a.Role, Password: &a.Password, Disabled: &a.Disabled})
	return err
}

func findAccount(t *testing.T, s metadata.Store, user int64) iot.Account {
	t.Helper()
	a, err := s.Account(t.Context(), user)
	wantError(t, err, nil)
	return a
}

// newToken creates a token whose secret begins with that byte.
func newToken(t *testing.T, s metadata.Store, token iot.Token, secret byte) iot.Token {
	t.Helper()
	created, err := s.CreateToken(t.Context(), token, iot.Secret{secret})
	wantError(t, err, nil)
	return created
}

func newCredential(t *testing.T, s metadata.Store, c iot.Credential) iot.Credential {
	t.Helper()
	created, err := s.CreateCredential(t.Context(), c)
	wantError(t, err, nil)
	return created
}
