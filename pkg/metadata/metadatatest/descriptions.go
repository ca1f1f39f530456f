package metadatatest

import (
	"strings"
	"testing"

	"github.com/telltale-iot/telltale/pkg/iot"
	"github.com/telltale-iot/telltale/pkg/metadata"
)

// describe calls DescribeDevices.
func describe(t *testing.T, s metadata.Store, described ...iot.Description) {
	t.Helper()
	if err := s.DescribeDevices(t.Context(), described); err != nil {
		t.Fatal(err)
	}
}

// wantDescribed asks that a device is called name, and is at location.
func wantDescribed(t *testing.T, s metadata.Store, id iot.DeviceID, name, location string) {
	t.Helper()
	d, err := s.Device(t.Context(), id)
	if err != nil || d.Name != name || d.Location != location {
		t.Errorf("%+v, %v, want %q at %q", d, err, name, location)
	}
}

func descriptions() []promise {
	return []promise{
		{"a device that nobody has named gets the name and the location that it says, each on its own", func(t *testing.T, db *database) {
			s := db.prepared()
			attic := keyed("attic-7")
			ensureSeen(t, s, iot.Ensured{Created: 3}, attic, iot.Identity{ID: 42}, iot.Identity{ID: 43})
			describe(t, s)
			describe(t, s, iot.Description{ID: attic.ID, Name: "Attic", Location: "Upstairs"}, iot.Description{ID: 42, Name: "Pump"}, iot.Description{ID: 7, Name: "nobody"})
			wantDescribed(t, s, attic.ID, "Attic", "Upstairs")
			wantDescribed(t, s, 42, "Pump", "")
			wantDescribed(t, s, 43, "Device 43", "")
			describe(t, s, iot.Description{ID: 42, Location: "Cellar"}, iot.Description{ID: 43, Location: "Garden"})
			wantDescribed(t, s, 42, "Pump", "Cellar")
			wantDescribed(t, s, 43, "Device 43", "Garden")
			if len(allDevices(t, s)) != 3 {
				t.Errorf("%v, want three", allDevices(t, s))
			}
		}},
		{"what somebody has written stays", func(t *testing.T, db *database) {
			s := db.prepared()
			ensure(t, s, 1, 42)
			name, location := "Greenhouse", "South"
			if _, _, err := s.UpdateDevice(t.Context(), 42, iot.DeviceChange{Name: &name, Location: &location}); err != nil {
				t.Fatal(err)
			}
			describe(t, s, iot.Description{ID: 42, Name: "Pump", Location: "Cellar"})
			wantDescribed(t, s, 42, name, location)
		}},
		{"what no device may be called is passed over", func(t *testing.T, db *database) {
			s := db.prepared()
			ensure(t, s, 1, 42)
			tooLong := strings.Repeat("x", iot.MaxName+1)
			describe(t, s, iot.Description{ID: 42, Name: tooLong, Location: "Cellar"})
			wantDescribed(t, s, 42, "Device 42", "Cellar")
		}},
	}
}
