package metadatatest

import (
	"testing"

	"github.com/telltale-iot/telltale/pkg/iot"
)

func devices() []promise {
	return []promise{
		{"a created device is returned as it is found, under the id that it was given", func(t *testing.T, db *database) {
			s := db.prepared()
			ann := newUser(t, s, "ann")
			for _, want := range []iot.Device{
				{ID: 1, Name: "boiler", Owner: ann.ID, Location: "cellar"},
				{ID: 7, Name: "no location", Owner: ann.ID},
				{ID: iot.MaxDeviceID, Name: "boiler", Owner: ann.ID, Location: "cellar"}, // only the id is unique
				{ID: 3, Name: "late", Owner: ann.ID},
			} {
				created := newDevice(t, s, want)
				wantFresh(t, created.CreatedAt)
				want.CreatedAt = created.CreatedAt
				wantEqual(t, created, want)
				found := findDevice(t, s, want.ID)
				wantFresh(t, found.CreatedAt)
				wantEqual(t, found, want)
			}
		}},
		{"a taken id is ErrConflict and its device stays as it is", func(t *testing.T, db *database) {
			s := db.prepared()
			ann := newUser(t, s, "ann")
			first := newDevice(t, s, iot.Device{ID: 5, Name: "first", Owner: ann.ID})
			_, err := s.CreateDevice(t.Context(), iot.Device{ID: 5, Name: "second", Owner: ann.ID})
			wantError(t, err, iot.ErrConflict)
			wantEqual(t, allDevices(t, s), []iot.Device{first})
		}},
		{"an id out of range is ErrInvalid", func(t *testing.T, db *database) {
			s := db.prepared()
			ann := newUser(t, s, "ann")
			for _, id := range []iot.DeviceID{-1, iot.MaxDeviceID + 1} {
				_, err := s.CreateDevice(t.Context(), iot.Device{ID: id, Name: "x", Owner: ann.ID})
				wantError(t, err, iot.ErrInvalid)
			}
			wantEqual(t, len(allDevices(t, s)), 0)
		}},
		{"an owner who does not exist is ErrInvalid", func(t *testing.T, db *database) {
			s := db.prepared()
			ann := newUser(t, s, "ann")
			device := newDevice(t, s, iot.Device{ID: 5, Name: "x", Owner: ann.ID})
			for _, owner := range []int64{-1, 0, ann.ID + 1} {
				_, err := s.CreateDevice(t.Context(), iot.Device{Name: "y", Owner: owner})
				wantError(t, err, iot.ErrInvalid)
				_, err = s.CreateDevice(t.Context(), iot.Device{ID: 6, Name: "y", Owner: owner})
				wantError(t, err, iot.ErrInvalid)
				_, _, err = s.UpdateDevice(t.Context(), 5, iot.DeviceChange{Name: ptr("z"), Owner: &owner})
				wantError(t, err, iot.ErrInvalid)
			}
			wantEqual(t, allDevices(t, s), []iot.Device{device})
		}},
		{"a device that does not exist is ErrNotFound", func(t *testing.T, db *database) {
			s := db.prepared()
			ann := newUser(t, s, "ann")
			newDevice(t, s, iot.Device{ID: 5, Name: "x", Owner: ann.ID})
			for _, id := range []iot.DeviceID{-1, 0, 6, iot.MaxDeviceID} {
				_, err := s.Device(t.Context(), id)
				wantError(t, err, iot.ErrNotFound)
				for _, c := range []iot.DeviceChange{{}, {Name: ptr("y")}, {Owner: ptr(ann.ID + 1)}} {
					_, _, err = s.UpdateDevice(t.Context(), id, c)
					wantError(t, err, iot.ErrNotFound)
				}
				wantError(t, errOf(s.DeleteDevice(t.Context(), id)), iot.ErrNotFound)
			}
		}},
		{"an update sets the fields that it names and no others", func(t *testing.T, db *database) {
			s := db.prepared()
			ann, bob := newUser(t, s, "ann"), newUser(t, s, "bob")
			neighbour := newDevice(t, s, iot.Device{ID: 4, Name: "neighbour", Owner: ann.ID})
			want := newDevice(t, s, iot.Device{ID: 5, Name: "x", Owner: ann.ID, Location: "attic"})
			for _, c := range []iot.DeviceChange{
				{},
				{Name: ptr("y")},
				{Owner: ptr(bob.ID)},
				{Location: ptr("cellar")},
				{Location: ptr("")},
				{Name: ptr("z"), Owner: ptr(ann.ID), Location: ptr("roof")},
				{Name: ptr("z"), Owner: ptr(ann.ID), Location: ptr("roof")}, // changes nothing
			} {
				if c.Name != nil {
					want.Name = *c.Name
				}
				if c.Owner != nil {
					want.Owner = *c.Owner
				}
				if c.Location != nil {
					want.Location = *c.Location
				}
				got, _, err := s.UpdateDevice(t.Context(), want.ID, c)
				if err != nil {
					t.Fatal(err)
				}
				wantEqual(t, got, want)
				wantEqual(t, findDevice(t, s, want.ID), want)
			}
			wantEqual(t, findDevice(t, s, neighbour.ID), neighbour)
		}},
		{"a list ascends by id, from After on, Limit at most, one Owner's only", func(t *testing.T, db *database) {
			s := db.prepared()
			ann, bob := newUser(t, s, "ann"), newUser(t, s, "bob")
			var all, bobs []iot.Device
			for _, id := range []iot.DeviceID{iot.MaxDeviceID, 9, 7, 5, 3} { // created from the greatest down
				owner := ann.ID
				if id == 9 || id == 5 {
					owner = bob.ID
				}
				d := newDevice(t, s, iot.Device{ID: id, Name: "x", Owner: owner})
				all = append([]iot.Device{d}, all...)
				if owner == bob.ID {
					bobs = append([]iot.Device{d}, bobs...)
				}
			}
			for _, c := range []struct {
				q    iot.DeviceQuery
				want []iot.Device
			}{
				{iot.DeviceQuery{Limit: 100}, all},
				{iot.DeviceQuery{Limit: 2}, all[:2]},
				{iot.DeviceQuery{After: 5, Limit: 2}, all[2:4]},
				{iot.DeviceQuery{After: 4, Limit: 1}, all[1:2]},
				{iot.DeviceQuery{After: 9, Limit: 5}, all[4:]},
				{iot.DeviceQuery{After: iot.MaxDeviceID, Limit: 5}, nil},
				{iot.DeviceQuery{Owner: bob.ID, Limit: 5}, bobs},
				{iot.DeviceQuery{Owner: bob.ID, Limit: 1}, bobs[:1]},
				{iot.DeviceQuery{Owner: bob.ID, After: 5, Limit: 5}, bobs[1:]},
				{iot.DeviceQuery{Owner: bob.ID + 1, Limit: 5}, nil},
			} {
				got, err := s.Devices(t.Context(), c.q)
				if err != nil {
					t.Fatal(err)
				}
				wantEqual(t, got, c.want)
			}
			_, err := s.Devices(t.Context(), iot.DeviceQuery{})
			wantError(t, err, iot.ErrInvalid)
		}},
		{"a deleted device is gone, and its id can be given again by name", func(t *testing.T, db *database) {
			s := db.prepared()
			ann := newUser(t, s, "ann")
			kept := newDevice(t, s, iot.Device{ID: 4, Name: "kept", Owner: ann.ID})
			newDevice(t, s, iot.Device{ID: 5, Name: "first", Owner: ann.ID, Location: "attic"})
			if _, err := s.DeleteDevice(t.Context(), 5); err != nil {
				t.Fatal(err)
			}
			wantEqual(t, allDevices(t, s), []iot.Device{kept})
			wantError(t, errOf(s.DeleteDevice(t.Context(), 5)), iot.ErrNotFound)
			second := newDevice(t, s, iot.Device{ID: 5, Name: "second", Owner: ann.ID})
			wantEqual(t, findDevice(t, s, 5), second)
		}},
	}
}
