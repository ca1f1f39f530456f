package metadatatest

import (
	"context"
	"testing"

	"github.com/telltale-iot/telltale/pkg/iot"
)

// beforeAccess is about databases that a program of before there were accounts has made, or works with at the same time.
func beforeAccess() []promise {
	wantMoved := func(t *testing.T, s iot.AccessStore, want bool) {
		t.Helper()
		moved, err := s.Moved(t.Context())
		wantError(t, err, nil)
		wantEqual(t, moved, want)
	}
	return []promise{
		{"a new database has not moved, and never will have", func(t *testing.T, db *database) {
			s := db.prepared()
			wantMoved(t, s, false)
			ensure(t, s, 1, 7)
			wantMoved(t, db.prepared(), false)
			db.exec("DELETE FROM metadata_version WHERE version_id > 0") // as programs of today and before do where a table is missing
			wantMoved(t, db.prepared(), false)
		}},
		{"a database of before accounts has moved, and keeps everything", func(t *testing.T, db *database) {
			users, devices := db.prepareBeforeAccess()
			for range 2 {
				s := db.prepared()
				wantMoved(t, s, true)
				wantEqual(t, allDevices(t, s), devices)
				found, err := s.Users(t.Context(), iot.UserQuery{Limit: 9})
				wantError(t, err, nil)
				wantEqual(t, found, users)
				for _, u := range users {
					wantEqual(t, findAccount(t, s, u.ID), iot.Account{Role: iot.RoleViewer})
				}
			}
		}},
		{"so has one that is empty, or has lost its versions", func(t *testing.T, db *database) {
			db.prepareBeforeAccess()
			db.exec("DELETE FROM devices", "DELETE FROM users")
			wantMoved(t, db.prepared(), true)
			db.prepareBeforeAccess()
			db.exec("DROP TABLE metadata_version")
			wantMoved(t, db.prepared(), true)
		}},
		{"one that is settled has moved no more, and that is in the audit once", func(t *testing.T, db *database) {
			db.prepareBeforeAccess()
			s := db.prepared()
			wantMoved(t, s, true)
			ctx := iot.WithActor(t.Context(), iot.Actor{Name: "system"})
			for range 2 {
				wantError(t, s.Settle(ctx), nil)
				wantMoved(t, s, false)
			}
			entries, err := s.Audit(t.Context(), iot.AuditQuery{Action: "site", Limit: 9})
			wantError(t, err, nil)
			wantEqual(t, len(entries), 1)
			wantMoved(t, db.prepared(), false)
		}},
		{"eight processes bring it up to date at once, and agree that it has moved", func(t *testing.T, db *database) {
			_, devices := db.prepareBeforeAccess()
			concurrently(t, 8, func(ctx context.Context, _ int) error { return db.open().Prepare(ctx) })
			s := db.prepared()
			wantMoved(t, s, true)
			wantEqual(t, allDevices(t, s), devices)
		}},
		{"eight processes prepare a new one at once, and agree that it has not", func(t *testing.T, db *database) {
			concurrently(t, 8, func(ctx context.Context, _ int) error { return db.open().Prepare(ctx) })
			wantMoved(t, db.prepared(), false)
		}},
		{"a program of before accounts goes on beside one of today", func(t *testing.T, db *database) {
			_, devices := db.prepareBeforeAccess()
			s := db.prepared()
			db.exec("INSERT INTO users (username, email, created_at) VALUES ('eve', 'eve@example.com', '2026-03-01 12:00:00')")
			db.registerBefore("9")
			eve, err := s.UserCalled(t.Context(), "eve")
			wantError(t, err, nil)
			wantEqual(t, findAccount(t, s, eve.ID), iot.Account{Role: iot.RoleViewer})
			wantEqual(t, len(allDevices(t, s)), len(devices)+1)
			newCredential(t, s, password("9", 9, 1))
			db.exec("DELETE FROM devices WHERE id = 9")
			setAccount(t, s, eve.ID, iot.Account{Role: iot.RoleAdmin})
		}},
		{"nobody gets in by a table site that is dropped", func(t *testing.T, db *database) {
			s := db.prepared()
			ensure(t, s, 1, 7)
			for _, loss := range []string{"DROP TABLE site", "DELETE FROM site"} {
				db.exec(loss)
				wantOutage(t, s.Check(t.Context()))
				_, err := s.Moved(t.Context())
				wantOutage(t, err)
				wantError(t, s.Prepare(t.Context()), nil)
				wantMoved(t, s, false)
			}
		}},
		{"a user who gets the id of one whose table was dropped gets none of his tokens", func(t *testing.T, db *database) {
			s := db.prepared()
			ann := newUser(t, s, "ann")
			newToken(t, s, iot.Token{User: ann.ID, Role: iot.RoleViewer}, 1)
			_, err := s.CreateProvisioningKey(t.Context(), iot.ProvisioningKey{Owner: ann.ID, Uses: 1}, iot.Secret{1})
			wantError(t, err, nil)
			db.together(db.DropUsers)
			wantError(t, s.Prepare(t.Context()), nil)
			wantEqual(t, newUser(t, s, "eve").ID, ann.ID)
			_, _, _, err = s.TokenOf(t.Context(), iot.Secret{1})
			wantError(t, err, iot.ErrNotFound)
			wantEqual(t, db.count("provisioning_keys"), 0)
		}},
	}
}

// prepareBeforeAccess prepares the tables as a program does that knows of no accounts, with users and devices, which it returns.
func (db *database) prepareBeforeAccess() ([]iot.User, []iot.Device) {
	db.t.Helper()
	s := db.openUnclosed()
	if err := s.Prepare(db.t.Context()); err != nil {
		db.t.Fatal(err)
	}
	if _, err := s.EnsureDevices(db.t.Context(), []iot.Identity{{ID: 7}, keyed("kitchen-1")}, iot.Admission{}); err != nil {
		db.t.Fatal(err)
	}
	devices, err := s.Devices(db.t.Context(), iot.DeviceQuery{Limit: 9})
	if err != nil {
		db.t.Fatal(err)
	}
	users, err := s.Users(db.t.Context(), iot.UserQuery{Limit: 9})
	if err != nil {
		db.t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		db.t.Fatal(err)
	}
	db.exec("DROP TABLE tokens", "DROP TABLE device_credentials", "DROP TABLE provisioning_keys", "DROP TABLE audit", "DROP TABLE site",
		"ALTER TABLE users DROP COLUMN role", "ALTER TABLE users DROP COLUMN password_hash", "ALTER TABLE users DROP COLUMN disabled_at",
		"ALTER TABLE devices DROP COLUMN shut_out_at", "DELETE FROM metadata_version WHERE version_id > 4")
	return users, devices
}
