package metadatatest

import (
	"context"
	"database/sql/driver"
	"strings"
	"testing"
	"time"

	"github.com/telltale-iot/telltale/pkg/iot"
	"github.com/telltale-iot/telltale/pkg/metadata"
)

func preparation() []promise {
	return []promise{
		{"eight processes prepare an empty database at once", func(t *testing.T, db *database) {
			var stores []metadata.Store
			for range 8 {
				stores = append(stores, db.open())
			}
			concurrently(t, len(stores), func(ctx context.Context, i int) error {
				if err := stores[i].Prepare(ctx); err != nil {
					return err
				}
				_, err := stores[i].EnsureDevices(ctx, []iot.Identity{{ID: 1}}, iot.Admission{})
				return err
			})
			wantEqual(t, len(allDevices(t, stores[0])), 1)
		}},
		{"one store prepares eight times at once", func(t *testing.T, db *database) {
			s := db.open()
			concurrently(t, 8, func(ctx context.Context, _ int) error { return s.Prepare(ctx) })
			newUser(t, s, "ann")
		}},
		{"eight processes bring older tables up to date at once, each step once", func(t *testing.T, db *database) {
			db.prepared()
			db.exec("DROP TABLE device_ids", "DROP TABLE devices", "DROP TABLE users",
				"DELETE FROM metadata_version WHERE version_id > 0")
			var stores []metadata.Store
			for range 8 {
				stores = append(stores, db.open())
			}
			concurrently(t, len(stores), func(ctx context.Context, i int) error { return stores[i].Prepare(ctx) })
			var steps int
			err := db.SQL.QueryRow("SELECT COUNT(*) FROM metadata_version WHERE version_id = 1").Scan(&steps)
			if err != nil || steps != 1 {
				t.Fatalf("step 1 was recorded %d times, %v", steps, err)
			}
			newUser(t, stores[0], "ann")
		}},
		{"tables of a newer program are left as they are, and work", func(t *testing.T, db *database) {
			db.prepared()
			db.exec("INSERT INTO metadata_version (version_id, is_applied) VALUES (99, TRUE)")
			newUser(t, db.prepared(), "ann")
		}},
		{"preparing again keeps everything", func(t *testing.T, db *database) {
			s := db.prepared()
			ann := newUser(t, s, "ann")
			d := newDevice(t, s, iot.Device{Name: "x", Owner: ann.ID})
			if err := s.Prepare(t.Context()); err != nil {
				t.Fatal(err)
			}
			wantEqual(t, findUser(t, s, ann.ID), ann)
			wantEqual(t, allDevices(t, s), []iot.Device{d})
		}},
		{"a store that is opened again has everything, and goes on with its ids", func(t *testing.T, db *database) {
			first := db.openUnclosed()
			if err := first.Prepare(t.Context()); err != nil {
				t.Fatal(err)
			}
			ann := newUser(t, first, "ann")
			kept := newDevice(t, first, iot.Device{Name: "x", Owner: ann.ID, Location: "attic"})
			gone := newDevice(t, first, iot.Device{Name: "y", Owner: ann.ID})
			if _, err := first.DeleteDevice(t.Context(), gone.ID); err != nil {
				t.Fatal(err)
			}
			if err := first.Close(); err != nil {
				t.Fatal(err)
			}
			second := db.prepared()
			wantEqual(t, findUser(t, second, ann.ID), ann)
			wantEqual(t, allDevices(t, second), []iot.Device{kept})
			wantEqual(t, newDevice(t, second, iot.Device{Name: "z", Owner: ann.ID}).ID, gone.ID+1)
		}},
		{"a store answers Check, prepared or not", func(t *testing.T, db *database) {
			s := db.open()
			for range 2 {
				if err := s.Check(t.Context()); err != nil {
					t.Fatal(err)
				}
				if err := s.Prepare(t.Context()); err != nil {
					t.Fatal(err)
				}
			}
		}},
		{"a store that is not prepared is an outage", func(t *testing.T, db *database) {
			wantOutages(t, t.Context(), db.open())
		}},
		{"a call that is cancelled, and a closed store, are outages", func(t *testing.T, db *database) {
			s := db.openUnclosed()
			if err := s.Prepare(t.Context()); err != nil {
				t.Fatal(err)
			}
			cancelled, cancel := context.WithCancel(t.Context())
			cancel()
			wantOutages(t, cancelled, s)
			wantOutage(t, s.Prepare(cancelled))
			wantOutage(t, s.Check(cancelled))
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
			wantOutages(t, t.Context(), s)
			wantOutage(t, s.Prepare(t.Context()))
			wantOutage(t, s.Check(t.Context()))
		}},
	}
}

// wantOutages checks that every method fails with an outage.
func wantOutages(t *testing.T, ctx context.Context, s metadata.Store) {
	t.Helper()
	for name, call := range calls(s) {
		if err := call(ctx); err == nil {
			t.Errorf("%s: no error", name)
		} else {
			wantOutage(t, err)
		}
	}
}

// calls are one of each method, none of which finds what it is about.
func calls(s metadata.Store) map[string]func(context.Context) error {
	return map[string]func(context.Context) error{
		"CreateUser": func(ctx context.Context) error {
			_, err := s.CreateUser(ctx, iot.User{Username: "ann"})
			return err
		},
		"User": func(ctx context.Context) error {
			_, err := s.User(ctx, 404)
			return err
		},
		"Users": func(ctx context.Context) error {
			_, err := s.Users(ctx, iot.UserQuery{Limit: 1})
			return err
		},
		"UpdateUser": func(ctx context.Context) error {
			_, err := s.UpdateUser(ctx, 404, iot.UserChange{Email: ptr("x")})
			return err
		},
		"DeleteUser": func(ctx context.Context) error { return errOf(s.DeleteUser(ctx, 404)) },
		"CreateDevice": func(ctx context.Context) error {
			_, err := s.CreateDevice(ctx, iot.Device{Name: "x", Owner: 404})
			return err
		},
		"Device": func(ctx context.Context) error {
			_, err := s.Device(ctx, 404)
			return err
		},
		"Devices": func(ctx context.Context) error {
			_, err := s.Devices(ctx, iot.DeviceQuery{Limit: 1})
			return err
		},
		"UpdateDevice": func(ctx context.Context) error {
			_, _, err := s.UpdateDevice(ctx, 404, iot.DeviceChange{Name: ptr("x")})
			return err
		},
		"DeleteDevice": func(ctx context.Context) error { return errOf(s.DeleteDevice(ctx, 404)) },
		"EnsureDevices": func(ctx context.Context) error {
			_, err := s.EnsureDevices(ctx, []iot.Identity{{ID: 404}}, iot.Admission{})
			return err
		},
		"KeepContacts": func(ctx context.Context) error {
			return s.KeepContacts(ctx, []iot.Contact{{Device: 404, At: time.Now()}})
		},
		"UserCalled": func(ctx context.Context) error { _, err := s.UserCalled(ctx, "nobody"); return err },
		"Account":    func(ctx context.Context) error { _, err := s.Account(ctx, 404); return err },
		"CreateAccount": func(ctx context.Context) error {
			_, err := s.CreateAccount(ctx, iot.User{Username: "bob"}, iot.Account{Role: iot.RoleViewer})
			return err
		},
		"UpdateAccount": func(ctx context.Context) error { return updateAccount(ctx, s, 404, iot.Account{Role: iot.RoleAdmin}) },
		"LogInAs": func(ctx context.Context) error {
			_, _, err := s.LogInAs(ctx, iot.Secret{9}, "somebody", "", "")
			return err
		},
		"CreateToken": func(ctx context.Context) error {
			_, err := s.CreateToken(ctx, iot.Token{User: 404, Role: iot.RoleViewer}, iot.Secret{9})
			return err
		},
		"TokenOf":       func(ctx context.Context) error { _, _, _, err := s.TokenOf(ctx, iot.Secret{9}); return err },
		"Tokens":        func(ctx context.Context) error { _, err := s.Tokens(ctx, 404, 0, 1); return err },
		"Token":         func(ctx context.Context) error { _, err := s.Token(ctx, 404); return err },
		"DeleteToken":   func(ctx context.Context) error { return s.DeleteToken(ctx, 404) },
		"UseToken":      func(ctx context.Context) error { return s.UseToken(ctx, 404, noon, noon) },
		"RemoveExpired": func(ctx context.Context) error { return s.RemoveExpired(ctx, noon) },
		"CreateCredential": func(ctx context.Context) error {
			_, err := s.CreateCredential(ctx, password("404", 404, 9))
			return err
		},
		"Credentials": func(ctx context.Context) error {
			_, err := s.Credentials(ctx, iot.CredentialQuery{Device: 404, Limit: 1})
			return err
		},
		"Credential":       func(ctx context.Context) error { _, err := s.Credential(ctx, 404); return err },
		"DeleteCredential": func(ctx context.Context) error { return s.DeleteCredential(ctx, 404) },
		"CreateProvisioningKey": func(ctx context.Context) error {
			_, err := s.CreateProvisioningKey(ctx, iot.ProvisioningKey{Uses: 1}, iot.Secret{9})
			return err
		},
		"ProvisioningKeys":      func(ctx context.Context) error { _, err := s.ProvisioningKeys(ctx); return err },
		"DeleteProvisioningKey": func(ctx context.Context) error { return s.DeleteProvisioningKey(ctx, 404) },
		"Enroll": func(ctx context.Context) error {
			_, err := s.Enroll(ctx, iot.Secret{99}, iot.Identity{ID: 404}, password("404", 404, 9))
			return err
		},
		"Unenroll":    func(ctx context.Context) error { return s.Unenroll(ctx, iot.Secret{99}, 404) },
		"Audit":       func(ctx context.Context) error { _, err := s.Audit(ctx, iot.AuditQuery{Limit: 1}); return err },
		"RecordAudit": func(ctx context.Context) error { return s.RecordAudit(ctx, iot.AuditEntry{Action: "x.y"}) },
		"Moved":       func(ctx context.Context) error { _, err := s.Moved(ctx); return err },
	}
}

// RunLocked tests that a store whose tables another process prepares says so instead of waiting silently.
// lock is what such a process runs first, on db.
func RunLocked(t *testing.T, db Database, lock string) {
	t.Parallel() // it waits for longer than the others together
	other, err := db.SQL.Conn(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = other.Close() }()
	var locked int
	if err := other.QueryRowContext(t.Context(), lock).Scan(&locked); err != nil || locked != 1 {
		t.Fatalf("%d, %v", locked, err)
	}
	s := (&database{db, t}).open()
	began := time.Now()
	err = s.Prepare(t.Context())
	if took := time.Since(began); err == nil || !strings.Contains(err.Error(), "another process") || took > 25*time.Second {
		t.Errorf("error %v after %v", err, took)
	}
	_ = other.Raw(func(any) error { return driver.ErrBadConn }) // the other process ends
	if err := s.Prepare(t.Context()); err != nil {
		t.Errorf("when the other has ended: %v", err)
	}
}
