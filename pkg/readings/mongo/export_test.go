package mongo

import (
	"context"
	"log/slog"
	"slices"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/telltale-iot/telltale/pkg/iot"
	"github.com/telltale-iot/telltale/pkg/rollup"
)

// SetMaxStoredBytes has s keep less than usual in memory of what is stored.
func (s *Store) SetMaxStoredBytes(n int) { s.maxBytes = n }

// StoredBytes returns the size of what is kept in memory of what is stored where readings should go.
func (s *Store) StoredBytes(ctx context.Context, readings []iot.Reading) (n int, err error) {
	documents, _, err := s.findStored(ctx, firstRound(readings).insert)
	for _, document := range documents {
		n += len(document)
	}
	return n, err
}

// MaintainNow does all at once that Maintain does some time, without its pauses.
func (s *Store) MaintainNow(ctx context.Context) error {
	m := s.newMaintainer()
	m.grace = 0
	defer m.release(context.WithoutCancel(ctx))
	p, _, err := m.observe(ctx)
	if err == nil {
		err = m.work(ctx, p)
	}
	for more := true; more && err == nil; {
		more, err = m.backfill(ctx)
	}
	return err
}

// ForgetProgress has inserts ask for the progress each time, which they do without while closeGrace is over between
// what they need to know and when it matters.
func (s *Store) ForgetProgress() {
	s.maxProgressAge = 0
	s.recheckAfter = 0
}

// SetClock has s take that for the server's.
func (s *Store) SetClock(clock func() time.Time) { s.clock = clock }

// RebuildAfter does what RebuildRollups does, with a pause before each time that it computes something.
func (s *Store) RebuildAfter(ctx context.Context, pause func()) (rollup.Checked, error) {
	return s.eachRolledUp(ctx, slog.New(slog.DiscardHandler), func(devices []iot.DeviceID, in interval) error {
		pause()
		return s.recompute(ctx, devices, in)
	})
}

// Recomputer computes an hour of a device that is marked, as Maintain does, and can be stopped between its steps.
type Recomputer struct {
	s       *Store
	hour    key
	step    int
	marks   []mark
	days    map[iot.DeviceID]*dayDocument
	changed []*dayDocument
}

func (s *Store) NewRecomputer(device iot.DeviceID, at time.Time) *Recomputer {
	return &Recomputer{s: s, hour: key{device, hourOf(at.UnixMilli())}}
}

// Next takes the next step, the first one again behind the last.
func (r *Recomputer) Next(ctx context.Context) (err error) {
	devices, in := []iot.DeviceID{r.hour.device}, interval{r.hour.at, r.hour.at + hour}
	var again []iot.DeviceID
	switch r.step++; r.step {
	case 1:
		r.marks, err = r.s.marksAfter(ctx, bson.D{})
		r.marks = slices.DeleteFunc(r.marks, func(m mark) bool { return m.key() != r.hour })
		if len(r.marks) == 0 {
			r.step = 0
		}
	case 2:
		r.days, err = r.s.findDays(ctx, devices, dayOf(r.hour.at))
	case 3:
		r.changed, _, err = r.s.computed(ctx, devices, r.days, in)
	case 4:
		if again, err = r.s.replaceDays(ctx, r.changed); len(again) > 0 {
			r.step = 1
		}
	case 5:
		err = r.s.unmark(ctx, r.marks)
		r.step = 0
	}
	return err
}

// InsertUnmarked does what InsertReadings does before a crash that keeps it from marking hours.
func (s *Store) InsertUnmarked(ctx context.Context, batch []iot.Reading) error {
	defer func(p *knownProgress, age time.Duration) {
		s.known.Store(p)
		s.maxProgressAge = age
	}(s.known.Load(), s.maxProgressAge)
	s.known.Store(&knownProgress{asked: time.Now()})
	s.maxProgressAge = time.Hour
	_, err := s.InsertReadings(ctx, batch)
	return err
}

// Maintainer is one that is stopped between the steps of its backfill.
type Maintainer struct{ m *maintainer }

func (s *Store) NewMaintainer(ctx context.Context) (Maintainer, error) {
	m := s.newMaintainer()
	m.grace = 0
	_, _, err := m.observe(ctx)
	return Maintainer{m}, err
}

// Backfill takes the next step, and reports whether there is more.
func (m Maintainer) Backfill(ctx context.Context) (more bool, err error) { return m.m.backfill(ctx) }

// RecomputeDevices is of how many devices a step is at most.
const RecomputeDevices = recomputeDevices

// SetMaxDayMetrics has s roll up days of less metrics than usual.
func (s *Store) SetMaxDayMetrics(n int) { s.maxDayMetrics = n }

// Retain has the server remove what is too old.
func (m Maintainer) Retain(ctx context.Context) error {
	p, err := m.m.progress(ctx)
	if err != nil {
		return err
	}
	return m.m.retain(ctx, p)
}

// Drain computes what is marked.
func (s *Store) Drain(ctx context.Context) error { return s.newMaintainer().drain(ctx) }
