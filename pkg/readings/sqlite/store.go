package sqlite

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/telltale-iot/telltale/pkg/internal/dirsync"
	"github.com/telltale-iot/telltale/pkg/iot"
	"github.com/telltale-iot/telltale/pkg/readings/internal/occupied"
)

// Store is a readings.Store.
type Store struct {
	months  string // the directory of their files
	oldPath string // of the file of earlier versions
	files   files

	turn chan struct{} // filled by the call that writes
	// For the call that has it.
	occupied  occupied.Ranges
	slice     *slice             // that is being sealed, or nil
	turnBytes int                // maxTurnBytes, and less in tests
	refused   int64              // readings before it are too old already, while the horizon is about to move there
	expiry    int64              // likewise by the clock, which may be set back: the horizon moves only where there is something before it
	left      map[place]struct{} // devices and hours of which rows cannot be sealed; they are not tried until something else comes

	// For Maintain.
	migrated   bool  // nothing is in the old file
	written    int64 // the last that an earlier version has written there beside us; see insertWritten
	moveAtOnce int   // maxMoved, and less in tests
	nearMax    bool  // the readings take nearly as many bytes as they may
	trimmed    int64 // the horizon up to which everything is removed, and given back to the disk
	retention  iot.Retention
	now        func() time.Time
	opened     time.Time
	clock      clock
	saved      clock         // as it stands in its file
	full       chan struct{} // filled when there are too many rows
	sealAfter  time.Duration
	sealedAt   time.Time // when what was due was sealed last
	metrics    metrics

	// state guards what follows. Only the call that has the turn changes it, and may read it without.
	state     sync.RWMutex
	prepared  bool
	allMonths []*part // ascending
	old       *span   // nil where there is none
	horizon   int64   // the time before which readings are not kept; ms
	layout    layout  // of these
	rollups   layout  // likewise, with what is before the horizon
	hot       hot
	rows      int                    // of which hot has the times
	counts    map[iot.DeviceID]int64 // of the readings in months

	estimates sync.Map // by path

	mu      sync.Mutex
	waiting []*insertion

	log      *slog.Logger
	logging  sync.Mutex
	reported map[string]struct{} // damaged rows, by file, timestamp and device
}

var (
	_ iot.ReadingWriter = (*Store)(nil)
	_ iot.ReadingReader = (*Store)(nil)
	_ iot.HistoryReader = (*Store)(nil)
)

// Options are what a store is opened with.
type Options struct {
	Log       *slog.Logger
	Retention iot.Retention
	SealAfter time.Duration         // how long after its end an hour is sealed: some devices send their readings late
	Metrics   prometheus.Registerer // or nil
}

// Open returns the store in the directory at path, which is created when it is missing; the one that it is in must exist.
// What an earlier version has stored is in the file beside it, of the same name with the suffix .db. Files are opened when
// they are needed, from Prepare on.
func Open(path string, o Options) (*Store, error) {
	path, err := filepath.Abs(path)
	if err != nil {
		return nil, err
	}
	clock, err := readClock(path, path+".db", path+".db-wal")
	if err != nil {
		return nil, err
	}
	s := &Store{
		clock: clock, months: path, oldPath: path + ".db", turn: make(chan struct{}, 1), full: make(chan struct{}, 1),
		hot: hot{}, counts: map[iot.DeviceID]int64{}, horizon: math.MinInt64, refused: math.MinInt64, expiry: math.MinInt64, trimmed: math.MinInt64,
		moveAtOnce: maxMoved, turnBytes: maxTurnBytes, retention: o.Retention, sealAfter: o.SealAfter, now: time.Now, opened: time.Now(), log: o.Log, reported: map[string]struct{}{}, left: map[place]struct{}{},
	}
	s.metrics = newMetrics(o.Metrics, s)
	if s.horizon, err = s.readHorizon(); err != nil { // a clock that is before it is not set
		return nil, err
	}
	if s.retention.Readings > 0 {
		s.expiry = s.expiryAt(s.retentionTime())
	}
	return s, nil
}

// Prepare brings the files up to date, and lists the rows in them. It may be repeated, and does all of it anew.
func (s *Store) Prepare(ctx context.Context) error {
	if err := s.takeTurn(ctx); err != nil {
		return fmt.Errorf("prepare the readings: %w", err)
	}
	defer s.endTurn()
	if err := s.prepare(ctx); err != nil {
		return fmt.Errorf("prepare the readings: %w", err)
	}
	return nil
}

func (s *Store) prepare(ctx context.Context) error {
	if err := os.Mkdir(s.months, 0o700); err != nil && !errors.Is(err, os.ErrExist) {
		return err
	}
	if err := dirsync.Sync(filepath.Dir(s.months)); err != nil { // also of a process that ended before it did so
		return err
	}
	months, err := s.listMonths()
	if err != nil {
		return err
	}
	old, written, err := s.prepareOld(ctx, len(months) > 0)
	if err != nil {
		return err
	}
	horizon := s.horizon
	for i, m := range months {
		if m.daysOnly && m.end > horizon {
			if months[i], err = s.openAgain(ctx, m); err != nil {
				return err
			}
		}
	}
	line := horizon // before which the old file owns nothing
	all, counts := hot{}, map[iot.DeviceID]int64{}
	for _, m := range months {
		places, moved, err := s.prepareMonth(ctx, m)
		if err != nil {
			return err
		}
		line = max(line, moved)
		sealed := map[iot.DeviceID]int64{}
		if err := s.countSealed(ctx, m, sealed); err != nil {
			return err
		}
		if m.start < horizon { // some of it is not removed yet
			places = slices.DeleteFunc(places, func(p place) bool { return p.at < horizon })
			for device := range sealed { // which has rollups
				sealed[device] = 0
			}
			err = s.countBetween(ctx, m, horizon, m.end, sealed)
		} else {
			for _, p := range places {
				sealed[p.device]++
			}
		}
		for device, n := range sealed {
			counts[device] += n
		}
		if err != nil {
			return err
		}
		all.add(places)
	}
	s.written = written
	clear(s.left)
	s.state.Lock()
	defer s.state.Unlock()
	s.horizon, s.hot, s.rows, s.counts, s.prepared = horizon, all, all.len(), counts, true
	s.setLayoutLocked(months, old.behind(line))
	return nil
}

// setLayout is for when there is another month, or the old file owns something else.
func (s *Store) setLayout(months []*part, old *span) {
	s.state.Lock()
	defer s.state.Unlock()
	s.setLayoutLocked(months, old)
}

func (s *Store) setLayoutLocked(months []*part, old *span) {
	months = slices.SortedFunc(slices.Values(months), func(a, b *part) int { return cmp.Compare(a.start, b.start) })
	s.allMonths, s.old, s.layout = months, old, layoutOf(months, old, s.horizon)
	s.rollups = rollupLayout(months, s.horizon, s.layout)
}

// errUnprepared is for calls before Prepare.
var errUnprepared = errors.New("the store is not prepared")

// report logs that v is damaged, if it has not yet.
func (s *Store) report(p *part, v *row, damage error) {
	s.reportOnce("a stored reading is damaged, and left out", p, v[timestampColumn], v[deviceColumn], damage)
}

// reportBlock does so for a block.
func (s *Store) reportBlock(p *part, device iot.DeviceID, start int64, damage error) {
	s.reportOnce("a stored block of readings is damaged, and left out", p, start, int64(device), damage)
}

func (s *Store) reportOnce(what string, p *part, timestamp, device any, damage error) {
	const most = 1000 // that it remembers
	key := fmt.Sprint(what, p.path, timestamp, device)
	s.logging.Lock()
	defer s.logging.Unlock()
	if _, before := s.reported[key]; before {
		return
	}
	if len(s.reported) == most {
		clear(s.reported)
	}
	s.reported[key] = struct{}{}
	//nolint:sloglint // a constant of the caller
	s.log.Error(what, "file", p.path, "timestamp", timestamp, "device_id", device, "err", damage)
}

// Check is nil when the newest file can be read, and has the table.
func (s *Store) Check(ctx context.Context) error {
	s.state.RLock()
	prepared, l := s.prepared, s.layout
	s.state.RUnlock()
	if err := ctx.Err(); err != nil {
		return err
	}
	if !prepared {
		return errUnprepared
	}
	if len(l) == 0 {
		_, err := os.Stat(s.months)
		return err
	}
	newest := l[len(l)-1].part
	db, release, err := s.files.use(newest)
	if err != nil {
		return err
	}
	defer release()
	return db.Check(ctx, newest.table)
}

// Close closes the files. It waits for the calls that are running.
func (s *Store) Close() error { return s.files.close() }
