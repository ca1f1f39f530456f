package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"github.com/telltale-iot/telltale/pkg/iot"
)

// snapshot is a part at a moment.
type snapshot struct {
	view
	hot     map[iot.DeviceID][]int64 // times of the rows of the devices that it was asked for, ascending; of a month
	release func()
}

// snapshot returns the first part that owns times in from <= at < until, or with last the last one, cut to these times, at
// this moment. nil: there is none. It has the times of the rows of devices.
func (s *Store) snapshot(ctx context.Context, devices []iot.DeviceID, from, until int64, last bool) (*snapshot, error) {
	return s.snapshotIn(ctx, func() layout { return s.layout }, devices, from, until, last)
}

// snapshotIn does so in a layout that state guards.
func (s *Store) snapshotIn(ctx context.Context, in func() layout, devices []iot.DeviceID, from, until int64, last bool) (*snapshot, error) {
	var times map[iot.DeviceID][]int64
	sn, err := s.snapshotOf(ctx, func() (span, bool) {
		owner, ok := in().first(from, until, last)
		if ok && !owner.old {
			times = s.hot.ofDevices(devices, owner.from, owner.until)
		}
		return owner, ok
	})
	if sn != nil {
		sn.hot = times
	}
	return sn, err
}

// snapshotOf returns the part that choose chooses, at the moment at which it does so: what the file has and what the
// fields have that state guards belong together then (see hot). nil: it chooses none.
func (s *Store) snapshotOf(ctx context.Context, choose func() (span, bool)) (*snapshot, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	s.state.RLock()
	prepared := s.prepared
	owner, ok := choose()
	s.state.RUnlock()
	if !prepared {
		return nil, errUnprepared
	}
	for ok {
		db, release, err := s.files.use(owner.part)
		if errors.Is(err, errAbandoned) {
			s.state.RLock()
			owner, ok = choose()
			s.state.RUnlock()
			continue
		}
		if err != nil {
			return nil, err
		}
		sn := &snapshot{view: s.view(ctx, owner), release: release}
		if sn.tx, err = db.Read.BeginTx(ctx, nil); err != nil { // it waits for a connection, and reads nothing yet
			release()
			return nil, fmt.Errorf("%s: %w", owner.path, err)
		}
		s.state.RLock()
		if owner, ok = choose(); ok && owner == sn.span {
			err = sn.begin()
		}
		s.state.RUnlock()
		if err == nil && ok && owner == sn.span {
			return sn, nil
		}
		if err := errors.Join(err, sn.end()); err != nil {
			return nil, fmt.Errorf("%s: %w", sn.path, err)
		}
	}
	return nil, nil
}

// begin begins to read: from here on nothing that is written is seen.
func (sn *snapshot) begin() error {
	var n int
	return sn.tx.QueryRowContext(sn.ctx, `SELECT count(*) FROM sqlite_schema`).Scan(&n)
}

func (sn *snapshot) end() error {
	defer sn.release()
	if err := sn.tx.Rollback(); !errors.Is(err, sql.ErrTxDone) { // of a context that has ended it is done
		return err
	}
	return nil
}
