package metadatatest

import (
	"testing"

	"github.com/telltale-iot/telltale/pkg/iot"
)

func users() []promise {
	return []promise{
		{"a created user is returned as it is found", func(t *testing.T, db *database) {
			s := db.prepared()
			ann, err := s.CreateUser(t.Context(), iot.User{ID: 77, Username: "ann", Email: "ann@example.com"})
			if err != nil {
				t.Fatal(err)
			}
			wantFresh(t, ann.CreatedAt)
			wantEqual(t, ann, iot.User{ID: ann.ID, Username: "ann", Email: "ann@example.com", CreatedAt: ann.CreatedAt})
			found := findUser(t, s, ann.ID)
			wantFresh(t, found.CreatedAt)
			wantEqual(t, found, ann)
		}},
		{"every user has an id of its own, and a deleted one's is not given again", func(t *testing.T, db *database) {
			s := db.prepared()
			ann, bob := newUser(t, s, "ann"), newUser(t, s, "bob")
			if _, err := s.DeleteUser(t.Context(), bob.ID); err != nil {
				t.Fatal(err)
			}
			cleo := newUser(t, s, "cleo")
			if ann.ID < 1 || bob.ID <= ann.ID || cleo.ID <= bob.ID {
				t.Fatalf("ids %d, %d, %d do not ascend from 1", ann.ID, bob.ID, cleo.ID)
			}
		}},
		{"a taken username is ErrConflict", func(t *testing.T, db *database) {
			s := db.prepared()
			ann, bob := newUser(t, s, "ann"), newUser(t, s, "bob")
			_, err := s.CreateUser(t.Context(), iot.User{Username: "ann"})
			wantError(t, err, iot.ErrConflict)
			_, err = s.UpdateUser(t.Context(), bob.ID, iot.UserChange{Username: ptr("ann"), Email: ptr("new@example.com")})
			wantError(t, err, iot.ErrConflict)
			wantEqual(t, findUser(t, s, ann.ID), ann)
			wantEqual(t, findUser(t, s, bob.ID), bob) // its email too
		}},
		{"usernames differ by case, spaces, accents and composition", func(t *testing.T, db *database) {
			s := db.prepared()
			names := []string{
				"ann", "Ann", "ANN", " ann", "ann ", "ann  ", "ann\t", "änn", "a\u0308nn", "ａｎｎ", "straße", "strasse",
				"ﬁn", "fin", "😀", "😁", "ı", "i", "İ", "I", "\u200bann", "ann\u00a0", "1", "01", "%", "_",
			}
			for _, name := range names {
				u := newUser(t, s, name)
				_, err := s.CreateUser(t.Context(), iot.User{Username: name})
				wantError(t, err, iot.ErrConflict)
				found, err := s.Users(t.Context(), iot.UserQuery{Username: name, Limit: 10})
				if err != nil {
					t.Fatal(err)
				}
				wantEqual(t, found, []iot.User{u})
			}
		}},
		{"a user who does not exist is ErrNotFound", func(t *testing.T, db *database) {
			s := db.prepared()
			newUser(t, s, "ann")
			for _, id := range []int64{-1, 0, 12345, 1<<63 - 1} {
				_, err := s.User(t.Context(), id)
				wantError(t, err, iot.ErrNotFound)
				_, err = s.UpdateUser(t.Context(), id, iot.UserChange{})
				wantError(t, err, iot.ErrNotFound)
				_, err = s.UpdateUser(t.Context(), id, iot.UserChange{Username: ptr("bob")})
				wantError(t, err, iot.ErrNotFound)
				wantError(t, errOf(s.DeleteUser(t.Context(), id)), iot.ErrNotFound)
			}
			found, err := s.Users(t.Context(), iot.UserQuery{Username: "bob", Limit: 1})
			if err != nil || len(found) != 0 {
				t.Fatalf("found %v, %v, want none", found, err)
			}
		}},
		{"an update sets the fields that it names and no others", func(t *testing.T, db *database) {
			s := db.prepared()
			newUser(t, s, "neighbour")
			want := newUser(t, s, "ann")
			for _, c := range []iot.UserChange{
				{},
				{Username: ptr("bob")},
				{Email: ptr("bob@example.com")},
				{Email: ptr("")},
				{Username: ptr("cleo"), Email: ptr("cleo@example.com")},
				{Username: ptr("cleo"), Email: ptr("cleo@example.com")}, // changes nothing
			} {
				if c.Username != nil {
					want.Username = *c.Username
				}
				if c.Email != nil {
					want.Email = *c.Email
				}
				got, err := s.UpdateUser(t.Context(), want.ID, c)
				if err != nil {
					t.Fatal(err)
				}
				wantEqual(t, got, want)
				wantEqual(t, findUser(t, s, want.ID), want)
			}
			neighbours, err := s.Users(t.Context(), iot.UserQuery{Username: "neighbour", Limit: 1})
			if err != nil || len(neighbours) != 1 {
				t.Fatalf("the other user: %v, %v", neighbours, err)
			}
		}},
		{"a list ascends by id, from After on, Limit at most", func(t *testing.T, db *database) {
			s := db.prepared()
			var all []iot.User
			for _, name := range []string{"e", "d", "c", "b", "a"} {
				all = append(all, newUser(t, s, name))
			}
			for _, c := range []struct {
				q    iot.UserQuery
				want []iot.User
			}{
				{iot.UserQuery{Limit: 100}, all},
				{iot.UserQuery{Limit: 2}, all[:2]},
				{iot.UserQuery{After: all[1].ID, Limit: 2}, all[2:4]},
				{iot.UserQuery{After: all[3].ID, Limit: 2}, all[4:]},
				{iot.UserQuery{After: all[4].ID, Limit: 2}, nil},
				{iot.UserQuery{Username: "b", Limit: 2}, all[3:4]},
				{iot.UserQuery{Username: "b", After: all[3].ID, Limit: 2}, nil},
			} {
				got, err := s.Users(t.Context(), c.q)
				if err != nil {
					t.Fatal(err)
				}
				wantEqual(t, got, c.want)
			}
			_, err := s.Users(t.Context(), iot.UserQuery{})
			wantError(t, err, iot.ErrInvalid)
		}},
		{"a deleted user's devices are deleted, and no others", func(t *testing.T, db *database) {
			s := db.prepared()
			ann, bob := newUser(t, s, "ann"), newUser(t, s, "bob")
			for id := range iot.DeviceID(10) {
				newDevice(t, s, iot.Device{ID: id + 1, Name: "ann's", Owner: ann.ID})
			}
			kept := newDevice(t, s, iot.Device{ID: 5000, Name: "bob's", Owner: bob.ID})
			if _, err := s.DeleteUser(t.Context(), ann.ID); err != nil {
				t.Fatal(err)
			}
			wantEqual(t, allDevices(t, s), []iot.Device{kept})
			_, err := s.User(t.Context(), ann.ID)
			wantError(t, err, iot.ErrNotFound)
			newUser(t, s, "ann") // the name is free
		}},
	}
}
