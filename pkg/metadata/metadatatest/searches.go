package metadatatest

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/telltale-iot/telltale/pkg/iot"
)

// searches are about lists of some devices: by text, and by status.
func searches() []promise {
	return []promise{
		{"a text is found in the name, the key and the location, in whatever case, to the letter", func(t *testing.T, db *database) {
			s := db.prepared()
			ann := newUser(t, s, "ann")
			for i, d := range []iot.Device{
				1: {Name: "Boiler 100%", Location: "Cellar"},
				2: {Name: "boiler_2"},
				3: {Name: `back\slash ! 'quoted'`, Location: "north wall"},
				4: {Name: "Küche", Location: "ERDGESCHOSS"},
				5: {Name: "x", Key: "Kitchen-1"},
				6: {Name: "ÜBER", Location: "漢字 😀"},
			} {
				if i == 0 {
					continue
				}
				d.ID, d.Owner = iot.DeviceID(i), ann.ID
				if d.Key != "" {
					d.ID = iot.KeyID(d.Key)
				}
				newDevice(t, s, d)
			}
			for text, want := range map[string]string{
				"boiler": "Boiler 100%,boiler_2", "BOILER": "Boiler 100%,boiler_2", "100%": "Boiler 100%", "0%": "Boiler 100%", "r%2": "",
				"_2": "boiler_2", "r_2": "boiler_2", "r_1": "", "cell": "Boiler 100%", "NORTH W": `back\slash ! 'quoted'`, `k\s`: `back\slash ! 'quoted'`,
				"! '": `back\slash ! 'quoted'`, "'": `back\slash ! 'quoted'`, "kü": "Küche", "erdgeschoß": "", "kitchen-": "x", "KITCHEN": "x",
				"字": "ÜBER", "😀": "ÜBER", "ü": "Küche,ÜBER", "Ü": "Küche,ÜBER", "nothing of that": "", strings.Repeat("x", iot.MaxName): "", "%": "Boiler 100%", "?": "", "?0": "",
			} {
				found, err := s.Devices(t.Context(), iot.DeviceQuery{Text: text, Limit: 10})
				if err != nil {
					t.Fatalf("%q: %v", text, err)
				}
				var names []string
				for _, d := range found {
					names = append(names, d.Name)
				}
				if got := strings.Join(names, ","); got != want {
					t.Errorf("%q: found %s, want %s", text, got, want)
				}
			}
			for _, text := range []string{"a\x00", "\xff", strings.Repeat("x", iot.MaxName+1)} {
				_, err := s.Devices(t.Context(), iot.DeviceQuery{Text: text, Limit: 10})
				wantError(t, err, iot.ErrInvalid)
			}
		}},
		{"a list has the devices of a status, and all of them are one of the three", func(t *testing.T, db *database) {
			s := db.prepared()
			ann := newUser(t, s, "ann")
			const usual = time.Minute
			id := iot.DeviceID(0)
			for _, own := range []time.Duration{0, time.Second, 700 * time.Second, iot.MaxOfflineAfter} {
				for _, silent := range []time.Duration{
					-time.Hour, 0, 999, 1000, 1001, 59999, 60000, 60001, 699999, 700000, 365*24*3600*1000 - 1, 365 * 24 * 3600 * 1000,
				} {
					id++
					newDevice(t, s, iot.Device{ID: id, Name: "x", Owner: ann.ID, OfflineAfter: own})
					keep(t, s, iot.Contact{Device: id, At: noon.Add(-silent * time.Millisecond)})
				}
				id++
				newDevice(t, s, iot.Device{ID: id, Name: "x", Owner: ann.ID, OfflineAfter: own})
			}
			now := noon.Add(999 * time.Microsecond)
			want := map[iot.Status][]iot.Device{}
			for _, d := range allDevices(t, s) {
				want[d.Status(now, usual)] = append(want[d.Status(now, usual)], d)
			}
			for _, status := range iot.Statuses {
				found, err := s.Devices(t.Context(), iot.DeviceQuery{Status: status, Now: now, OfflineAfter: usual, Limit: 100})
				if err != nil {
					t.Fatal(err)
				}
				wantEqual(t, found, want[status])
			}
			wantEqual(t, len(want), len(iot.Statuses))
			_, err := s.Devices(t.Context(), iot.DeviceQuery{Status: "asleep", Now: now, OfflineAfter: usual, Limit: 100})
			wantError(t, err, iot.ErrInvalid)
		}},
		{"a list has no other devices than those that are asked for", func(t *testing.T, db *database) {
			s := db.prepared()
			ann, bob := newUser(t, s, "ann"), newUser(t, s, "bob")
			for id := iot.DeviceID(1); id <= 6; id++ {
				newDevice(t, s, iot.Device{ID: id, Name: "x", Owner: []int64{ann.ID, bob.ID}[id%2]})
			}
			for _, tt := range []struct {
				q    iot.DeviceQuery
				want []iot.DeviceID
			}{
				{iot.DeviceQuery{Devices: []iot.DeviceID{5, 2, 77, 3}}, []iot.DeviceID{2, 3, 5}},
				{iot.DeviceQuery{Devices: []iot.DeviceID{5, 2, 3}, After: 2, Text: "X"}, []iot.DeviceID{3, 5}},
				{iot.DeviceQuery{Devices: []iot.DeviceID{5, 2, 3}, Owner: ann.ID}, []iot.DeviceID{2}},
				{iot.DeviceQuery{Devices: []iot.DeviceID{}}, nil},
			} {
				tt.q.Limit = 10
				found, err := s.Devices(t.Context(), tt.q)
				if err != nil {
					t.Fatal(err)
				}
				var ids []iot.DeviceID
				for _, d := range found {
					ids = append(ids, d.ID)
				}
				wantEqual(t, ids, tt.want)
			}
		}},
		{"pages of a search are as long as asked for, and miss and repeat nothing", func(t *testing.T, db *database) {
			s := db.prepared()
			ann, bob := newUser(t, s, "ann"), newUser(t, s, "bob")
			var want []iot.DeviceID
			for id := iot.DeviceID(1); id <= 60; id++ {
				d := iot.Device{ID: id, Name: fmt.Sprintf("device %d", id), Owner: ann.ID}
				if id%2 == 0 {
					d.Location = "Attic"
				}
				if id%3 == 0 {
					d.Owner = bob.ID
				}
				newDevice(t, s, d)
				if id%5 != 0 {
					keep(t, s, iot.Contact{Device: id, At: noon})
				}
				if id%2 == 0 && id%3 == 0 && id%5 != 0 {
					want = append(want, id)
				}
			}
			q := iot.DeviceQuery{Owner: bob.ID, Text: "attic", Status: iot.StatusOnline, Now: noon, OfflineAfter: time.Minute, Limit: 3}
			var got []iot.DeviceID
			for {
				page, err := s.Devices(t.Context(), q)
				if err != nil {
					t.Fatal(err)
				}
				if len(page) == 0 {
					break
				}
				if len(got)+3 <= len(want) {
					wantEqual(t, len(page), 3)
				}
				for _, d := range page {
					got = append(got, d.ID)
				}
				q.After = got[len(got)-1]
			}
			wantEqual(t, got, want)
		}},
	}
}
