package metadatatest

import (
	"context"
	"slices"
	"testing"

	"github.com/telltale-iot/telltale/pkg/iot"
	"github.com/telltale-iot/telltale/pkg/metadata"
)

// seen are devices without keys.
func seen(ids ...iot.DeviceID) []iot.Identity {
	devices := make([]iot.Identity, len(ids))
	for i, id := range ids {
		devices[i].ID = id
	}
	return devices
}

// ensure calls EnsureDevices, which is to create want devices and to find no collision.
func ensure(t *testing.T, s metadata.Store, want int, ids ...iot.DeviceID) {
	t.Helper()
	ensureSeen(t, s, iot.Ensured{Created: want}, seen(ids...)...)
}

// ensureSeen calls EnsureDevices, which is to return want.
func ensureSeen(t *testing.T, s metadata.Store, want iot.Ensured, devices ...iot.Identity) {
	t.Helper()
	got, err := s.EnsureDevices(t.Context(), devices, iot.Admission{})
	if err != nil {
		t.Fatal(err)
	}
	wantEqual(t, got, want)
}

func defaultUser(t *testing.T, s metadata.Store) iot.User {
	t.Helper()
	found, err := s.Users(t.Context(), iot.UserQuery{Username: iot.DefaultUsername, Limit: 2})
	if err != nil || len(found) != 1 {
		t.Fatalf("default user: %v, %v", found, err)
	}
	return found[0]
}

func registration() []promise {
	return []promise{
		{"a missing device is created under its id, for the default user", func(t *testing.T, db *database) {
			s := db.prepared()
			ensure(t, s, 3, 42, iot.MaxDeviceID, 1)
			owner := defaultUser(t, s)
			wantEqual(t, owner.Email, iot.DefaultEmail)
			wantFresh(t, owner.CreatedAt)
			all := allDevices(t, s)
			wantFresh(t, all[0].CreatedAt)
			at := all[0].CreatedAt
			wantEqual(t, all, []iot.Device{
				{ID: 1, Name: "Device 1", Owner: owner.ID, CreatedAt: at},
				{ID: 42, Name: "Device 42", Owner: owner.ID, CreatedAt: at},
				{ID: iot.MaxDeviceID, Name: "Device 9007199254740991", Owner: owner.ID, CreatedAt: at},
			})
		}},
		{"a device that exists is left as it is and not counted", func(t *testing.T, db *database) {
			s := db.prepared()
			ann := newUser(t, s, "ann")
			d := newDevice(t, s, iot.Device{ID: 2, Name: "boiler", Owner: ann.ID, Location: "cellar"})
			ensure(t, s, 0, 2)
			ensure(t, s, 2, 1, 2, 3)
			ensure(t, s, 0, 1, 2, 3)
			wantEqual(t, findDevice(t, s, 2), d)
		}},
		{"repeated ids and none are fine", func(t *testing.T, db *database) {
			s := db.prepared()
			ensure(t, s, 0)
			ensure(t, s, 2, 7, 5, 7, 7, 5)
			wantEqual(t, len(allDevices(t, s)), 2)
		}},
		{"the caller's devices stay as they are", func(t *testing.T, db *database) {
			s := db.prepared()
			devices := seen(3, 1, 2, 1)
			ensureSeen(t, s, iot.Ensured{Created: 3}, devices...)
			wantEqual(t, devices, seen(3, 1, 2, 1))
		}},
		{"thousands of devices at once", func(t *testing.T, db *database) {
			s := db.prepared()
			ids := make([]iot.DeviceID, 3333)
			for i := range ids {
				ids[i] = iot.DeviceID(3*i + 1)
			}
			ensure(t, s, 100, ids[1000:1100]...)
			ensure(t, s, 3233, ids...)
			ensure(t, s, 0, ids...)
			var got []iot.DeviceID
			for _, d := range allDevices(t, s) {
				got = append(got, d.ID)
			}
			wantEqual(t, got, ids)
		}},
		{"the default user is taken as it is", func(t *testing.T, db *database) {
			s := db.prepared()
			u, err := s.CreateUser(t.Context(), iot.User{Username: iot.DefaultUsername, Email: "ops@example.com"})
			if err != nil {
				t.Fatal(err)
			}
			ensure(t, s, 1, 1)
			wantEqual(t, findDevice(t, s, 1).Owner, u.ID)
			wantEqual(t, defaultUser(t, s), u)
		}},
		{"a deleted device is registered again, and so is the default user", func(t *testing.T, db *database) {
			s := db.prepared()
			ensure(t, s, 2, 1, 2)
			if _, err := s.DeleteDevice(t.Context(), 1); err != nil {
				t.Fatal(err)
			}
			ensure(t, s, 1, 1, 2)
			if _, err := s.DeleteUser(t.Context(), defaultUser(t, s).ID); err != nil {
				t.Fatal(err)
			}
			ensure(t, s, 2, 1, 2)
			wantEqual(t, findDevice(t, s, 1).Owner, defaultUser(t, s).ID)
		}},
		{"a device that is registered while the default user is being deleted gets a new one", func(t *testing.T, db *database) {
			s := db.prepared()
			ensure(t, s, 1, 1)
			tx, err := db.SQL.BeginTx(t.Context(), nil)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := tx.Exec("DELETE FROM users WHERE username = 'default_user'"); err != nil {
				t.Fatal(err)
			}
			registered := make(chan error, 1)
			go func() {
				_, err := s.EnsureDevices(t.Context(), []iot.Identity{{ID: 2}}, iot.Admission{})
				registered <- err
			}()
			for waiting := 0; waiting == 0 && db.Waiting != ""; {
				if err := tx.QueryRow(db.Waiting).Scan(&waiting); err != nil {
					t.Fatal(err)
				}
			}
			if err := tx.Commit(); err != nil {
				t.Fatal(err)
			}
			if err := <-registered; err != nil {
				t.Fatal(err)
			}
			wantEqual(t, findDevice(t, s, 2).Owner, defaultUser(t, s).ID)
		}},
		{"an id out of range is ErrInvalid, and nothing is created", func(t *testing.T, db *database) {
			s := db.prepared()
			for _, id := range []iot.DeviceID{-1, 0, iot.MaxDeviceID + 1} {
				n, err := s.EnsureDevices(t.Context(), []iot.Identity{{ID: 1}, {ID: id}, {ID: 2}}, iot.Admission{})
				wantError(t, err, iot.ErrInvalid)
				wantEqual(t, n, iot.Ensured{})
			}
			wantEqual(t, len(allDevices(t, s)), 0)
		}},
		{"processes that register the same devices create each once", func(t *testing.T, db *database) {
			stores := []metadata.Store{db.prepared(), db.prepared(), db.prepared()}
			const devices, span = 300, 120
			created := make([]int, 12)
			concurrently(t, len(created), func(ctx context.Context, i int) error {
				var ids []iot.DeviceID // a window that overlaps with others, in an order of its own
				for j := range span {
					ids = append(ids, iot.DeviceID((i*25+j)%devices+1))
				}
				if i%2 == 1 {
					slices.Reverse(ids)
				}
				for part := range slices.Chunk(ids, 40) {
					n, err := stores[i%len(stores)].EnsureDevices(ctx, seen(part...), iot.Admission{})
					created[i] += n.Created
					if err != nil {
						return err
					}
				}
				return nil
			})
			sum := 0
			for _, n := range created {
				sum += n
			}
			wantEqual(t, sum, devices)
			wantEqual(t, len(allDevices(t, stores[0])), devices)
			defaultUser(t, stores[0])
		}},
	}
}
