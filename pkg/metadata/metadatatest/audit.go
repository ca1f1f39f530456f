package metadatatest

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/telltale-iot/telltale/pkg/iot"
	"github.com/telltale-iot/telltale/pkg/metadata"
)

var ann = iot.Actor{Name: "ann", Token: "Ann's laptop", Address: "192.0.2.1"}

// deed is a change, and the entry of it: the action, the object, and the rows without when they were created.
type deed struct {
	do                    func(ctx context.Context) error
	action, object        string
	before, after         string
	alsoAction, alsoAfter string // of the entry before that, where there are two
}

// audit is about who did what.
func audit() []promise {
	return []promise{
		{"each change is recorded once, with who did it and both rows, and none by nobody", func(t *testing.T, db *database) {
			s := db.prepared()
			for _, d := range deeds(t, s) {
				actor := iot.WithActor(t.Context(), ann)
				old := entries(t, s, iot.AuditQuery{Limit: 1000})
				if err := d.do(actor); err != nil {
					t.Fatalf("%s of %s: %v", d.action, d.object, err)
				}
				all := entries(t, s, iot.AuditQuery{Limit: 1000})
				added := all[:len(all)-len(old)]
				want := 1
				if d.alsoAction != "" {
					want = 2
					wantEntry(t, added[len(added)-1], d.alsoAction, added[len(added)-1].Object, "", d.alsoAfter)
				}
				if len(added) != want {
					t.Fatalf("%s of %s: %d entries", d.action, d.object, len(added))
				}
				wantEntry(t, added[0], d.action, d.object, d.before, d.after)
			}
			n := db.count("audit")
			for _, d := range deeds(t, db.emptied()) {
				wantError(t, d.do(t.Context()), nil)
			}
			wantEqual(t, db.count("audit"), n)
			for _, e := range entries(t, s, iot.AuditQuery{Limit: 1000}) {
				for _, secret := range secrets {
					if text := fmt.Sprintf("%s %s", e.Before, e.After); strings.Contains(text, secret) {
						t.Errorf("%s has the secret %s: %s", e.Action, secret, text)
					}
				}
			}
		}},
		{"nothing is recorded of what fails, or changes nothing", func(t *testing.T, db *database) {
			s := db.prepared()
			bob := newUser(t, s, "bob")
			newDevice(t, s, iot.Device{ID: 7, Name: "x", Owner: bob.ID})
			newToken(t, s, iot.Token{User: bob.ID, Role: iot.RoleViewer}, 1)
			newCredential(t, s, password("7", 7, 1))
			setAccount(t, s, bob.ID, iot.Account{Role: iot.RoleAdmin})
			_, err := s.CreateProvisioningKey(t.Context(), iot.ProvisioningKey{Uses: 1}, iot.Secret{1})
			wantError(t, err, nil)
			ctx := iot.WithActor(t.Context(), ann)
			for name, call := range calls(s) { // of which most find nothing
				if slices.Contains([]string{"CreateUser", "CreateAccount", "LogInAs", "EnsureDevices", "CreateProvisioningKey", "RecordAudit"}, name) {
					continue
				}
				_ = call(ctx)
			}
			for name, call := range map[string]func() error{
				"user":        func() error { _, err := s.CreateUser(ctx, iot.User{Username: "bob"}); return err },
				"user's name": func() error { _, err := s.UpdateUser(ctx, bob.ID, iot.UserChange{Username: ptr("")}); return err },
				"last admin":  func() error { return errOf(s.DeleteUser(ctx, bob.ID)) },
				"last role":   func() error { return updateAccount(ctx, s, bob.ID, iot.Account{Role: iot.RoleViewer}) },
				"device":      func() error { _, err := s.CreateDevice(ctx, iot.Device{ID: 7, Name: "x", Owner: bob.ID}); return err },
				"device's owner": func() error {
					_, _, err := s.UpdateDevice(ctx, 7, iot.DeviceChange{Owner: ptr(int64(404))})
					return err
				},
				"token": func() error {
					_, err := s.CreateToken(ctx, iot.Token{User: bob.ID, Role: iot.RoleViewer}, iot.Secret{1})
					return err
				},
				"credential": func() error { _, err := s.CreateCredential(ctx, password("7", 7, 1)); return err },
				"enrolled already": func() error {
					_, err := s.Enroll(ctx, iot.Secret{1}, iot.Identity{ID: 7}, password("7", 7, 2))
					return err
				},
			} {
				if err := call(); err == nil {
					t.Errorf("%s: no error", name)
				}
			}
			for name, call := range map[string]func() error{
				"user":    func() error { _, err := s.UpdateUser(ctx, bob.ID, iot.UserChange{Username: ptr("bob")}); return err },
				"account": func() error { return updateAccount(ctx, s, bob.ID, iot.Account{Role: iot.RoleAdmin}) },
				"device": func() error {
					_, _, err := s.UpdateDevice(ctx, 7, iot.DeviceChange{Name: ptr("x"), Location: ptr("")})
					return err
				},
				"nothing": func() error { _, _, err := s.UpdateDevice(ctx, 7, iot.DeviceChange{}); return err },
			} {
				if err := call(); err != nil {
					t.Errorf("%s: %v", name, err)
				}
			}
			wantEqual(t, len(entries(t, s, iot.AuditQuery{Limit: 9})), 0)
		}},
		{"a change that cannot be recorded is not made", func(t *testing.T, db *database) {
			s := db.prepared()
			bob := newUser(t, s, "bob")
			newDevice(t, s, iot.Device{ID: 7, Name: "x", Owner: bob.ID})
			db.exec("DROP TABLE audit")
			ctx := iot.WithActor(t.Context(), ann)
			_, err := s.CreateUser(ctx, iot.User{Username: "eve"})
			wantOutage(t, err)
			_, err = s.CreateAccount(ctx, iot.User{Username: "eve"}, iot.Account{Role: iot.RoleAdmin})
			wantOutage(t, err)
			wantOutage(t, updateAccount(ctx, s, bob.ID, iot.Account{Role: iot.RoleAdmin}))
			_, _, err = s.UpdateDevice(ctx, 7, iot.DeviceChange{Name: ptr("y")})
			wantOutage(t, err)
			wantOutage(t, errOf(s.DeleteDevice(ctx, 7)))
			_, err = s.UserCalled(t.Context(), "eve")
			wantError(t, err, iot.ErrNotFound)
			wantEqual(t, findAccount(t, s, bob.ID), iot.Account{Role: iot.RoleViewer})
			wantEqual(t, findDevice(t, s, 7).Name, "x")
		}},
		{"of changes by several processes at once, each is recorded as what it changed", func(t *testing.T, db *database) {
			stores := []metadata.Store{db.prepared(), db.prepared()}
			bob := newUser(t, stores[0], "bob")
			newDevice(t, stores[0], iot.Device{ID: 7, Name: "0", Owner: bob.ID})
			concurrently(t, 4, func(ctx context.Context, i int) error {
				for round := range 5 {
					name := fmt.Sprintf("%d.%d", i, round)
					if _, _, err := stores[i%2].UpdateDevice(iot.WithActor(ctx, ann), 7, iot.DeviceChange{Name: &name}); err != nil {
						return err
					}
				}
				return nil
			})
			all := entries(t, stores[0], iot.AuditQuery{Limit: 100})
			wantEqual(t, len(all), 20)
			for i, e := range all[1:] {
				wantEqual(t, string(all[i].Before), string(e.After))
			}
		}},
		{"entries are selected, newest first, in pages", func(t *testing.T, db *database) {
			s := db.prepared()
			bob := iot.Actor{Name: "bob"}
			for _, e := range []iot.AuditEntry{
				{Actor: ann, Action: "device.update", Object: "device/7"},
				{Actor: bob, Action: "device.delete", Object: "device/7"},
				{Actor: ann, Action: "device-x.update", Object: "device/70"},
				{Actor: ann, Action: "log-in.refuse", Object: "user/ann"},
				{Actor: ann, Action: "device.update", Object: "device/8"},
			} {
				wantError(t, s.RecordAudit(t.Context(), e), nil)
			}
			all := entries(t, s, iot.AuditQuery{Limit: 9})
			now := time.Now()
			for _, tt := range []struct {
				query iot.AuditQuery
				want  []int // of all
			}{
				{iot.AuditQuery{Limit: 2}, []int{0, 1}},
				{iot.AuditQuery{Limit: 2, Before: all[1].ID}, []int{2, 3}},
				{iot.AuditQuery{Limit: 9, Actor: "bob"}, []int{3}},
				{iot.AuditQuery{Limit: 9, Actor: "ann", Before: all[0].ID}, []int{1, 2, 4}},
				{iot.AuditQuery{Limit: 9, Action: "device"}, []int{0, 3, 4}},
				{iot.AuditQuery{Limit: 9, Action: "device.update"}, []int{0, 4}},
				{iot.AuditQuery{Limit: 9, Action: "device.update", Object: "device/7"}, []int{4}},
				{iot.AuditQuery{Limit: 9, Object: "device/7"}, []int{3, 4}},
				{iot.AuditQuery{Limit: 9, From: now.Add(-time.Hour), To: now.Add(time.Hour)}, []int{0, 1, 2, 3, 4}},
				{iot.AuditQuery{Limit: 9, From: now.Add(time.Hour)}, nil},
				{iot.AuditQuery{Limit: 9, To: now.Add(-time.Hour)}, nil},
				{iot.AuditQuery{Limit: 9, To: all[4].At}, nil},
				{iot.AuditQuery{Limit: 9, Actor: "' OR 1=1 --"}, nil},
			} {
				var want []iot.AuditEntry
				for _, i := range tt.want {
					want = append(want, all[i])
				}
				wantEqual(t, entries(t, s, tt.query), want)
			}
			_, err := s.Audit(t.Context(), iot.AuditQuery{})
			wantError(t, err, iot.ErrInvalid)
		}},
		{"an entry of what is no change of the store is kept as far as it can be", func(t *testing.T, db *database) {
			s := db.prepared()
			long := strings.Repeat("ä", 300)
			wantError(t, s.RecordAudit(t.Context(), iot.AuditEntry{
				ID: 99, At: noon, Actor: iot.Actor{Name: "a\x00\xff" + long, Token: long, Address: long},
				Action: "log-in.refuse", Object: "user/" + long, After: json.RawMessage(`{"why": "a wrong \"password\" \\ \u0000"}`),
			}), nil)
			e := entries(t, s, iot.AuditQuery{Limit: 1})[0]
			wantFresh(t, e.At)
			wantEqual(t, e, iot.AuditEntry{
				ID: e.ID, At: e.At, Actor: iot.Actor{Name: "a\uFFFD\uFFFD" + long[:2*252], Token: long[:2*255], Address: long[:2*255]},
				Action: "log-in.refuse", Object: "user/" + long[:2*250], After: json.RawMessage(`{"why": "a wrong \"password\" \\ \u0000"}`),
			})
			for _, bad := range []string{"", "{", "\"\xff\"", `"` + strings.Repeat("x", 1<<20) + `"`} {
				wantError(t, s.RecordAudit(t.Context(), iot.AuditEntry{Action: "x.y", Before: json.RawMessage(bad)}), iot.ErrInvalid)
			}
		}},
	}
}

// hash is of a password, and secrets are what must not be in the audit.
var (
	hash    = "$argon2id$hash"
	secrets = []string{hash, hex.EncodeToString([]byte{77, 31: 1})[:4], "secret"}
)

// deeds are one of each change, on an empty store, each of which needs those before it.
func deeds(t *testing.T, s metadata.Store) []deed {
	t.Helper()
	const (
		user       = `{"id":1,"username":"bob","email":"b@x","role":"viewer","disabled":false,"has_password":false}`
		renamed    = `{"id":1,"username":"rob","email":"b@x","role":"viewer","disabled":false,"has_password":false}`
		operator   = `{"id":1,"username":"rob","email":"b@x","role":"operator","disabled":true,"has_password":true`
		eve        = `{"id":2,"username":"eve","email":""`
		device     = `{"id":7,"name":"x","user":1,"location":"","offline_after":0}`
		moved      = `{"id":7,"name":"x","user":1,"location":"attic","offline_after":60}`
		token      = `{"id":1,"user":1,"name":"t","role":"viewer","devices":[7],"expires_at":null}`
		session    = `{"id":2,"user":1,"name":"","role":"","devices":null,"expires_at":"2026-03-01T12:00:00.123Z"}`
		credential = `{"id":1,"type":"password","username":"7","device":7,"expires_at":null}`
		gateway    = `{"id":2,"type":"password","username":"g","devices":[7,8],"expires_at":null}`
		key        = `{"id":1,"name":"k","user":1,"uses":9,"devices":null,"expires_at":null}`
		used       = `{"id":1,"name":"k","user":1,"uses":8,"devices":null,"expires_at":null}`
	)
	return []deed{
		{do: func(ctx context.Context) error {
			_, err := s.CreateUser(ctx, iot.User{Username: "bob", Email: "b@x"})
			return err
		}, action: "user.create", object: "user/1", after: user},
		{do: func(ctx context.Context) error {
			_, err := s.UpdateUser(ctx, 1, iot.UserChange{Username: ptr("rob")})
			return err
		}, action: "user.update", object: "user/1", before: user, after: renamed},
		{do: func(ctx context.Context) error {
			return updateAccount(ctx, s, 1, iot.Account{Role: iot.RoleOperator, Password: hash, Disabled: true})
		}, action: "account.update", object: "user/1", before: renamed, after: operator + `,"new_password":true}`},
		{do: func(ctx context.Context) error {
			_, err := s.CreateDevice(ctx, iot.Device{ID: 7, Name: "x", Owner: 1})
			return err
		}, action: "device.create", object: "device/7", after: device},
		{do: func(ctx context.Context) error {
			_, _, err := s.UpdateDevice(ctx, 7, iot.DeviceChange{Location: ptr("attic"), OfflineAfter: ptr(time.Minute)})
			return err
		}, action: "device.update", object: "device/7", before: device, after: moved},
		{do: func(ctx context.Context) error {
			_, err := s.CreateToken(ctx, iot.Token{User: 1, Name: "t", Role: iot.RoleViewer, Devices: []iot.DeviceID{7}}, iot.Secret{77, 31: 1})
			return err
		}, action: "token.create", object: "token/1", after: token},
		{do: func(ctx context.Context) error {
			_, err := s.CreateToken(ctx, iot.Token{User: 1, Session: true, ExpiresAt: noon}, iot.Secret{77, 31: 2})
			return err
		}, action: "session.create", object: "session/2", after: session},
		{do: func(ctx context.Context) error {
			return updateAccount(ctx, s, 1, iot.Account{Role: iot.RoleOperator, Password: hash + "2", Disabled: true})
		}, action: "account.update", object: "user/1", before: operator + "}", after: operator + `,"new_password":true,"sessions_ended":1}`},
		{do: func(ctx context.Context) error {
			return s.DeleteToken(ctx, 1)
		}, action: "token.delete", object: "token/1", before: token},
		{do: func(ctx context.Context) error {
			_, err := s.CreateCredential(ctx, password("7", 7, 77))
			return err
		}, action: "credential.create", object: "credential/1", after: credential},
		{do: func(ctx context.Context) error {
			c := password("g", 0, 78)
			c.Devices = []iot.DeviceID{7, 8}
			_, err := s.CreateCredential(ctx, c)
			return err
		}, action: "credential.create", object: "credential/2", after: gateway},
		{do: func(ctx context.Context) error {
			return s.DeleteCredential(ctx, 2)
		}, action: "credential.delete", object: "credential/2", before: gateway},
		{do: func(ctx context.Context) error {
			_, err := s.CreateProvisioningKey(ctx, iot.ProvisioningKey{Name: "k", Owner: 1, Uses: 9}, iot.Secret{77, 31: 1})
			return err
		}, action: "provisioning-key.create", object: "provisioning-key/1", after: key},
		{
			do: func(ctx context.Context) error {
				_, err := s.Enroll(ctx, iot.Secret{77, 31: 1}, iot.Identity{ID: 8}, password("8", 8, 79))
				return err
			}, action: "credential.create", object: "credential/3",
			after:      `{"id":3,"type":"password","username":"8","device":8,"expires_at":null,"provisioning_key":1}`,
			alsoAction: "device.create", alsoAfter: `{"id":8,"name":"Device 8","user":1,"location":"","offline_after":0}`,
		},
		{do: func(ctx context.Context) error {
			return s.DeleteProvisioningKey(ctx, 1)
		}, action: "provisioning-key.delete", object: "provisioning-key/1", before: used},
		{do: func(ctx context.Context) error {
			return errOf(s.DeleteDevice(ctx, 7))
		}, action: "device.delete", object: "device/7", before: strings.TrimSuffix(moved, "}") + `,"credentials":[1]}`},
		{
			do: func(ctx context.Context) error { return errOf(s.DeleteUser(ctx, 1)) }, action: "user.delete", object: "user/1",
			before: operator + `,"gone":{"devices":1,"credentials":1,"tokens":0,"provisioning_keys":0}}`,
		},
		{do: func(ctx context.Context) error {
			_, err := s.CreateAccount(ctx, iot.User{Username: "eve"}, iot.Account{Role: iot.RoleMember, Password: hash})
			return err
		}, action: "user.create", object: "user/2", after: eve + `,"role":"member","disabled":false,"has_password":true}`},
		{do: func(ctx context.Context) error {
			_, _, err := s.UpdateAccount(ctx, 2, iot.AccountChange{UserChange: iot.UserChange{Email: ptr("e@x")}, Disabled: ptr(true)})
			return err
		}, action: "account.update", object: "user/2", before: eve + `,"role":"member","disabled":false,"has_password":true}`,
			after: `{"id":2,"username":"eve","email":"e@x","role":"member","disabled":true,"has_password":true}`},
	}
}

// emptied returns a store like that of a database that is new, but for the audit.
func (db *database) emptied() metadata.Store {
	db.t.Helper()
	db.exec("DROP TABLE tokens", "DROP TABLE device_credentials", "DROP TABLE provisioning_keys", "DROP TABLE devices", "DROP TABLE users")
	return db.prepared()
}

func entries(t *testing.T, s metadata.Store, q iot.AuditQuery) []iot.AuditEntry {
	t.Helper()
	found, err := s.Audit(t.Context(), q)
	wantError(t, err, nil)
	return found
}

// wantEntry checks an entry of ann's; before and after are rows but for when they were created, "" where there is none.
func wantEntry(t *testing.T, e iot.AuditEntry, action, object, before, after string) {
	t.Helper()
	wantFresh(t, e.At)
	wantEqual(t, e.Actor, ann)
	wantEqual(t, e.Action+" "+e.Object, action+" "+object)
	wantRow(t, e.Before, before)
	wantRow(t, e.After, after)
}

func wantRow(t *testing.T, row json.RawMessage, want string) {
	t.Helper()
	if want == "" {
		wantEqual(t, row, json.RawMessage(nil))
		return
	}
	var got, expected map[string]any
	wantError(t, json.Unmarshal(row, &got), nil)
	wantError(t, json.Unmarshal([]byte(want), &expected), nil)
	delete(got, "created_at")
	wantEqual(t, got, expected)
}
