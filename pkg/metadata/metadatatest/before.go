package metadatatest

import (
	"os"
	"testing"

	"github.com/pressly/goose/v3"

	"github.com/telltale-iot/telltale/pkg/iot"
	"github.com/telltale-iot/telltale/pkg/metadata"
)

// before is about databases that a program of before devices had keys has made, or works with at the same time: both
// run while one replaces the other.
func before() []promise {
	kitchen, garden := keyed("kitchen-1"), keyed("garden")
	return []promise{
		{"a database of before keys is brought up to date, and keeps everything", func(t *testing.T, db *database) {
			db.prepareBefore()
			db.exec("INSERT INTO users (username, email, created_at) VALUES ('ann', 'ann@example.com', '2026-03-01 12:00:00')")
			db.registerBefore("7")
			db.registerBefore(kitchen.ID.String())
			db.exec("UPDATE devices SET location = 'attic' WHERE id = 7", "UPDATE device_ids SET last_generated = 41 WHERE id = 1")

			s := db.prepared()
			ann, err := s.Users(t.Context(), iot.UserQuery{Username: "ann", Limit: 1})
			if err != nil || len(ann) != 1 {
				t.Fatalf("ann: %v, %v", ann, err)
			}
			d := findDevice(t, s, 7)
			wantEqual(t, d, iot.Device{ID: 7, Name: "Device 7", Owner: ann[0].ID, Location: "attic", CreatedAt: d.CreatedAt})
			wantEqual(t, d.CreatedAt.Format("2006-01-02 15:04:05"), "2026-03-01 12:00:00")
			wantEqual(t, newDevice(t, s, iot.Device{Name: "x", Owner: ann[0].ID}).ID, iot.DeviceID(42))
			// What was registered by its id alone has its key from now on.
			ensureSeen(t, s, iot.Ensured{}, kitchen)
			wantEqual(t, findDevice(t, s, kitchen.ID).Key, "kitchen-1")
		}},
		{"a program of before keys goes on beside one of today", func(t *testing.T, db *database) {
			db.prepareBefore()
			s := db.prepared()
			owner := newUser(t, s, "ann").ID
			newDevice(t, s, iot.Device{ID: kitchen.ID, Name: "Kitchen", Owner: owner, Key: kitchen.Key})
			db.prepareBefore() // it starts again
			db.registerBefore("7")
			db.registerBefore(garden.ID.String())
			db.exec("UPDATE devices SET name = 'Kitchen 2', location = 'ground floor' WHERE id = " + kitchen.ID.String())

			wantEqual(t, findDevice(t, s, 7).Key, "")
			ensureSeen(t, s, iot.Ensured{Created: 1}, garden, kitchen, iot.Identity{ID: 7}, iot.Identity{ID: 8})
			wantEqual(t, findDevice(t, s, garden.ID).Key, "garden")
			d := findDevice(t, s, kitchen.ID)
			wantEqual(t, d, iot.Device{ID: kitchen.ID, Name: "Kitchen 2", Owner: owner, Location: "ground floor", CreatedAt: d.CreatedAt, Key: "kitchen-1"})
			var rows int // as the program of before reads them
			err := db.SQL.QueryRow("SELECT COUNT(*) FROM (SELECT id, name, user_id, COALESCE(location, ''), created_at FROM devices) AS d").Scan(&rows)
			if err != nil || rows != 4 {
				t.Errorf("%d devices, %v", rows, err)
			}
		}},
		{"tables that a program of before keys made again get their keys", func(t *testing.T, db *database) {
			s := db.prepared()
			ensureSeen(t, s, iot.Ensured{Created: 1}, kitchen)
			db.exec("DROP TABLE devices", "DELETE FROM metadata_version WHERE version_id > 0")
			db.prepareBefore()
			wantOutage(t, s.Check(t.Context()))
			for range 2 {
				if err := s.Prepare(t.Context()); err != nil {
					t.Fatal(err)
				}
			}
			ensureSeen(t, s, iot.Ensured{Created: 1}, kitchen)
			wantEqual(t, findDevice(t, s, kitchen.ID).Key, "kitchen-1")
		}},
		{"keys stay when a program of before forgets that there are any", func(t *testing.T, db *database) {
			s := db.prepared()
			ensureSeen(t, s, iot.Ensured{Created: 1}, kitchen)
			db.exec("DELETE FROM metadata_version WHERE version_id > 0") // something else was dropped
			db.prepareBefore()
			for _, s := range []metadata.Store{s, db.prepared()} {
				if err := s.Check(t.Context()); err != nil {
					t.Error(err)
				}
			}
			wantEqual(t, findDevice(t, s, kitchen.ID).Key, "kitchen-1")
		}},
	}
}

// prepareBefore prepares the tables as a program does that knows of no keys: its one migration is still the first.
func (db *database) prepareBefore() {
	db.t.Helper()
	program, err := goose.NewProvider(db.Versions, db.SQL, os.DirFS("migrations"), // of the package that is tested
		goose.WithTableName("metadata_version"), goose.WithDisableGlobalRegistry(true), goose.WithExcludeVersions([]int64{3, 5}))
	if err != nil {
		db.t.Fatal(err)
	}
	if _, err := program.Up(db.t.Context()); err != nil {
		db.t.Fatal(err)
	}
}

// registerBefore registers a device, for any user, as such a program does.
func (db *database) registerBefore(id string) {
	db.t.Helper()
	db.exec("INSERT INTO devices (id, name, user_id, location, created_at) " +
		"SELECT " + id + ", 'Device " + id + "', MIN(id), NULL, '2026-03-01 12:00:00' FROM users")
}
