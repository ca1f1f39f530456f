package metadatatest

import (
	"context"
	"testing"
	"time"

	"github.com/telltale-iot/telltale/pkg/iot"
)

// noon is a moment at which devices may be seen.
var noon = time.Date(2026, 3, 1, 12, 0, 0, 123e6, time.UTC)

// contacts are about when devices reported last.
func contacts() []promise {
	return []promise{
		{"a device is seen at its latest contact, in whatever order they are kept", func(t *testing.T, db *database) {
			s := db.prepared()
			ensureSeen(t, s, iot.Ensured{Created: 3}, iot.Identity{ID: 7}, iot.Identity{ID: iot.MaxDeviceID}, iot.Identity{ID: 9})
			for _, after := range []time.Duration{0, time.Millisecond, -time.Hour, time.Minute, time.Minute, 0} {
				keep(t, s, iot.Contact{Device: iot.MaxDeviceID, At: noon.Add(-after)}, iot.Contact{Device: 7, At: noon.Add(after)})
			}
			wantEqual(t, findDevice(t, s, 7).LastSeen, noon.Add(time.Minute))
			wantEqual(t, findDevice(t, s, iot.MaxDeviceID).LastSeen, noon.Add(time.Hour))
			wantEqual(t, findDevice(t, s, 9).LastSeen, time.Time{})
			wantEqual(t, allDevices(t, db.prepared())[0].LastSeen, noon.Add(time.Minute))
			keep(t, s)
		}},
		{"no change of a device touches when it was seen, and none comes with a new one", func(t *testing.T, db *database) {
			s := db.prepared()
			ann := newUser(t, s, "ann")
			wantEqual(t, newDevice(t, s, iot.Device{ID: 7, Name: "x", Owner: ann.ID, LastSeen: noon}).LastSeen, time.Time{})
			wantEqual(t, findDevice(t, s, 7).LastSeen, time.Time{})
			keep(t, s, iot.Contact{Device: 7, At: noon})
			d, _, err := s.UpdateDevice(t.Context(), 7, iot.DeviceChange{Name: ptr("y"), OfflineAfter: ptr(time.Hour)})
			if err != nil {
				t.Fatal(err)
			}
			wantEqual(t, d.LastSeen, noon)
			ensureSeen(t, s, iot.Ensured{}, iot.Identity{ID: 7})
			wantEqual(t, findDevice(t, s, 7).LastSeen, noon)
		}},
		{"a device that is deleted takes its contact with it, and nobody sees one that comes too late", func(t *testing.T, db *database) {
			s := db.prepared()
			ann := newUser(t, s, "ann")
			for _, id := range []iot.DeviceID{6, 7, 8} {
				newDevice(t, s, iot.Device{ID: id, Name: "x", Owner: ann.ID})
			}
			keep(t, s, iot.Contact{Device: 6, At: noon}, iot.Contact{Device: 7, At: noon}, iot.Contact{Device: 8, At: noon})
			if _, err := s.DeleteDevice(t.Context(), 7); err != nil {
				t.Fatal(err)
			}
			wantEqual(t, db.count("device_contacts"), 2)
			if _, err := s.DeleteUser(t.Context(), ann.ID); err != nil {
				t.Fatal(err)
			}
			wantEqual(t, db.count("device_contacts"), 0)

			keep(t, s, iot.Contact{Device: 7, At: noon}, iot.Contact{Device: 8, At: noon})
			wantEqual(t, len(allDevices(t, s)), 0)
			bob := newUser(t, s, "bob")
			wantEqual(t, newDevice(t, s, iot.Device{ID: 7, Name: "x", Owner: bob.ID}).LastSeen, time.Time{})
			ensureSeen(t, s, iot.Ensured{Created: 1}, iot.Identity{ID: 8})
			for _, d := range allDevices(t, s) {
				wantEqual(t, d.LastSeen, time.Time{})
			}
		}},
		{"the contacts of several processes at once come to the latest of each device", func(t *testing.T, db *database) {
			s := db.prepared()
			const devices, processes = 2500, 4
			seen := make([]iot.Identity, devices)
			for i := range seen {
				seen[i].ID = iot.DeviceID(i + 1)
			}
			ensureSeen(t, s, iot.Ensured{Created: devices}, seen...)
			concurrently(t, processes, func(ctx context.Context, process int) error {
				s := db.prepared()
				for round := range 3 {
					var batch []iot.Contact
					for i := range devices {
						id := iot.DeviceID(i + 1)
						if process%2 == 1 {
							id = iot.DeviceID(devices - i)
						}
						batch = append(batch, iot.Contact{Device: id, At: noon.Add(time.Duration(round*processes+process) * time.Second)})
					}
					if err := s.KeepContacts(ctx, batch); err != nil {
						return err
					}
				}
				return nil
			})
			for _, d := range allDevices(t, s) {
				wantEqual(t, d.LastSeen, noon.Add((3*processes-1)*time.Second))
			}
		}},
		{"after how long a device is offline is its own, or nobody's", func(t *testing.T, db *database) {
			s := db.prepared()
			ann := newUser(t, s, "ann")
			wantEqual(t, newDevice(t, s, iot.Device{ID: 7, Name: "x", Owner: ann.ID, OfflineAfter: 700 * time.Second}).OfflineAfter, 700*time.Second)
			for _, after := range []time.Duration{iot.MaxOfflineAfter, time.Second, 0, time.Hour} {
				d, _, err := s.UpdateDevice(t.Context(), 7, iot.DeviceChange{OfflineAfter: &after})
				if err != nil {
					t.Fatal(err)
				}
				wantEqual(t, d.OfflineAfter, after)
				wantEqual(t, findDevice(t, s, 7).OfflineAfter, after)
			}
			for _, after := range []time.Duration{-time.Second, time.Millisecond, iot.MaxOfflineAfter + time.Second} {
				_, _, err := s.UpdateDevice(t.Context(), 7, iot.DeviceChange{OfflineAfter: &after})
				wantError(t, err, iot.ErrInvalid)
				_, err = s.CreateDevice(t.Context(), iot.Device{Name: "x", Owner: ann.ID, OfflineAfter: after})
				wantError(t, err, iot.ErrInvalid)
			}
			wantEqual(t, findDevice(t, s, 7).OfflineAfter, time.Hour)
		}},
	}
}

// beforeContacts is about databases that a program of before contacts has made, or works with at the same time.
func beforeContacts() []promise {
	return []promise{
		{"a database of before contacts is brought up to date, and keeps everything", func(t *testing.T, db *database) {
			want := db.prepareBeforeContacts()
			s := db.prepared()
			wantEqual(t, allDevices(t, s), want)
			keep(t, s, iot.Contact{Device: 7, At: noon})
			wantEqual(t, findDevice(t, s, 7).LastSeen, noon)
			if err := s.Prepare(t.Context()); err != nil {
				t.Fatal(err)
			}
			wantEqual(t, findDevice(t, s, 7).LastSeen, noon)
		}},
		{"eight processes bring it up to date at once", func(t *testing.T, db *database) {
			want := db.prepareBeforeContacts()
			concurrently(t, 8, func(ctx context.Context, _ int) error { return db.open().Prepare(ctx) })
			wantEqual(t, allDevices(t, db.prepared()), want)
		}},
		{"a program of before contacts goes on beside one of today", func(t *testing.T, db *database) {
			s := db.prepared()
			ann := newUser(t, s, "ann")
			newDevice(t, s, iot.Device{ID: 6, Name: "x", Owner: ann.ID})
			keep(t, s, iot.Contact{Device: 6, At: noon})
			db.registerBefore("7")
			db.exec("UPDATE devices SET name = 'y' WHERE id = 6")
			wantEqual(t, findDevice(t, s, 6).LastSeen, noon)
			db.exec("DELETE FROM devices WHERE id = 6")
			keep(t, s, iot.Contact{Device: 7, At: noon})
			wantEqual(t, len(allDevices(t, s)), 1)
			wantEqual(t, newDevice(t, s, iot.Device{ID: 6, Name: "x", Owner: ann.ID}).LastSeen, time.Time{})
		}},
	}
}

// prepareBeforeContacts prepares the tables as a program does that knows of no contacts, with devices, which it returns.
func (db *database) prepareBeforeContacts() []iot.Device {
	db.t.Helper()
	s := db.openUnclosed()
	if err := s.Prepare(db.t.Context()); err != nil {
		db.t.Fatal(err)
	}
	_, err := s.EnsureDevices(db.t.Context(), []iot.Identity{{ID: 7}, {ID: 8}, keyed("kitchen-1")}, iot.Admission{})
	if err != nil {
		db.t.Fatal(err)
	}
	devices, err := s.Devices(db.t.Context(), iot.DeviceQuery{Limit: 10})
	if err != nil {
		db.t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		db.t.Fatal(err)
	}
	db.exec("DROP TABLE device_contacts", "ALTER TABLE devices DROP COLUMN offline_after", "DELETE FROM metadata_version WHERE version_id > 2")
	return devices
}

// count returns how many rows a table has.
func (db *database) count(table string) (n int) {
	db.t.Helper()
	if err := db.SQL.QueryRow("SELECT COUNT(*) FROM " + table).Scan(&n); err != nil {
		db.t.Fatal(err)
	}
	return n
}

func keep(t *testing.T, s iot.MetadataStore, contacts ...iot.Contact) {
	t.Helper()
	if err := s.KeepContacts(t.Context(), contacts); err != nil {
		t.Fatal(err)
	}
}
