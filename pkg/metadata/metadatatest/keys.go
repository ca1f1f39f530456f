package metadatatest

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/telltale-iot/telltale/pkg/iot"
	"github.com/telltale-iot/telltale/pkg/metadata"
)

// keyed is a device with a key.
func keyed(key string) iot.Identity { return iot.Identity{ID: iot.KeyID(key), Key: key} }

// keys are about what devices are called where that is no decimal id.
func keys() []promise {
	return []promise{
		{"a missing device is named by its key", func(t *testing.T, db *database) {
			s := db.prepared()
			ensureSeen(t, s, iot.Ensured{Created: 3}, keyed("kitchen-1"), iot.Identity{ID: 42}, keyed("0042"))
			owner := defaultUser(t, s).ID
			for _, want := range []iot.Device{
				{ID: 42, Name: "Device 42"},
				{ID: iot.KeyID("0042"), Name: "0042", Key: "0042"},
				{ID: iot.KeyID("kitchen-1"), Name: "kitchen-1", Key: "kitchen-1"},
			} {
				d := findDevice(t, s, want.ID)
				want.Owner, want.CreatedAt = owner, d.CreatedAt
				wantEqual(t, d, want)
			}
			ensureSeen(t, s, iot.Ensured{}, keyed("kitchen-1"), iot.Identity{ID: 42}, keyed("0042"))
		}},
		{"keys are kept and compared to the byte", func(t *testing.T, db *database) {
			s := db.prepared()
			owner := newUser(t, s, "ann").ID
			all := []string{
				"A", "a", "a ", " a", "ä", "a\u0308", "Ä", "ß", "ss", "ſ", "😀", "漢字", "a/b", "a%2Fb", ".", "..", "'; DROP TABLE devices; --",
				`back\slash`, `"quoted"`, "?", "?0 $1", "null", "\u202e", "a\u200b", strings.Repeat("k", 255), strings.Repeat("k", 254), "00", "0",
				strings.Repeat("ü", 127) + "u",
			}
			for i, key := range all {
				if i%2 == 0 {
					ensureSeen(t, s, iot.Ensured{Created: 1}, keyed(key))
				} else {
					newDevice(t, s, iot.Device{ID: iot.KeyID(key), Name: "x", Owner: owner, Key: key})
				}
			}
			for _, key := range all {
				wantEqual(t, findDevice(t, s, iot.KeyID(key)).Key, key)
				ensureSeen(t, s, iot.Ensured{}, keyed(key))
			}
			wantEqual(t, len(allDevices(t, s)), len(all))
		}},
		{"a device that exists without its key gets it, and stays as it is otherwise", func(t *testing.T, db *database) {
			s := db.prepared()
			owner := newUser(t, s, "ann").ID
			want := newDevice(t, s, iot.Device{ID: iot.KeyID("b"), Name: "boiler", Owner: owner, Location: "cellar"})
			ensure(t, s, 0, want.ID)
			wantEqual(t, findDevice(t, s, want.ID), want)
			ensureSeen(t, s, iot.Ensured{Created: 1}, keyed("c"), keyed("b"))
			want.Key = "b"
			wantEqual(t, findDevice(t, s, want.ID), want)
			ensure(t, s, 0, want.ID) // seen by its id, it keeps its key
			wantEqual(t, findDevice(t, s, want.ID), want)
			name := "heater"
			changed, _, err := s.UpdateDevice(t.Context(), want.ID, iot.DeviceChange{Name: &name})
			if err != nil {
				t.Fatal(err)
			}
			want.Name = name
			wantEqual(t, changed, want)
		}},
		{"a device that is seen without its key and with it is created once", func(t *testing.T, db *database) {
			s := db.prepared()
			ensureSeen(t, s, iot.Ensured{Created: 2},
				iot.Identity{ID: iot.KeyID("a")}, keyed("a"), keyed("b"), iot.Identity{ID: iot.KeyID("b")}, keyed("a"))
			wantEqual(t, findDevice(t, s, iot.KeyID("a")).Key, "a")
			wantEqual(t, findDevice(t, s, iot.KeyID("b")).Key, "b")
		}},
		{"a second key for an id is a collision, and its neighbours are registered", func(t *testing.T, db *database) {
			s := db.prepared()
			db.occupy(iot.KeyID("a"), "somebody", newUser(t, s, "ann"))
			for range 2 {
				got, err := s.EnsureDevices(t.Context(), []iot.Identity{keyed("z"), {ID: iot.KeyID("a")}, keyed("a"), {ID: 7}, keyed("a"), keyed("b")}, iot.Admission{})
				if err != nil {
					t.Fatal(err)
				}
				wantEqual(t, got.Collisions, []iot.Identity{keyed("a")})
			}
			wantEqual(t, findDevice(t, s, iot.KeyID("a")).Key, "somebody")
			wantEqual(t, findDevice(t, s, iot.KeyID("b")).Key, "b")
			wantEqual(t, findDevice(t, s, iot.KeyID("z")).Key, "z")
			wantEqual(t, len(allDevices(t, s)), 4)
		}},
		{"a key that is another id's is a collision too", func(t *testing.T, db *database) {
			s := db.prepared()
			ann := newUser(t, s, "ann")
			db.occupy(iot.KeyID("a"), "b", ann)
			ensure(t, s, 1, iot.KeyID("c"))
			db.occupy(7, "c", ann)
			collisions := []iot.Identity{keyed("b"), keyed("c")}
			slices.SortFunc(collisions, func(a, b iot.Identity) int { return cmp.Compare(a.ID, b.ID) })
			ensureSeen(t, s, iot.Ensured{Created: 1, Collisions: collisions}, keyed("b"), keyed("c"), keyed("d"))
			_, err := s.CreateDevice(t.Context(), iot.Device{ID: iot.KeyID("b"), Name: "x", Owner: ann.ID, Key: "b"})
			wantError(t, err, iot.ErrConflict)
		}},
		{"a taken key is ErrConflict, by which id it may be", func(t *testing.T, db *database) {
			s := db.prepared()
			owner := newUser(t, s, "ann").ID
			first := newDevice(t, s, iot.Device{ID: iot.KeyID("a"), Name: "first", Owner: owner, Key: "a"})
			for _, second := range []iot.Device{{ID: first.ID, Key: "a"}, {ID: first.ID}} {
				second.Name, second.Owner = "second", owner
				_, err := s.CreateDevice(t.Context(), second)
				wantError(t, err, iot.ErrConflict)
			}
			wantEqual(t, allDevices(t, s), []iot.Device{first})
		}},
		{"an id that is not that of the key is ErrInvalid, as is what is no key", func(t *testing.T, db *database) {
			s := db.prepared()
			owner := newUser(t, s, "ann").ID
			for _, wrong := range []iot.Identity{
				{ID: 7, Key: "a"}, {Key: "a"}, {ID: iot.KeyID("b"), Key: "a"}, {ID: 42, Key: "42"}, {ID: iot.KeyID("42"), Key: "42"},
				keyed("tab\t"), keyed("NUL\x00"), keyed("\xff"), keyed(strings.Repeat("k", 256)), keyed(strings.Repeat("ü", 128)),
			} {
				_, err := s.CreateDevice(t.Context(), iot.Device{ID: wrong.ID, Key: wrong.Key, Name: "x", Owner: owner})
				wantError(t, err, iot.ErrInvalid)
				_, err = s.EnsureDevices(t.Context(), []iot.Identity{{ID: 1}, wrong, {ID: 2}}, iot.Admission{})
				wantError(t, err, iot.ErrInvalid)
			}
			wantEqual(t, len(allDevices(t, s)), 0)
		}},
		{"processes that see a device with and without its key register it once, with it", func(t *testing.T, db *database) {
			stores := []metadata.Store{db.prepared(), db.prepared()}
			const workers, devices = 8, 40
			concurrently(t, workers, func(ctx context.Context, i int) error {
				for n := range devices {
					a, b := keyed(strings.Repeat("k", n+1)), keyed(strings.Repeat("l", n+1))
					if i%2 == 0 {
						a.Key = ""
					} else {
						a, b = b, a
					}
					got, err := stores[i/2%2].EnsureDevices(ctx, []iot.Identity{a, b}, iot.Admission{})
					if err != nil || len(got.Collisions) > 0 {
						t.Errorf("%+v, %v", got, err)
					}
				}
				return nil
			})
			all := allDevices(t, stores[0])
			wantEqual(t, len(all), 2*devices)
			for _, d := range all {
				wantEqual(t, d.ID, iot.KeyID(d.Key))
			}
		}},
	}
}

// occupy puts a device into the table with a key that is not that of its id, since a collision cannot be had by chance.
func (db *database) occupy(id iot.DeviceID, key string, owner iot.User) {
	db.t.Helper()
	db.exec(fmt.Sprintf("INSERT INTO devices VALUES (%d, 'x', %d, NULL, '2026-03-01 12:00:00', '%s', NULL, NULL)", id, owner.ID, key))
}
