package metadatatest

import (
	"context"
	"slices"
	"strings"
	"testing"

	"github.com/telltale-iot/telltale/pkg/iot"
)

// dropped is about tables that somebody drops while a store uses them. The store says so, and Prepare makes them
// again, as it does after a restart.
func dropped() []promise {
	drops := []struct {
		name       string
		statements []string
		lost       []string // tables, of which Check names one
	}{
		{"devices are dropped", []string{"DROP TABLE devices"}, []string{"devices"}},
		{"contacts are dropped", []string{"DROP TABLE device_contacts"}, []string{"device_contacts"}},
		{"the state of ids is dropped", []string{"DROP TABLE device_ids"}, []string{"device_ids"}},
		{"the state of ids is emptied", []string{"DELETE FROM device_ids"}, []string{"device_ids"}},
		{"all but the versions are dropped", []string{"DROP TABLE devices", "DROP TABLE users", "DROP TABLE device_ids"}, []string{"devices", "users", "device_ids"}},
		{"all is dropped", []string{"DROP TABLE devices", "DROP TABLE users", "DROP TABLE device_ids", "DROP TABLE metadata_version"}, []string{"devices", "users", "device_ids"}},
		{"tokens are dropped", []string{"DROP TABLE tokens"}, []string{"tokens"}},
		{"credentials are dropped", []string{"DROP TABLE device_credentials"}, []string{"device_credentials"}},
		{"provisioning keys are dropped", []string{"DROP TABLE provisioning_keys"}, []string{"provisioning_keys"}},
		{"the audit is dropped", []string{"DROP TABLE audit"}, []string{"audit"}},
		{"the site is dropped", []string{"DROP TABLE site"}, []string{"site"}},
		{"users are dropped, whose devices are not", nil, []string{"users"}},
	}
	var promises []promise
	for _, d := range drops {
		for _, restarted := range []bool{false, true} {
			name := d.name + ", and Prepare is called again"
			if restarted {
				name = d.name + ", and the store is opened again"
			}
			promises = append(promises, promise{name, func(t *testing.T, db *database) {
				s := db.prepared()
				ann := newUser(t, s, "ann")
				newDevice(t, s, iot.Device{ID: 7, Name: "x", Owner: ann.ID})
				if d.statements == nil {
					d.statements = db.DropUsers
				}
				db.together(d.statements)
				err := s.Check(t.Context())
				if err == nil || !slices.ContainsFunc(d.lost, func(table string) bool { return strings.Contains(err.Error(), table) }) {
					t.Errorf("Check: %v, want one that names the table", err)
				}
				if restarted {
					s = db.open()
				}
				if err := s.Prepare(t.Context()); err != nil {
					t.Fatal(err)
				}
				if err := s.Check(t.Context()); err != nil {
					t.Error(err)
				}

				// All works as before: devices register themselves, users own them, and they go together.
				if _, err := s.EnsureDevices(t.Context(), []iot.Identity{{ID: 7}, {ID: 8}}, iot.Admission{}); err != nil {
					t.Fatal(err)
				}
				wantEqual(t, len(allDevices(t, s)), 2)
				for _, device := range allDevices(t, s) {
					findUser(t, s, device.Owner)
				}
				bob := newUser(t, s, "bob")
				d := newDevice(t, s, iot.Device{Name: "y", Owner: bob.ID})
				if d.ID < 9 {
					t.Errorf("the new device has the id %d", d.ID)
				}
				if _, err := s.CreateDevice(t.Context(), iot.Device{Name: "z", Owner: bob.ID + 1000}); err == nil {
					t.Error("a device of nobody was created")
				}
				if _, err := s.DeleteUser(t.Context(), bob.ID); err != nil {
					t.Fatal(err)
				}
				_, err = s.Device(t.Context(), d.ID)
				wantError(t, err, iot.ErrNotFound)
			}})
		}
	}
	return append(promises, promise{"eight processes make dropped tables at once", func(t *testing.T, db *database) {
		db.prepared()
		db.exec("DROP TABLE devices")
		concurrently(t, 8, func(ctx context.Context, i int) error {
			s := db.open()
			if err := s.Prepare(ctx); err != nil {
				return err
			}
			_, err := s.EnsureDevices(ctx, []iot.Identity{{ID: 1}}, iot.Admission{})
			return err
		})
		wantEqual(t, len(allDevices(t, db.prepared())), 1)
	}})
}

// together runs statements of which some are about those after them, on one connection.
func (db *database) together(statements []string) {
	db.t.Helper()
	conn, err := db.SQL.Conn(db.t.Context())
	if err != nil {
		db.t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	for _, statement := range statements {
		if _, err := conn.ExecContext(db.t.Context(), statement); err != nil {
			db.t.Fatalf("%s: %v", statement, err)
		}
	}
}
