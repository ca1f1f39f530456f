package sqlstore

import (
	"context"
	"database/sql"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/uptrace/bun"

	"github.com/telltale-iot/telltale/pkg/iot"
	"github.com/telltale-iot/telltale/pkg/timeouts"
)

// credentialRow is a row of the table device_credentials as bun inserts it.
type credentialRow struct {
	bun.BaseModel `bun:"table:device_credentials"`

	ID        int64              `bun:"id,pk,autoincrement"`
	Type      iot.CredentialType `bun:"type"`
	Name      string             `bun:"name"`
	DeviceID  int64              `bun:"device_id"`
	Devices   sql.NullString     `bun:"devices"`
	Viewer    int                `bun:"viewer"`
	Secret    sql.NullString     `bun:"secret"`
	CreatedAt int64              `bun:"created_at"`
	ExpiresAt sql.NullInt64      `bun:"expires_at"`
}

const selectCredentials = "SELECT id, type, name, device_id, devices, viewer, secret, created_at, expires_at FROM device_credentials "

func scanCredential(rows *sql.Rows, c *iot.Credential) error {
	var (
		devices, secret sql.NullString
		created         int64
		expires         sql.NullInt64
		viewer          int
	)
	if err := rows.Scan(&c.ID, &c.Type, &c.Name, (*int64)(&c.Device), &devices, &viewer, &secret, &created, &expires); err != nil {
		return err
	}
	c.Viewer, c.CreatedAt, c.ExpiresAt = viewer == 1, time.UnixMilli(created).UTC(), orZero(expires)
	if c.Device != 0 {
		c.Devices = []iot.DeviceID{c.Device}
	}
	if secret.Valid {
		if _, err := hex.Decode(c.Secret[:], []byte(secret.String)); err != nil {
			return err
		}
	}
	return readDevices(devices, &c.Devices)
}

// CreateCredential implements iot.AccessStore.
func (s *Store) CreateCredential(ctx context.Context, c iot.Credential) (iot.Credential, error) {
	ctx, cancel := context.WithTimeout(ctx, timeouts.SQLCall)
	defer cancel()
	if err := checkCredential(c); err != nil {
		return iot.Credential{}, s.wrap("create credential", err)
	}
	var created iot.Credential
	err := s.transact(ctx, func(ctx context.Context, tx bun.Tx) (err error) {
		if err := s.lockAccess(ctx, tx); err != nil {
			return err
		}
		if created, err = s.insertCredential(ctx, tx, c); err != nil {
			return err
		}
		return record(ctx, tx, "credential.create", credentialObject(created.ID), nil, credentialEntry(created))
	})
	if err != nil {
		return iot.Credential{}, s.wrap("create credential", err)
	}
	return created, nil
}

// insertCredential inserts c, which is checked, where its device and the others of its name allow it. A device that was shut out
// is so no more. tx has lockAccess.
func (s *Store) insertCredential(ctx context.Context, tx bun.Tx, c iot.Credential) (iot.Credential, error) {
	c.CreatedAt, c.ExpiresAt = now(), whole(c.ExpiresAt)
	row := credentialRow{
		Type: c.Type, Name: c.Name, DeviceID: int64(c.Device), Viewer: flag(c.Viewer),
		CreatedAt: c.CreatedAt.UnixMilli(), ExpiresAt: millis(c.ExpiresAt),
	}
	if c.Secret != (iot.Secret{}) {
		row.Secret = nullable(secretText(c.Secret))
	}
	if c.Device == 0 {
		row.Devices = deviceList(c.Devices)
		if err := checkGatewayName(ctx, tx, c.Name); err != nil {
			return c, err
		}
	} else {
		c.Devices = []iot.DeviceID{c.Device}
		if err := s.checkDeviceName(ctx, tx, c); err != nil {
			return c, err
		}
	}
	if err := checkRivals(ctx, tx, c); err != nil {
		return c, err
	}
	if _, err := tx.NewInsert().Model(&row).Exec(ctx); err != nil {
		return c, err
	}
	c.ID = row.ID
	return c, shutOut(ctx, tx, c.Device, sql.NullInt64{})
}

// checkDeviceName returns ErrInvalid where the device of c does not exist, or is not called so. It keeps the device from being
// deleted until tx ends.
func (s *Store) checkDeviceName(ctx context.Context, tx bun.Tx, c iot.Credential) error {
	device, err := findOne(ctx, tx, scanIdentity, selectIdentities+"WHERE id = ?"+s.dialect.ForUpdate, int64(c.Device))
	switch {
	case errors.Is(err, iot.ErrNotFound):
		return fmt.Errorf("there is no device %d: %w", c.Device, iot.ErrInvalid)
	case err != nil:
		return err
	case c.Name != device.ID.String() && c.Name != device.Key:
		return fmt.Errorf("%.40q is neither the id nor the key of device %d: %w", c.Name, c.Device, iot.ErrInvalid)
	}
	return nil
}

// checkGatewayName returns ErrConflict where a device is called so.
func checkGatewayName(ctx context.Context, tx bun.Tx, name string) error {
	id, _, err := iot.ParseDevice(name)
	if err != nil {
		return nil //nolint:nilerr // no device can be called so
	}
	devices, err := find(ctx, tx, scanIdentity, selectIdentities+"WHERE id = ?", int64(id))
	for _, device := range devices {
		if name == device.ID.String() || name == device.Key {
			return fmt.Errorf("a device is called %.40q: %w", name, iot.ErrConflict)
		}
	}
	return err
}

// checkRivals returns ErrConflict where credentials of the name of c that have not expired are another's, or too many.
func checkRivals(ctx context.Context, tx bun.Tx, c iot.Credential) error {
	rivals, err := find(ctx, tx, scanCredential, selectCredentials+"WHERE name = ? AND (expires_at IS NULL OR expires_at > ?)",
		c.Name, c.CreatedAt.UnixMilli())
	if err != nil {
		return err
	}
	same := 0
	for _, rival := range rivals {
		if rival.Device != c.Device || rival.Viewer != c.Viewer {
			return fmt.Errorf("%.40q is another's name: %w", c.Name, iot.ErrConflict)
		}
		if rival.Type == c.Type {
			same++
		}
	}
	if same >= iot.MaxCredentials {
		return fmt.Errorf("%.40q has %d credentials of type %s: %w", c.Name, same, c.Type, iot.ErrConflict)
	}
	return nil
}

// Credentials implements iot.AccessStore.
func (s *Store) Credentials(ctx context.Context, q iot.CredentialQuery) ([]iot.Credential, error) {
	ctx, cancel := context.WithTimeout(ctx, timeouts.SQLCall)
	defer cancel()
	if err := checkLimit(q.Limit); err != nil {
		return nil, s.wrap("find credentials", err)
	}
	where, args := "WHERE id > ?", []any{q.After}
	if q.Device != 0 {
		where, args = where+" AND device_id = ?", append(args, int64(q.Device))
	}
	found, err := find(ctx, s.read, scanCredential, selectCredentials+where+" ORDER BY id LIMIT ?", append(args, q.Limit)...)
	return found, s.wrap("find credentials", err)
}

// Credential implements iot.AccessStore.
func (s *Store) Credential(ctx context.Context, id int64) (iot.Credential, error) {
	ctx, cancel := context.WithTimeout(ctx, timeouts.SQLCall)
	defer cancel()
	c, err := findOne(ctx, s.read, scanCredential, selectCredentials+"WHERE id = ?", id)
	return c, s.wrap("find credential", err)
}

// DeleteCredential implements iot.AccessStore.
func (s *Store) DeleteCredential(ctx context.Context, id int64) error {
	ctx, cancel := context.WithTimeout(ctx, timeouts.SQLCall)
	defer cancel()
	err := s.transact(ctx, func(ctx context.Context, tx bun.Tx) error {
		c, err := deleteCredential(ctx, tx, id)
		if err != nil {
			return err
		}
		return shutOut(ctx, tx, c.Device, millis(now()))
	})
	return s.wrap("delete credential", err)
}

func deleteCredential(ctx context.Context, tx bun.Tx, id int64) (iot.Credential, error) {
	c, err := findOne(ctx, tx, scanCredential, selectCredentials+"WHERE id = ?", id)
	if err != nil {
		return c, err
	}
	if err := changed(tx.ExecContext(ctx, "DELETE FROM device_credentials WHERE id = ?", id)); err != nil {
		return c, err
	}
	return c, record(ctx, tx, "credential.delete", credentialObject(id), credentialEntry(c), nil)
}

// shutOut notes since when a device, if it is one, does not enroll; NULL: it may.
func shutOut(ctx context.Context, tx bun.Tx, device iot.DeviceID, since sql.NullInt64) error {
	if device == 0 {
		return nil
	}
	_, err := tx.ExecContext(ctx, "UPDATE devices SET shut_out_at = ? WHERE id = ?", since, int64(device))
	return err
}

// deleteCredentialsOf deletes a device's own credentials, and returns their ids. The device is locked.
func deleteCredentialsOf(ctx context.Context, tx bun.Tx, device iot.DeviceID) ([]int64, error) {
	ids, err := find(ctx, tx, scanInt, "SELECT id FROM device_credentials WHERE device_id = ? ORDER BY id", int64(device))
	if err != nil || len(ids) == 0 {
		return nil, err
	}
	_, err = tx.ExecContext(ctx, "DELETE FROM device_credentials WHERE device_id = ?", int64(device))
	return ids, err
}

func checkCredential(c iot.Credential) error {
	invalid := func(why string) error { return fmt.Errorf("credential %.40q: %s: %w", c.Name, why, iot.ErrInvalid) }
	switch {
	case c.Type != iot.CredentialPassword && c.Type != iot.CredentialCertificate:
		return invalid("its type")
	case c.Type == iot.CredentialPassword && c.Secret == (iot.Secret{}):
		return invalid("a password without a secret")
	case c.Viewer && (c.Device != 0 || len(c.Devices) > 0):
		return invalid("a viewer speaks for no device")
	case c.Device != 0 && c.Devices != nil && !slices.Equal(c.Devices, []iot.DeviceID{c.Device}):
		return invalid("a device speaks for itself alone")
	}
	if err := checkText("name", c.Name, 1, iot.MaxName); err != nil {
		return err
	}
	return checkDevices(c.Devices)
}
