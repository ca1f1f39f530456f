package historycheck

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/telltale-iot/telltale/deploy/acceptance/history"
	"github.com/telltale-iot/telltale/pkg/iot"
)

// moving is a load whose readings arrive at 2,000 a second, an hour of them each second, a fifth of them up to three hours
// late, around the end of a month. A tenth gets another metric later.
type moving struct {
	devices, seconds int
	from             time.Time
	want             map[history.Key]map[string]float64 // by key, what was published
	keys             []history.Key                      // in their order
}

const (
	movingRate  = 2000
	movingGap   = 50 * time.Millisecond
	movingSpeed = 3600 // so many times as fast as in life
	movingLate  = 3 * time.Hour
	movingPage  = 500 // readings of a page: a walk has many
)

func (m *moving) publish(ctx context.Context, s *system) error {
	c, err := connect(s.mqtt, "moving")
	if err != nil {
		return err
	}
	defer c.Disconnect(100)
	dice := rand.New(rand.NewPCG(11, 1)) //nolint:gosec // dice, not secrets
	tick := time.NewTicker(movingGap)
	defer tick.Stop()
	for n := 0; n < m.seconds*movingRate; {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
		}
		var readings []string
		for range int(movingRate * movingGap / time.Second) {
			readings = append(readings, m.next(dice, n))
			n++
		}
		if err := acknowledged(c.Publish("sensors/data", 1, false, "["+strings.Join(readings, ",")+"]")); err != nil {
			return err
		}
	}
	return nil
}

// next is the nth reading.
func (m *moving) next(dice *rand.Rand, n int) string {
	at := m.from.Add(time.Duration(n) * movingSpeed * time.Second / movingRate)
	key, name := history.Key{Device: iot.DeviceID(1 + n%m.devices), At: at.UnixMilli()}, iot.Temperature
	switch dice.IntN(10) {
	case 0, 1:
		key.At -= dice.Int64N(movingLate.Milliseconds())
	case 2:
		if recent := min(len(m.keys), movingRate*int(movingLate/time.Hour)); recent > 0 {
			key, name = m.keys[len(m.keys)-1-dice.IntN(recent)], iot.Humidity
		}
	}
	if m.want[key] == nil {
		m.want[key] = map[string]float64{}
		m.keys = append(m.keys, key)
	}
	value, ok := m.want[key][name]
	if !ok {
		value = float64(n)
		m.want[key][name] = value
	}
	return fmt.Sprintf(`{"device_id":%d,"timestamp":%d,%q:%v}`, key.Device, key.At, name, value)
}

// check compares what is stored with what was published.
func (m *moving) check(t *testing.T, readings []history.Reading) {
	t.Helper()
	if len(readings) != len(m.want) {
		t.Errorf("%d readings in the end, want %d", len(readings), len(m.want))
	}
	wrong := 0
	for _, r := range readings {
		if !maps.Equal(r.Metrics, m.want[r.Key]) {
			if wrong++; wrong <= 5 {
				t.Errorf("%s, want %v", r.Line, m.want[r.Key])
			}
		}
	}
	if wrong > 0 {
		t.Errorf("%d readings are wrong", wrong)
	}
}

// confirmed are the readings that somebody has seen: whoever looks from then on has to see them too.
type confirmed struct {
	mu   sync.Mutex
	keys []history.Key
	has  map[history.Key]bool
}

func (c *confirmed) len() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.keys)
}

// look has each reading seen by a function that reads all that are there.
func (c *confirmed) look(what string, read func(each func(history.Key)) error) error {
	before := c.len()
	found := map[history.Key]bool{}
	if err := read(func(k history.Key) { found[k] = true }); err != nil {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, k := range c.keys[:before] {
		if !found[k] {
			return fmt.Errorf("%s of %d readings misses that of device %d at %v, which was there before", what, len(found), k.Device, time.UnixMilli(k.At).UTC())
		}
	}
	for k := range found {
		if !c.has[k] {
			c.has[k] = true
			c.keys = append(c.keys, k)
		}
	}
	return nil
}

// TestReadAcrossSeals: while readings arrive, are sealed, and a month ends, a walk and an export miss none and repeat none, and
// no count falls.
func TestReadAcrossSeals(t *testing.T) {
	t.Parallel()
	m := moving{want: map[history.Key]map[string]float64{}, devices: 4, seconds: choose(4, 60)}
	now := time.Now().UTC()
	month := time.Date(now.Year(), now.Month()-1, 1, 0, 0, 0, 0, time.UTC)
	m.from = month.Add(-time.Duration(m.seconds) * time.Hour / 2)
	to := m.from.Add(time.Duration(m.seconds) * time.Hour)
	s := start(t, sealing)
	known := &confirmed{has: map[history.Key]bool{}}
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	g, ctx := errgroup.WithContext(ctx)
	looks := map[string]int{}
	var mu sync.Mutex
	// again does something until all is published, and once more.
	again := func(what string, do func(context.Context) error) {
		g.Go(func() error {
			for last := false; !last; {
				last = ctx.Err() != nil
				if err := do(t.Context()); err != nil {
					return fmt.Errorf("%s: %w", what, err)
				}
				mu.Lock()
				looks[what]++
				mu.Unlock()
			}
			return nil
		})
	}
	g.Go(func() error {
		defer stop()
		return m.publish(ctx, s)
	})
	again("walk", func(ctx context.Context) error {
		return known.look("a walk", func(each func(history.Key)) error { _, err := s.walk(ctx, movingPage, each); return err })
	})
	again("export", func(ctx context.Context) error {
		return known.look("an export", func(each func(history.Key)) error { return s.export(ctx, &seen{}, 0, each) })
	})
	for _, interval := range []string{"15m", "1h", "1d", "1mo&tz=Asia/Kathmandu"} {
		again("series by "+interval, s.countsNeverFall(m.devices, m.from.Add(-movingLate), to, interval, known))
	}
	again("statistics", func(ctx context.Context) error {
		before := known.len()
		total, err := s.total(ctx)
		if err == nil && total < before {
			err = fmt.Errorf("%d readings, %d have been seen", total, before)
		}
		return err
	})
	if err := g.Wait(); err != nil {
		t.Fatal(err)
	}
	published := len(m.want)
	sealed := int(s.metric(t, "telltale_store_sealed_readings_total")) // once more where more came to them
	if sealed < published/2 {
		t.Errorf("%d of %d readings were sealed meanwhile", sealed, published)
	}
	check := func() {
		var readings []history.Reading
		eventually(t, waitTimeout, "all are read", func() (ok bool) {
			var err error
			readings, err = history.Read(t.Context(), s.api)
			return err == nil
		})
		m.check(t, readings)
	}
	s.awaitStored(t, published)
	eventually(t, waitTimeout, "all read by the writer", func() bool {
		return s.became(t, "stored")+s.became(t, "merged")+s.became(t, "duplicate") == m.seconds*movingRate
	})
	check()
	s.awaitSealed(t)
	check()
	t.Logf("%d readings, %d times sealed meanwhile; looks: %v", published, sealed, looks)
}

// countsNeverFall returns a function that looks at the counts of charts, and fails where one was higher before, or where all
// together are less than the readings that are known.
func (s *system) countsNeverFall(devices int, from, to time.Time, interval string, known *confirmed) func(context.Context) error {
	path := fmt.Sprintf("/api/series/?metric=temperature&agg=count&from=%s&to=%s&interval=%s", from.Format(time.RFC3339), to.Format(time.RFC3339), interval)
	for device := range devices {
		path += fmt.Sprintf("&device_id=%d", 1+device)
	}
	high := map[history.Key]int64{}
	return func(ctx context.Context) error {
		before := known.len()
		response, err := s.ask(ctx, path)
		if err != nil {
			return err
		}
		defer response.Body.Close()
		var charts []struct {
			Device   iot.DeviceID `json:"device_id"`
			T, Count []int64
		}
		if err := json.NewDecoder(response.Body).Decode(&charts); err != nil {
			return err
		}
		now, total := map[history.Key]int64{}, 0
		for _, c := range charts {
			for i, at := range c.T {
				now[history.Key{Device: c.Device, At: at}] = c.Count[i]
				total += int(c.Count[i])
			}
		}
		for k, n := range high {
			if now[k] < n {
				return fmt.Errorf("the count of device %d from %v on has fallen from %d to %d", k.Device, time.UnixMilli(k.At).UTC(), n, now[k])
			}
		}
		if total < before {
			return fmt.Errorf("%d readings are counted, %d have been seen", total, before)
		}
		high = now
		return nil
	}
}
