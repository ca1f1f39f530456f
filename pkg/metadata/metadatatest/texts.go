package metadatatest

import (
	"strings"
	"testing"

	"github.com/telltale-iot/telltale/pkg/iot"
)

func texts() []promise {
	return []promise{
		{"texts are kept to the letter", func(t *testing.T, db *database) {
			s := db.prepared()
			for _, text := range []string{
				"😀 ünïcödé 漢字 \u202e", `back\slash \' \" \\`, `'; DROP TABLE users; --`, `"quoted" 'quoted' ''`, "`tick`",
				"?", "?0 ?? $1 %s :name @x {0}", "\x01\x1a\x7f", "line\r\nline\ttab", " leading and trailing ", "\ufffd", "NULL",
			} {
				u, err := s.CreateUser(t.Context(), iot.User{Username: text, Email: text})
				if err != nil {
					t.Fatal(err)
				}
				wantEqual(t, findUser(t, s, u.ID), iot.User{ID: u.ID, Username: text, Email: text, CreatedAt: u.CreatedAt})
				found, err := s.Users(t.Context(), iot.UserQuery{Username: text, Limit: 2})
				if err != nil {
					t.Fatal(err)
				}
				wantEqual(t, found, []iot.User{u})

				d := newDevice(t, s, iot.Device{Name: text, Owner: u.ID, Location: text})
				wantEqual(t, findDevice(t, s, d.ID), iot.Device{ID: d.ID, Name: text, Owner: u.ID, Location: text, CreatedAt: d.CreatedAt})
				changed, _, err := s.UpdateDevice(t.Context(), d.ID, iot.DeviceChange{Name: ptr(text + text), Location: ptr(text + text)})
				if err != nil {
					t.Fatal(err)
				}
				wantEqual(t, changed, iot.Device{ID: d.ID, Name: text + text, Owner: u.ID, Location: text + text, CreatedAt: d.CreatedAt})
			}
		}},
		{"lengths count in characters", func(t *testing.T, db *database) {
			s := db.prepared()
			u, err := s.CreateUser(t.Context(), iot.User{Username: strings.Repeat("😀", 150), Email: strings.Repeat("ü", 254)})
			if err != nil {
				t.Fatal(err)
			}
			wantEqual(t, findUser(t, s, u.ID), u)
			long := strings.Repeat("漢", 255)
			d := newDevice(t, s, iot.Device{Name: long, Owner: u.ID, Location: long})
			wantEqual(t, findDevice(t, s, d.ID), d)
		}},
		{"a text that cannot be kept is ErrInvalid, and nothing is stored", func(t *testing.T, db *database) {
			s := db.prepared()
			ann := newUser(t, s, "ann")
			device := newDevice(t, s, iot.Device{ID: 5, Name: "x", Owner: ann.ID})
			// What no database keeps, and one character too many for each field. Then the empty text, which
			// email and location may be.
			broken := []string{"NUL \x00", "not UTF-8 \xff", "half a character \xed\xa0\x80"}
			username := append([]string{strings.Repeat("é", 151), ""}, broken...)
			email := append([]string{strings.Repeat("é", 255)}, broken...)
			name := append([]string{strings.Repeat("é", 256), ""}, broken...)
			location := append([]string{strings.Repeat("é", 256)}, broken...)
			for _, text := range username {
				_, err := s.CreateUser(t.Context(), iot.User{Username: text, Email: "bob@example.com"})
				wantError(t, err, iot.ErrInvalid)
				_, err = s.UpdateUser(t.Context(), ann.ID, iot.UserChange{Username: ptr(text), Email: ptr("new")})
				wantError(t, err, iot.ErrInvalid)
				if text != "" { // else every name
					_, err = s.Users(t.Context(), iot.UserQuery{Username: text, Limit: 1})
					wantError(t, err, iot.ErrInvalid)
				}
			}
			for _, text := range email {
				_, err := s.CreateUser(t.Context(), iot.User{Username: "bob", Email: text})
				wantError(t, err, iot.ErrInvalid)
				_, err = s.UpdateUser(t.Context(), ann.ID, iot.UserChange{Username: ptr("new"), Email: ptr(text)})
				wantError(t, err, iot.ErrInvalid)
			}
			for _, text := range name {
				_, err := s.CreateDevice(t.Context(), iot.Device{Name: text, Owner: ann.ID})
				wantError(t, err, iot.ErrInvalid)
				_, _, err = s.UpdateDevice(t.Context(), 5, iot.DeviceChange{Name: ptr(text), Location: ptr("new")})
				wantError(t, err, iot.ErrInvalid)
			}
			for _, text := range location {
				_, err := s.CreateDevice(t.Context(), iot.Device{Name: "y", Owner: ann.ID, Location: text})
				wantError(t, err, iot.ErrInvalid)
				_, _, err = s.UpdateDevice(t.Context(), 5, iot.DeviceChange{Name: ptr("new"), Location: ptr(text)})
				wantError(t, err, iot.ErrInvalid)
			}
			all, err := s.Users(t.Context(), iot.UserQuery{Limit: 10})
			if err != nil {
				t.Fatal(err)
			}
			wantEqual(t, all, []iot.User{ann})
			wantEqual(t, allDevices(t, s), []iot.Device{device})
		}},
	}
}
