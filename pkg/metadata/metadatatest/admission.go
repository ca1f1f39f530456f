package metadatatest

import (
	"context"
	"sync/atomic"
	"testing"

	"github.com/telltale-iot/telltale/pkg/iot"
	"github.com/telltale-iot/telltale/pkg/metadata"
)

// admitSeen calls EnsureDevices with an admission, which is to return want.
func admitSeen(t *testing.T, s metadata.Store, a iot.Admission, want iot.Ensured, devices ...iot.Identity) {
	t.Helper()
	got, err := s.EnsureDevices(t.Context(), devices, a)
	if err != nil {
		t.Fatal(err)
	}
	wantEqual(t, got, want)
}

// admission is about devices that may not register themselves.
func admission() []promise {
	kitchen := keyed("kitchen-1")
	return []promise{
		{"known devices alone are admitted, and get their keys", func(t *testing.T, db *database) {
			s, known := db.prepared(), iot.Admission{KnownOnly: true}
			ensure(t, s, 2, 7, kitchen.ID)
			admitSeen(t, s, known, iot.Ensured{Unknown: seen(8, 9)}, seen(9, 7, 8)...)
			admitSeen(t, s, known, iot.Ensured{Unknown: []iot.Identity{keyed("garden")}}, keyed("garden"), kitchen)
			wantEqual(t, findDevice(t, s, kitchen.ID).Key, "kitchen-1")
			wantEqual(t, len(allDevices(t, s)), 2)
		}},
		{"an unknown device that is seen with its key and without is unknown both ways", func(t *testing.T, db *database) {
			want := []iot.Identity{{ID: kitchen.ID}, kitchen}
			s := db.prepared()
			admitSeen(t, s, iot.Admission{KnownOnly: true}, iot.Ensured{Unknown: want}, want...)
			ensure(t, s, 1, 7)
			admitSeen(t, s, iot.Admission{Most: 1}, iot.Ensured{TooMany: want}, want...)
		}},
		{"there are no more devices than may be", func(t *testing.T, db *database) {
			s, three := db.prepared(), iot.Admission{Most: 3}
			ensure(t, s, 1, 7)
			admitSeen(t, s, three, iot.Ensured{Created: 2, TooMany: seen(4)}, seen(4, 7, 3, 2)...)
			admitSeen(t, s, three, iot.Ensured{}, seen(7, 2)...)
			admitSeen(t, s, iot.Admission{Most: 1}, iot.Ensured{TooMany: seen(8)}, seen(7, 8, 2)...)
			if _, err := s.DeleteDevice(t.Context(), 2); err != nil {
				t.Fatal(err)
			}
			admitSeen(t, s, three, iot.Ensured{Created: 1}, seen(4, 7)...)
		}},
		{"several processes register as many as there may be, and no more", func(t *testing.T, db *database) {
			const most, processes = 50, 4
			var created, tooMany atomic.Int64
			stores := []metadata.Store{db.prepared(), db.prepared()}
			concurrently(t, processes, func(ctx context.Context, process int) error {
				for round := range 10 {
					var ids []iot.DeviceID
					for i := range 5 {
						ids = append(ids, iot.DeviceID(1000*process+10*round+i+1))
					}
					got, err := stores[process%2].EnsureDevices(ctx, seen(ids...), iot.Admission{Most: most})
					if err != nil {
						return err
					}
					created.Add(int64(got.Created))
					tooMany.Add(int64(len(got.TooMany)))
				}
				return nil
			})
			wantEqual(t, []int64{created.Load(), tooMany.Load()}, []int64{most, processes*50 - most})
			wantEqual(t, len(allDevices(t, stores[0])), most)
		}},
	}
}
