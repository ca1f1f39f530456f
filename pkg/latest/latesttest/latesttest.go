// Package latesttest is the contract of iot.LatestCache as tests, which every backend must pass.
package latesttest

import (
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/telltale-iot/telltale/pkg/iot"
	"github.com/telltale-iot/telltale/pkg/latest"
)

// Suite says how to test a backend.
type Suite struct {
	// Open returns an empty cache that is closed when t ends.
	Open func(t *testing.T) latest.Cache
	// Body runs the body of a test. A backend in this process passes synctest.Test, and time passes at
	// once; for a server it calls body, and expiry is waited for.
	Body func(t *testing.T, body func(t *testing.T))
}

// Run runs the suite, each test on an empty cache.
func (s Suite) Run(t *testing.T) {
	for _, tt := range slices.Concat(keepingTests, memberTests, expiryTests, completeTests) {
		t.Run(tt.promise, func(t *testing.T) {
			s.Body(t, func(t *testing.T) { tt.run(t, s.Open(t)) })
		})
	}
	t.Run("an empty cache that takes the place of another comes to the same values", func(t *testing.T) {
		s.Body(t, func(t *testing.T) { replace(t, s.Open) })
	})
}

type test struct {
	promise string
	run     func(t *testing.T, c latest.Cache)
}

// long is a time to live that does not end during a test.
const long = time.Hour

// maxWait is how long a test waits for what must happen soon.
const maxWait = 10 * time.Second

// base is when readings were measured; how long ago does not matter to a cache. It is before the time of
// synctest's clock.
var base = time.Date(1999, 3, 1, 12, 0, 0, 0, time.UTC)

func now() time.Time { return time.Now().UTC().Truncate(time.Millisecond) }

// reading returns a reading that was received just now. Its temperature is value.
func reading(id iot.DeviceID, at time.Time, value float64) iot.Reading {
	return iot.Reading{
		Device: id, At: at, Received: now(), Stamped: iot.StampDevice,
		Metrics: []iot.Metric{{Name: iot.Temperature, Value: value}},
	}
}

func put(t *testing.T, c latest.Cache, ttl time.Duration, batch ...iot.Reading) {
	t.Helper()
	if _, err := c.PutLatest(t.Context(), batch, ttl); err != nil {
		t.Fatalf("PutLatest: %v", err)
	}
}

// check fails the test unless want is the kept reading of its device.
func check(t *testing.T, c latest.Cache, want iot.Reading) {
	t.Helper()
	got, err := c.Latest(t.Context(), want.Device)
	if err != nil {
		t.Fatalf("Latest(%d): %v", want.Device, err)
	}
	if diff := cmp.Diff(kept(want), got); diff != "" {
		t.Errorf("Latest(%d) (-want +got):\n%s", want.Device, diff)
	}
}

// checkAll fails the test unless want is what AllLatest returns.
func checkAll(t *testing.T, c latest.Cache, want ...iot.Reading) {
	t.Helper()
	got, err := c.AllLatest(t.Context())
	if err != nil {
		t.Fatalf("AllLatest: %v", err)
	}
	wantKept := make([]iot.Reading, len(want))
	for i, r := range want {
		wantKept[i] = kept(r)
	}
	if diff := cmp.Diff(wantKept, got); diff != "" {
		t.Errorf("AllLatest (-want +got):\n%s", diff)
	}
}

// kept is r as a cache returns it.
func kept(r iot.Reading) iot.Reading {
	r.Received, r.Origin, r.Again = time.Time{}, 0, false
	return r
}

func checkNone(t *testing.T, c latest.Cache, id iot.DeviceID) {
	t.Helper()
	if got, err := c.Latest(t.Context(), id); !errors.Is(err, iot.ErrNotFound) {
		t.Errorf("Latest(%d) = %+v, %v; want ErrNotFound", id, got, err)
	}
}

// awaitExpiry waits until the reading of a device is gone, which must not be before due. The wait may last
// longer on a machine that is busy; in a synctest bubble it ends at due.
func awaitExpiry(t *testing.T, c latest.Cache, id iot.DeviceID, due time.Time) {
	t.Helper()
	const step = 5 * time.Millisecond
	for deadline := due.Add(maxWait); ; time.Sleep(step) {
		_, err := c.Latest(t.Context(), id)
		switch {
		case errors.Is(err, iot.ErrNotFound):
			if early := time.Until(due); early > step { // the server has a clock of its own
				t.Errorf("the reading of device %d was gone %v early", id, early)
			}
			return
		case err != nil:
			t.Fatalf("Latest(%d): %v", id, err)
		case time.Now().After(deadline):
			t.Fatalf("the reading of device %d was still there %v late", id, maxWait)
		}
	}
}
