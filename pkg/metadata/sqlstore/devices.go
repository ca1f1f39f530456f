package sqlstore

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/uptrace/bun"

	"github.com/telltale-iot/telltale/pkg/iot"
	"github.com/telltale-iot/telltale/pkg/timeouts"
)

// deviceRow is a row of the table devices as bun inserts it.
type deviceRow struct {
	bun.BaseModel `bun:"table:devices"`

	ID        int64          `bun:"id,pk"`
	Name      string         `bun:"name"`
	UserID    int64          `bun:"user_id"`
	Location  sql.NullString `bun:"location"`
	CreatedAt time.Time      `bun:"created_at"`
	Key       sql.NullString `bun:"key"`

	OfflineAfter sql.NullInt64 `bun:"offline_after"` // s
}

// nullable returns s as the database keeps it: NULL for "".
func nullable(s string) sql.NullString { return sql.NullString{String: s, Valid: s != ""} }

// The word key is MySQL's, unless it stands behind a table's name.
const selectDevices = "SELECT id, name, user_id, COALESCE(location, ''), created_at, COALESCE(devices.key, ''), " +
	"COALESCE(offline_after, 0), last_seen FROM devices LEFT JOIN device_contacts ON device_contacts.device_id = devices.id "

func scanDevice(rows *sql.Rows, d *iot.Device) error {
	var (
		offlineAfter int64
		lastSeen     sql.NullInt64
	)
	// An *int64 saves database/sql a detour by reflection.
	err := rows.Scan((*int64)(&d.ID), &d.Name, &d.Owner, &d.Location, &d.CreatedAt, &d.Key, &offlineAfter, &lastSeen)
	d.CreatedAt = d.CreatedAt.UTC()
	d.OfflineAfter = time.Duration(offlineAfter) * time.Second
	if lastSeen.Valid {
		d.LastSeen = time.UnixMilli(lastSeen.Int64).UTC()
	}
	return err
}

// CreateDevice implements iot.MetadataStore.
func (s *Store) CreateDevice(ctx context.Context, d iot.Device) (iot.Device, error) {
	ctx, cancel := context.WithTimeout(ctx, timeouts.SQLCall)
	defer cancel()
	if err := checkDevice(iot.DeviceChange{Name: &d.Name, Location: &d.Location, OfflineAfter: &d.OfflineAfter}); err != nil {
		return iot.Device{}, s.wrap("create device", err)
	}
	if d.ID != 0 || d.Key != "" {
		if err := checkIdentity(iot.Identity{ID: d.ID, Key: d.Key}); err != nil {
			return iot.Device{}, s.wrap("create device", err)
		}
	}
	d.CreatedAt, d.LastSeen = now(), time.Time{}
	for {
		created, err := s.createDevice(ctx, d)
		if d.ID == 0 && errors.Is(err, iot.ErrConflict) {
			continue // a device registered itself under that id meanwhile; it is seen the next time
		}
		return created, s.wrap("create device", err)
	}
}

func (s *Store) createDevice(ctx context.Context, d iot.Device) (iot.Device, error) {
	generate := d.ID == 0
	err := s.transact(ctx, func(ctx context.Context, tx bun.Tx) error {
		if generate {
			ids, err := s.lockIDs(ctx, tx)
			if err != nil {
				return err
			}
			if d.ID, err = ids.next(ctx, tx); err != nil {
				return err
			}
		}
		row := deviceRow{
			ID: int64(d.ID), Name: d.Name, UserID: d.Owner, Location: nullable(d.Location), CreatedAt: d.CreatedAt, Key: nullable(d.Key),
			OfflineAfter: seconds(d.OfflineAfter),
		}
		if _, err := tx.NewInsert().Model(&row).Exec(ctx); err != nil {
			return err
		}
		if err := forgetContacts(ctx, tx, d.ID); err != nil {
			return err
		}
		return record(ctx, tx, "device.create", deviceObject(d.ID), nil, deviceEntry(d))
	})
	if err != nil {
		return iot.Device{}, err
	}
	return d, nil
}

// Device implements iot.MetadataStore.
func (s *Store) Device(ctx context.Context, id iot.DeviceID) (iot.Device, error) {
	ctx, cancel := context.WithTimeout(ctx, timeouts.SQLCall)
	defer cancel()
	d, err := findOne(ctx, s.read, scanDevice, selectDevices+"WHERE id = ?", int64(id))
	return d, s.wrap("find device", err)
}

// offlineBefore is the arrival that keeps a device online no longer.
const offlineBefore = "? - COALESCE(offline_after * 1000, ?)"

// escapeLike escapes what LIKE has a meaning for.
var escapeLike = strings.NewReplacer("!", "!!", "%", "!%", "_", "!_")

// Devices implements iot.MetadataStore.
func (s *Store) Devices(ctx context.Context, q iot.DeviceQuery) ([]iot.Device, error) {
	ctx, cancel := context.WithTimeout(ctx, timeouts.SQLCall)
	defer cancel()
	if err := checkLimit(q.Limit); err != nil {
		return nil, s.wrap("find devices", err)
	}
	where, args := "WHERE id > ?", []any{int64(q.After)}
	and := func(condition string, more ...any) {
		where, args = where+" AND "+condition, append(args, more...)
	}
	if q.Owner != 0 {
		and("user_id = ?", q.Owner)
	}
	if q.Devices != nil {
		if len(q.Devices) == 0 {
			return nil, nil
		}
		and("id IN (?)", bun.List(q.Devices))
	}
	if q.Text != "" {
		if err := checkText("text", q.Text, 1, iot.MaxName); err != nil {
			return nil, s.wrap("find devices", err)
		}
		pattern := "%" + escapeLike.Replace(strings.ToLower(q.Text)) + "%"
		contains := func(column string) string { return fmt.Sprintf(s.dialect.Lower, column) + " LIKE ? ESCAPE '!'" }
		and("("+contains("name")+" OR "+contains("location")+" OR "+contains("devices.key")+")", pattern, pattern, pattern)
	}
	silent := []any{q.Now.UnixMilli(), q.OfflineAfter.Milliseconds()}
	switch q.Status {
	case "":
	case iot.StatusNever:
		and("last_seen IS NULL")
	case iot.StatusOnline:
		and("last_seen > "+offlineBefore, silent...)
	case iot.StatusOffline:
		and("last_seen <= "+offlineBefore, silent...)
	default:
		return nil, s.wrap("find devices", fmt.Errorf("status %.40q: %w", q.Status, iot.ErrInvalid))
	}
	devices, err := find(ctx, s.read, scanDevice, selectDevices+where+" ORDER BY id LIMIT ?", append(args, q.Limit)...)
	return devices, s.wrap("find devices", err)
}

// UpdateDevice implements iot.MetadataStore.
func (s *Store) UpdateDevice(ctx context.Context, id iot.DeviceID, c iot.DeviceChange) (d iot.Device, credentials []int64, err error) {
	ctx, cancel := context.WithTimeout(ctx, timeouts.SQLCall)
	defer cancel()
	if err := checkDevice(c); err != nil {
		return iot.Device{}, nil, s.wrap("update device", err)
	}
	err = s.transact(ctx, func(ctx context.Context, tx bun.Tx) error {
		before, err := s.lockDevice(ctx, tx, id)
		if err != nil {
			return err
		}
		if d, credentials = changedDevice(before, c), nil; d == before {
			return nil
		}
		update := tx.NewUpdate().Table("devices").Where("id = ?", int64(id)).
			Set("name = ?", d.Name).Set("user_id = ?", d.Owner).Set("location = ?", nullable(d.Location)).
			Set("offline_after = ?", seconds(d.OfflineAfter))
		if err := changed(update.Exec(ctx)); err != nil {
			return err
		}
		if d.Owner != before.Owner {
			if credentials, err = leave(ctx, tx, before); err != nil {
				return err
			}
		}
		return record(ctx, tx, "device.update", deviceObject(id), deviceEntry(before), deviceEndForm{deviceEntry(d), credentials})
	})
	if err != nil {
		return iot.Device{}, nil, s.wrap("update device", err)
	}
	return d, credentials, nil
}

// leave deletes the own credentials of a device that a member has owned: he may know its password. It returns their ids.
func leave(ctx context.Context, tx bun.Tx, d iot.Device) ([]int64, error) {
	members, err := find(ctx, tx, scanInt, "SELECT id FROM users WHERE id = ? AND role = ?", d.Owner, iot.RoleMember)
	if err != nil || len(members) == 0 {
		return nil, err
	}
	return deleteCredentialsOf(ctx, tx, d.ID)
}

// lockDevice returns the device, which nobody else changes or deletes until tx ends.
func (s *Store) lockDevice(ctx context.Context, tx bun.Tx, id iot.DeviceID) (iot.Device, error) {
	// It is locked by itself: PostgreSQL cannot lock the contact that may be missing beside it.
	if _, err := findOne(ctx, tx, scanID, "SELECT id FROM devices WHERE id = ?"+s.dialect.ForUpdate, int64(id)); err != nil {
		return iot.Device{}, err
	}
	return findOne(ctx, tx, scanDevice, selectDevices+"WHERE id = ?", int64(id))
}

// changedDevice returns d with the fields that c names.
func changedDevice(d iot.Device, c iot.DeviceChange) iot.Device {
	if c.Name != nil {
		d.Name = *c.Name
	}
	if c.Owner != nil {
		d.Owner = *c.Owner
	}
	if c.Location != nil {
		d.Location = *c.Location
	}
	if c.OfflineAfter != nil {
		d.OfflineAfter = *c.OfflineAfter
	}
	return d
}

// DeleteDevice implements iot.MetadataStore.
func (s *Store) DeleteDevice(ctx context.Context, id iot.DeviceID) (credentials []int64, err error) {
	ctx, cancel := context.WithTimeout(ctx, timeouts.SQLCall)
	defer cancel()
	err = s.transact(ctx, func(ctx context.Context, tx bun.Tx) error {
		ids, err := s.lockIDs(ctx, tx)
		if err != nil {
			return err
		}
		before, err := s.lockDevice(ctx, tx, id)
		if err != nil {
			return err
		}
		if err := changed(tx.ExecContext(ctx, "DELETE FROM devices WHERE id = ?", int64(id))); err != nil {
			return err
		}
		if err := forgetContacts(ctx, tx, id); err != nil {
			return err
		}
		if credentials, err = deleteCredentialsOf(ctx, tx, id); err != nil {
			return err
		}
		if err := ids.deleted(ctx, tx, id); err != nil {
			return err
		}
		return record(ctx, tx, "device.delete", deviceObject(id), deviceEndForm{deviceEntry(before), credentials}, nil)
	})
	if err != nil {
		return nil, s.wrap("delete device", err)
	}
	return credentials, nil
}

func checkDevice(c iot.DeviceChange) error {
	if c.Name != nil {
		if err := checkName(*c.Name); err != nil {
			return err
		}
	}
	if c.Location != nil {
		if err := checkLocation(*c.Location); err != nil {
			return err
		}
	}
	if c.OfflineAfter != nil {
		return checkOfflineAfter(*c.OfflineAfter)
	}
	return nil
}
