package metadatatest

import (
	"testing"

	"github.com/telltale-iot/telltale/pkg/iot"
	"github.com/telltale-iot/telltale/pkg/metadata"
)

// step is one thing that happens to devices.
type step func(t *testing.T, s metadata.Store, owner int64)

// generate creates a device without an id, which is to get the id want.
func generate(want iot.DeviceID) step {
	return func(t *testing.T, s metadata.Store, owner int64) {
		t.Helper()
		d := newDevice(t, s, iot.Device{Name: "generated", Owner: owner})
		wantEqual(t, d.ID, want)
		wantEqual(t, findDevice(t, s, want), d)
	}
}

// create creates a device with an id of its own.
func create(id iot.DeviceID) step {
	return func(t *testing.T, s metadata.Store, owner int64) {
		t.Helper()
		wantEqual(t, newDevice(t, s, iot.Device{ID: id, Name: "explicit", Owner: owner}).ID, id)
	}
}

// register creates a device because of a reading of it.
func register(id iot.DeviceID) step {
	return func(t *testing.T, s metadata.Store, _ int64) {
		t.Helper()
		if n, err := s.EnsureDevices(t.Context(), []iot.Identity{{ID: id}}, iot.Admission{}); n.Created != 1 || err != nil {
			t.Fatalf("ensure %d: %+v, %v", id, n, err)
		}
	}
}

// registerKey creates a device with a key because of a reading of it.
func registerKey(key string) step {
	return func(t *testing.T, s metadata.Store, _ int64) {
		t.Helper()
		ensureSeen(t, s, iot.Ensured{Created: 1}, keyed(key))
	}
}

func remove(id iot.DeviceID) step {
	return func(t *testing.T, s metadata.Store, _ int64) {
		t.Helper()
		if _, err := s.DeleteDevice(t.Context(), id); err != nil {
			t.Fatal(err)
		}
	}
}

// removeWithOwner creates devices for another user, and deletes that user.
func removeWithOwner(ids ...iot.DeviceID) step {
	return func(t *testing.T, s metadata.Store, _ int64) {
		t.Helper()
		other := newUser(t, s, "other")
		for _, id := range ids {
			newDevice(t, s, iot.Device{ID: id, Name: "x", Owner: other.ID})
		}
		if _, err := s.DeleteUser(t.Context(), other.ID); err != nil {
			t.Fatal(err)
		}
	}
}

func generatedIDs() []promise {
	const top = 1<<52 - 1 // what is above are the ids of keys
	var promises []promise
	for _, c := range []struct {
		name  string
		steps []step
	}{
		{"count from 1", []step{generate(1), generate(2), generate(3)}},
		{"are above explicit ones", []step{create(5), generate(6), create(100), create(50), generate(101)}},
		{"are above registered ones", []step{register(40), generate(41), register(42), register(43), generate(44)}},
		{"leave explicit and registered devices their own ids", []step{generate(1), create(7), register(9), generate(10), create(8), register(2)}},
		{"are not given again after a deletion", []step{generate(1), generate(2), remove(2), generate(3), remove(3), remove(1), generate(4)}},
		{"are above deleted explicit ones", []step{create(70), remove(70), generate(71), create(60), remove(60), generate(72)}},
		{"are above the devices of a deleted user", []step{generate(1), removeWithOwner(90, 30), generate(91), removeWithOwner(), generate(92)}},
		{"are below those of keys", []step{registerKey("a"), generate(1), registerKey("b"), generate(2), remove(iot.KeyID("a")), generate(3)}},
		{"do not follow on an id among those of keys", []step{create(top + 1), create(iot.MaxDeviceID), generate(1), remove(top + 1), generate(2)}},
		{"do not follow on those of keys whose user is deleted", []step{removeWithOwner(30, iot.KeyID("a")), generate(31)}},
		{"are above deleted explicit ones after the deletion of one with a key", []step{create(70), remove(70), registerKey("a"), remove(iot.KeyID("a")), generate(71)}},
		{"reach the greatest", []step{create(top - 1), generate(top)}},
		{"go on below when the greatest is in use", []step{create(top), generate(1), create(3), generate(2), generate(4)}},
		{"go on below where they were", []step{generate(1), generate(2), create(top), remove(1), remove(2), generate(3)}},
		{"go on below when the greatest was deleted", []step{create(10), generate(11), create(top), remove(top), generate(12)}},
		{"start again when they reached the greatest", []step{create(top - 2), create(1), generate(top - 1), generate(top), generate(2), generate(3)}},
		{"skip long rows of devices", []step{create(top), func(t *testing.T, s metadata.Store, owner int64) {
			ids := make([]iot.DeviceID, 2500)
			for i := range ids {
				ids[i] = iot.DeviceID(i + 1)
			}
			if _, err := s.EnsureDevices(t.Context(), seen(ids...), iot.Admission{}); err != nil {
				t.Fatal(err)
			}
		}, generate(2501), remove(700), generate(2502)}},
	} {
		promises = append(promises, promise{c.name, func(t *testing.T, db *database) {
			s := db.prepared()
			owner := newUser(t, s, "ann").ID
			for _, step := range c.steps {
				step(t, s, owner)
			}
		}})
	}
	return append(promises, promise{"come down from those of keys, where a program of before keys has generated them", func(t *testing.T, db *database) {
		s := db.prepared()
		owner := newUser(t, s, "ann").ID
		db.exec("UPDATE device_ids SET last_generated = 4503599627370600, greatest_deleted = 4503599627370599 WHERE id = 1")
		for _, step := range []step{generate(1), create(5), generate(2)} {
			step(t, s, owner)
		}
	}})
}
