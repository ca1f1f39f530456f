package scope

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/telltale-iot/telltale/pkg/iot"
	"github.com/telltale-iot/telltale/services/query-api/access"
)

// directory is a store of devices.
type directory struct {
	Metadata
	asked atomic.Int64
	ask   func(iot.DeviceQuery) ([]iot.Device, error)
}

func (d *directory) Devices(_ context.Context, q iot.DeviceQuery) ([]iot.Device, error) {
	d.asked.Add(1)
	return d.ask(q)
}

func owns(ids ...iot.DeviceID) func(iot.DeviceQuery) ([]iot.Device, error) {
	return func(q iot.DeviceQuery) (devices []iot.Device, err error) {
		for _, id := range ids {
			devices = append(devices, iot.Device{ID: id, Owner: q.Owner})
		}
		return devices[:min(len(devices), q.Limit)], nil
	}
}

func TestSince(t *testing.T) {
	ann := &access.Principal{Owner: 1}
	t.Run("what is known is new enough, or asked for", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			store := &directory{ask: owns(7)}
			scopes := New(store)
			wants := func(since time.Duration, asked int64, has iot.DeviceID) {
				t.Helper()
				s, err := scopes.Since(t.Context(), ann, time.Now().Add(-since))
				if err != nil || !s.Has(has) || s.Has(9) || store.asked.Load() != asked {
					t.Errorf("%+v, %v, asked %d times; want %d and %d times", s, err, store.asked.Load(), has, asked)
				}
			}
			wants(MaxStale, 1, 7)
			store.ask = owns(8)
			time.Sleep(MaxStale - 1)
			wants(MaxStale, 1, 7)
			wants(0, 2, 8)
			store.ask = owns(7, 8)
			time.Sleep(MaxStale + 1)
			wants(MaxStale, 3, 7)
		})
	})
	t.Run("many who ask at the same time wait for one question, which is not older than they allow", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			store := &directory{}
			answers := make(chan []iot.Device)
			store.ask = func(iot.DeviceQuery) ([]iot.Device, error) { return <-answers, nil }
			scopes := New(store)
			var wait sync.WaitGroup
			ask := func(since time.Time, has bool) {
				wait.Go(func() {
					if s, err := scopes.Since(t.Context(), ann, since); err != nil || s.Has(7) != has {
						t.Errorf("%+v, %v", s, err)
					}
				})
			}
			ask(time.Now().Add(-MaxStale), true)
			synctest.Wait()
			time.Sleep(time.Millisecond)
			for range 10 {
				ask(time.Now().Add(-MaxStale), true)
				ask(time.Now(), false)
			}
			synctest.Wait()
			time.Sleep(time.Millisecond)
			answers <- []iot.Device{{ID: 7}}
			synctest.Wait()
			answers <- nil // it is not hers any more
			wait.Wait()
			if n := store.asked.Load(); n != 2 {
				t.Errorf("asked %d times", n)
			}
		})
	})
	t.Run("a store that is away is an error, and asked again", func(t *testing.T) {
		away := errors.New("away")
		store := &directory{ask: func(iot.DeviceQuery) ([]iot.Device, error) { return nil, away }}
		scopes := New(store)
		for range 2 {
			if s, err := scopes.Since(t.Context(), ann, time.Now()); !errors.Is(err, away) || s != nil {
				t.Errorf("%+v, %v", s, err)
			}
		}
	})
	t.Run("one who leaves waits no longer", func(t *testing.T) {
		release := make(chan struct{})
		scopes := New(&directory{ask: func(iot.DeviceQuery) ([]iot.Device, error) { <-release; return nil, nil }})
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if _, err := scopes.Since(ctx, ann, time.Now()); !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
		close(release)
	})
	t.Run("who sees everything is not looked up, nor is one who sees what a token names", func(t *testing.T) {
		scopes := New(nil)
		if s, err := scopes.Since(t.Context(), access.Everything(""), time.Now()); s != nil || err != nil {
			t.Errorf("%+v, %v", s, err)
		}
		s, err := scopes.Since(t.Context(), &access.Principal{Devices: []iot.DeviceID{9, 3, 9}}, time.Now())
		if err != nil || !s.Has(3) || !s.Has(9) || s.Has(4) || len(s.Devices(nil)) != 2 {
			t.Errorf("%+v, %v", s, err)
		}
		if s, err = scopes.Since(t.Context(), &access.Principal{Devices: []iot.DeviceID{}}, time.Now()); err != nil || s.Devices(nil) == nil || len(s.Devices(nil)) > 0 {
			t.Errorf("%+v, %v: of nothing", s, err)
		}
	})
}

func TestWhatIsKept(t *testing.T) {
	ids := make([]iot.DeviceID, MaxDevices)
	for i := range ids {
		ids[i] = iot.DeviceID(i + 1)
	}
	synctest.Test(t, func(t *testing.T) {
		scopes := New(&directory{ask: owns(ids...)})
		ask := func(user int) {
			if s, err := scopes.Since(t.Context(), &access.Principal{Owner: int64(user)}, time.Now().Add(-MaxStale)); err != nil || len(s.Devices(nil)) != MaxDevices {
				t.Fatalf("%+v, %v", s, err)
			}
			kept := 0
			for _, o := range scopes.owned {
				kept += len(o.devices)
			}
			if kept != scopes.kept || kept > maxKept {
				t.Fatalf("%d devices are kept, and counted as %d", kept, scopes.kept)
			}
		}
		for range 2 {
			for user := range maxKept/MaxDevices + 10 {
				ask(user + 1)
			}
		}
		time.Sleep(2 * MaxStale)
		ask(10_000)
		if len(scopes.owned) != 1 {
			t.Errorf("of %d users", len(scopes.owned))
		}
	})
}
