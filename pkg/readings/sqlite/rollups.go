package sqlite

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/telltale-iot/telltale/pkg/iot"
	"github.com/telltale-iot/telltale/pkg/rollup"
	"github.com/telltale-iot/telltale/pkg/sqlite"
)

// A check and a rebuild of the rollups are for another process than the one that has prepared the store: they work in the files
// beside it, a day of a device at a time. What blocks and days have in common is always in one transaction, so that a day
// that differs in one of them differs. What is before the horizon is left alone: the rollups are all there is of it. Since the
// horizon stands in its file before anything behind it is removed, it is read in that transaction.

const (
	firstDeviceBehind = `SELECT min(device_id) FROM (SELECT min(device_id) AS device_id FROM blocks WHERE device_id > ?1
		UNION ALL SELECT min(device_id) FROM days WHERE device_id > ?1)`
	timesOfDevice = `SELECT day FROM days WHERE device_id = ?1 UNION ALL SELECT start FROM blocks WHERE device_id = ?1`

	// A rebuild counts what it has written, for a seal of another process to see: see writeSealed.
	createRebuilds = `CREATE TABLE IF NOT EXISTS rebuilds (id INTEGER PRIMARY KEY CHECK (id = 1), n INTEGER NOT NULL) STRICT`
	countRebuild   = `INSERT INTO rebuilds (id, n) VALUES (1, 1) ON CONFLICT (id) DO UPDATE SET n = n + 1`
	selectRebuilds = `SELECT coalesce(max(n), 0) FROM rebuilds`

	logRollupsEvery = 10 * time.Second
)

// CheckRollups compares the rollups with the readings in blocks. It needs no Prepare.
func (s *Store) CheckRollups(ctx context.Context, log *slog.Logger) (checked rollup.Checked, err error) {
	err = s.eachRolledUp(ctx, log, &checked, func(db *sqlite.DB, p *part, device iot.DeviceID, day int64) error {
		differ, err := s.checkDay(ctx, db, p, device, day)
		for _, hour := range differ {
			checked.Differ = append(checked.Differ, rollup.DeviceHour{Device: device, Hour: time.UnixMilli(hour).UTC()})
		}
		return err
	})
	if err != nil {
		return checked, fmt.Errorf("check rollups: %w", err)
	}
	return checked, nil
}

// RebuildRollups computes all rollups once more from the readings in blocks. It needs no Prepare.
func (s *Store) RebuildRollups(ctx context.Context, log *slog.Logger) (checked rollup.Checked, err error) {
	err = s.eachRolledUp(ctx, log, &checked, func(db *sqlite.DB, p *part, device iot.DeviceID, day int64) error {
		differ, err := s.checkDay(ctx, db, p, device, day)
		if err != nil || len(differ) == 0 { // what is right is not written
			return err
		}
		return s.rebuildDay(ctx, db, p, device, day)
	})
	if err != nil {
		return checked, fmt.Errorf("rebuild rollups: %w", err)
	}
	return checked, nil
}

// eachRolledUp calls do with each day of each device that is in blocks or rolled up and not before the horizon, the newest month
// first.
func (s *Store) eachRolledUp(ctx context.Context, log *slog.Logger, c *rollup.Checked, do func(*sqlite.DB, *part, iot.DeviceID, int64) error) error {
	months, err := filepath.Glob(filepath.Join(s.months, "????-??"+monthSuffix)) // ascending, without those of which rollups alone are kept
	if err != nil {
		return err
	}
	logged := time.Now()
	for _, path := range slices.Backward(months) {
		first, err := time.Parse(monthFormat+monthSuffix, filepath.Base(path))
		if err != nil {
			return fmt.Errorf("%s is not a file of this directory: %w", path, err)
		}
		m := s.month(monthOf(first.UnixMilli()))
		horizon, err := s.readHorizon()
		if err != nil {
			return err
		}
		if m.end <= horizon {
			continue
		}
		err = s.eachDayOf(ctx, m, horizon, func(db *sqlite.DB, device iot.DeviceID, day int64) error {
			c.Days++
			if from := time.UnixMilli(max(day, horizon)).UTC(); c.From.IsZero() || from.Before(c.From) {
				c.From = from
			}
			if to := time.UnixMilli(day).UTC().Add(iot.Day); to.After(c.To) {
				c.To = to
			}
			if time.Since(logged) > logRollupsEvery {
				logged = time.Now()
				log.Info("at work on the rollups", "day", time.UnixMilli(day).UTC().Format(time.DateOnly), "days of devices", c.Days)
			}
			return do(db, m, device, day)
		})
		if _, missing := os.Stat(m.path); errors.Is(missing, os.ErrNotExist) || sqlite.IsMissing(err) {
			continue // it has become too old, or was made at this moment
		}
		if err != nil {
			return fmt.Errorf("%s: %w", m.path, err)
		}
	}
	return nil
}

// eachDayOf calls do with each day of each device of m that has an end behind the horizon.
func (s *Store) eachDayOf(ctx context.Context, m *part, horizon int64, do func(*sqlite.DB, iot.DeviceID, int64) error) error {
	db, release, err := s.files.use(m)
	if err != nil {
		return err
	}
	defer release()
	if _, err := versionOfMonth(ctx, db.Read); err != nil {
		return err
	}
	for device := int64(0); ; {
		var next sql.NullInt64
		if err := db.Read.QueryRowContext(ctx, firstDeviceBehind, device).Scan(&next); err != nil || !next.Valid {
			return err
		}
		device = next.Int64
		var days []int64
		rows, err := db.Read.QueryContext(ctx, timesOfDevice, device) //nolint:sqlclosecheck // ForEach closes them
		err = sqlite.ForEach(rows, err, func() (more bool, err error) {
			var at int64
			err = rows.Scan(&at)
			if day := rollup.DayOf(at); day+iot.Day.Milliseconds() > horizon {
				days = append(days, day)
			}
			return true, err
		})
		if err != nil {
			return err
		}
		slices.Sort(days)
		for _, day := range slices.Compact(days) {
			if err := do(db, iot.DeviceID(device), day); err != nil {
				return fmt.Errorf("device %d, day %s: %w", device, time.UnixMilli(day).UTC().Format(time.DateOnly), err)
			}
		}
	}
}

// checkDay returns the hours of a day of which the rollup is not what the readings in blocks come to.
func (s *Store) checkDay(ctx context.Context, db *sqlite.DB, p *part, device iot.DeviceID, day int64) (differ []int64, err error) {
	tx, err := db.Read.BeginTx(ctx, nil)
	if err != nil {
		return nil, err
	}
	defer func() { _ = tx.Rollback() }() // nothing was written
	c, err := s.compare(ctx, tx, p, device, day)
	return c.differ, err
}

// rebuildDay puts what the readings in blocks come to in the place of what there is of a day. Others that write wait.
func (s *Store) rebuildDay(ctx context.Context, db *sqlite.DB, p *part, device iot.DeviceID, day int64) error {
	return db.Transact(ctx, func(tx *sql.Tx) error {
		c, err := s.compare(ctx, tx, p, device, day)
		if err != nil || len(c.differ) == 0 {
			return err
		}
		for _, statement := range []string{createRebuilds, countRebuild} { // a file that was not prepared may have no table
			if _, err := tx.ExecContext(ctx, statement); err != nil {
				return err
			}
		}
		if len(c.computed.Metrics) == 0 {
			_, err := tx.ExecContext(ctx, deleteDay, int64(device), day)
			return err
		}
		_, err = tx.ExecContext(ctx, replaceDay, int64(device), day, c.computed.AppendBinary(nil))
		return err
	})
}

// compared is a day as it is stored, and as it was computed.
type compared struct {
	stored, computed rollup.Day
	differ           []int64 // the hours
}

// compare compares the hours of a day from the horizon on. One with a damaged block, which is reported, is taken to be right:
// the rollup is all there is of it.
func (s *Store) compare(ctx context.Context, tx *sql.Tx, p *part, device iot.DeviceID, day int64) (c compared, err error) {
	v := s.view(ctx, span{part: p})
	v.tx = tx
	c.stored, err = v.readDay(device, day) // it begins to read
	if errors.Is(err, rollup.ErrDamaged) || err == nil && c.stored.Start != day {
		c.stored, err = rollup.Day{Start: day}, nil
	}
	if err != nil {
		return c, err
	}
	horizon, err := s.readHorizon()
	if err != nil {
		return c, err
	}
	until := day + iot.Day.Milliseconds()
	var of rollup.Span
	damaged, err := v.addBlocks(&of, device, max(day, horizon), until)
	if err != nil {
		return c, err
	}
	c.computed = c.stored
	var hours []int64
	for hour := max(day, horizon); hour < until; hour += blockHour {
		if !damaged[hour] {
			hours = append(hours, hour)
			c.computed.Replace(hour, hour+blockHour, of.Metrics)
		}
	}
	stored := c.stored.AppendBinary(nil)
	if bytes.Equal(stored, c.computed.AppendBinary(nil)) {
		return c, nil
	}
	for _, hour := range hours {
		one := c.stored
		one.Replace(hour, hour+blockHour, of.Metrics)
		if !bytes.Equal(stored, one.AppendBinary(nil)) {
			c.differ = append(c.differ, hour)
		}
	}
	return c, nil
}
