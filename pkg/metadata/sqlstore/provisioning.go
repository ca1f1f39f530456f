package sqlstore

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/uptrace/bun"

	"github.com/telltale-iot/telltale/pkg/iot"
	"github.com/telltale-iot/telltale/pkg/timeouts"
)

// provisioningKeyRow is a row of the table provisioning_keys as bun inserts it.
type provisioningKeyRow struct {
	bun.BaseModel `bun:"table:provisioning_keys"`

	ID        int64          `bun:"id,pk,autoincrement"`
	Name      string         `bun:"name"`
	UserID    int64          `bun:"user_id"`
	Uses      int            `bun:"uses"`
	Devices   sql.NullString `bun:"devices"`
	Secret    string         `bun:"secret"`
	CreatedAt int64          `bun:"created_at"`
	ExpiresAt sql.NullInt64  `bun:"expires_at"`
}

const selectProvisioningKeys = "SELECT id, name, user_id, uses, devices, created_at, expires_at FROM provisioning_keys "

func scanProvisioningKey(rows *sql.Rows, k *iot.ProvisioningKey) error {
	var (
		devices sql.NullString
		created int64
		expires sql.NullInt64
	)
	if err := rows.Scan(&k.ID, &k.Name, &k.Owner, &k.Uses, &devices, &created, &expires); err != nil {
		return err
	}
	k.CreatedAt, k.ExpiresAt = time.UnixMilli(created).UTC(), orZero(expires)
	return readDevices(devices, &k.Devices)
}

// CreateProvisioningKey implements iot.AccessStore.
func (s *Store) CreateProvisioningKey(ctx context.Context, k iot.ProvisioningKey, secret iot.Secret) (iot.ProvisioningKey, error) {
	ctx, cancel := context.WithTimeout(ctx, timeouts.SQLCall)
	defer cancel()
	if err := checkProvisioningKey(k); err != nil {
		return iot.ProvisioningKey{}, s.wrap("create provisioning key", err)
	}
	k.CreatedAt, k.ExpiresAt = now(), whole(k.ExpiresAt)
	row := provisioningKeyRow{
		Name: k.Name, UserID: k.Owner, Uses: k.Uses, Devices: deviceList(k.Devices), Secret: secretText(secret),
		CreatedAt: k.CreatedAt.UnixMilli(), ExpiresAt: millis(k.ExpiresAt),
	}
	err := s.transact(ctx, func(ctx context.Context, tx bun.Tx) error {
		if err := s.lockAccess(ctx, tx); err != nil {
			return err
		}
		if k.Owner != 0 {
			if err := s.lockOwner(ctx, tx, k.Owner); err != nil {
				return err
			}
		}
		n, err := findOne(ctx, tx, scanInt, "SELECT COUNT(*) FROM provisioning_keys")
		if err != nil {
			return err
		}
		if n >= iot.MaxProvisioningKeys {
			return fmt.Errorf("there are %d provisioning keys: %w", n, iot.ErrConflict)
		}
		row.ID = 0
		if _, err := tx.NewInsert().Model(&row).Exec(ctx); err != nil {
			return err
		}
		k.ID = row.ID
		return record(ctx, tx, "provisioning-key.create", provisioningKeyObject(k.ID), nil, provisioningKeyEntry(k))
	})
	if err != nil {
		return iot.ProvisioningKey{}, s.wrap("create provisioning key", err)
	}
	return k, nil
}

// ProvisioningKeys implements iot.AccessStore.
func (s *Store) ProvisioningKeys(ctx context.Context) ([]iot.ProvisioningKey, error) {
	ctx, cancel := context.WithTimeout(ctx, timeouts.SQLCall)
	defer cancel()
	keys, err := find(ctx, s.read, scanProvisioningKey, selectProvisioningKeys+"ORDER BY id LIMIT ?", iot.MaxProvisioningKeys)
	return keys, s.wrap("find provisioning keys", err)
}

// DeleteProvisioningKey implements iot.AccessStore.
func (s *Store) DeleteProvisioningKey(ctx context.Context, id int64) error {
	ctx, cancel := context.WithTimeout(ctx, timeouts.SQLCall)
	defer cancel()
	err := s.transact(ctx, func(ctx context.Context, tx bun.Tx) error {
		k, err := findOne(ctx, tx, scanProvisioningKey, selectProvisioningKeys+"WHERE id = ?"+s.dialect.ForUpdate, id)
		if err != nil {
			return err
		}
		if err := changed(tx.ExecContext(ctx, "DELETE FROM provisioning_keys WHERE id = ?", id)); err != nil {
			return err
		}
		return record(ctx, tx, "provisioning-key.delete", provisioningKeyObject(id), provisioningKeyEntry(k), nil)
	})
	return s.wrap("delete provisioning key", err)
}

// Enroll implements iot.AccessStore.
func (s *Store) Enroll(ctx context.Context, secret iot.Secret, device iot.Identity, c iot.Credential) (iot.Credential, error) {
	ctx, cancel := context.WithTimeout(ctx, timeouts.SQLCall)
	defer cancel()
	c.Device, c.Devices, c.Viewer = device.ID, nil, false
	err := checkIdentity(device)
	if err == nil {
		err = checkCredential(c)
	}
	if err != nil {
		return iot.Credential{}, s.wrap("enroll device", err)
	}
	for {
		created, err := s.enroll(ctx, secret, device, c)
		if errors.Is(err, errRegistered) {
			continue // it is seen the next time
		}
		if err != nil {
			return iot.Credential{}, s.wrap("enroll device", err)
		}
		return created, nil
	}
}

// errRegistered is of a device, or the default user, that somebody else created or deleted meanwhile.
var errRegistered = errors.New("the device was registered meanwhile")

func (s *Store) enroll(ctx context.Context, secret iot.Secret, device iot.Identity, c iot.Credential) (created iot.Credential, err error) {
	err = s.transact(ctx, func(ctx context.Context, tx bun.Tx) error {
		if err := s.lockAccess(ctx, tx); err != nil {
			return err
		}
		key, err := s.takeUse(ctx, tx, secret, device.ID)
		if err != nil {
			return err
		}
		if err := s.provideDevice(ctx, tx, device, key.Owner); err != nil {
			return err
		}
		if err := admits(ctx, tx, key, device.ID); err != nil {
			return err
		}
		enrolled, err := find(ctx, tx, scanInt, "SELECT id FROM device_credentials WHERE device_id = ? AND (expires_at IS NULL OR expires_at > ?) LIMIT 1",
			int64(device.ID), now().UnixMilli())
		if err != nil {
			return err
		}
		if len(enrolled) > 0 {
			return fmt.Errorf("device %d has a credential: %w", device.ID, iot.ErrConflict)
		}
		if created, err = s.insertCredential(ctx, tx, c); err != nil {
			return err
		}
		entry := credentialEntry(created)
		entry.ProvisioningKey = key.ID
		return record(ctx, tx, "credential.create", credentialObject(created.ID), nil, entry)
	})
	return created, err
}

// Unenroll implements iot.AccessStore.
func (s *Store) Unenroll(ctx context.Context, secret iot.Secret, credential int64) error {
	ctx, cancel := context.WithTimeout(ctx, timeouts.SQLCall)
	defer cancel()
	err := s.transact(ctx, func(ctx context.Context, tx bun.Tx) error {
		if err := s.lockAccess(ctx, tx); err != nil {
			return err
		}
		if _, err := deleteCredential(ctx, tx, credential); err != nil {
			return err
		}
		_, err := tx.ExecContext(ctx, "UPDATE provisioning_keys SET uses = uses + 1 WHERE secret = ?", secretText(secret))
		return err
	})
	return s.wrap("take back an enrolment", err)
}

// takeUse returns the key that has a use for the device, of which it takes one. tx has lockAccess.
func (s *Store) takeUse(ctx context.Context, tx bun.Tx, secret iot.Secret, device iot.DeviceID) (iot.ProvisioningKey, error) {
	key, err := findOne(ctx, tx, scanProvisioningKey, selectProvisioningKeys+
		"WHERE secret = ? AND uses > 0 AND (expires_at IS NULL OR expires_at > ?)"+s.dialect.ForUpdate, secretText(secret), now().UnixMilli())
	if err != nil {
		return key, err
	}
	if key.Devices != nil && !slices.Contains(key.Devices, device) {
		return key, fmt.Errorf("the provisioning key is not for device %d: %w", device, iot.ErrNotFound)
	}
	return key, changed(tx.ExecContext(ctx, "UPDATE provisioning_keys SET uses = uses - 1 WHERE id = ?", key.ID))
}

// admits returns ErrConflict where the device is shut out, and the key was not made since then for devices that it names.
func admits(ctx context.Context, tx bun.Tx, key iot.ProvisioningKey, device iot.DeviceID) error {
	since, err := find(ctx, tx, scanInt, "SELECT shut_out_at FROM devices WHERE id = ? AND shut_out_at IS NOT NULL", int64(device))
	if err == nil && len(since) > 0 && (key.Devices == nil || key.CreatedAt.UnixMilli() < since[0]) {
		return fmt.Errorf("device %d is shut out: %w", device, iot.ErrConflict)
	}
	return err
}

// provideDevice creates the device for its owner (0: the default user), or gives the one that exists its key. ErrConflict: the
// one that exists has another. errRegistered: it is there meanwhile.
func (s *Store) provideDevice(ctx context.Context, tx bun.Tx, device iot.Identity, owner int64) error {
	before, err := s.lockDevice(ctx, tx, device.ID)
	switch {
	case errors.Is(err, iot.ErrNotFound):
		return s.enrollNew(ctx, tx, device, owner)
	case err != nil || device.Key == before.Key || device.Key == "":
		return err
	case before.Key != "":
		return fmt.Errorf("device %d has another key: %w", device.ID, iot.ErrConflict)
	}
	after := before
	after.Key = device.Key
	update := tx.NewUpdate().Table("devices").Set("? = ?", bun.Ident("key"), device.Key).Where("id = ?", int64(device.ID))
	if err := changed(update.Exec(ctx)); err != nil {
		return err
	}
	return record(ctx, tx, "device.update", deviceObject(device.ID), deviceEntry(before), deviceEntry(after))
}

func (s *Store) enrollNew(ctx context.Context, tx bun.Tx, device iot.Identity, owner int64) error {
	d := iot.Device{ID: device.ID, Key: device.Key, Name: defaultName(device), Owner: owner, CreatedAt: now()}
	insert := func() error {
		if d.Owner == 0 {
			user, err := defaultUser(ctx, tx)
			if err != nil {
				return err
			}
			d.Owner = user.ID
		}
		row := deviceRow{ID: int64(d.ID), Name: d.Name, UserID: d.Owner, CreatedAt: d.CreatedAt, Key: nullable(d.Key)}
		_, err := tx.NewInsert().Model(&row).Exec(ctx)
		return err
	}
	if err := insert(); err != nil {
		if meaning := s.dialect.Meaning(err); errors.Is(meaning, iot.ErrConflict) || errors.Is(meaning, iot.ErrInvalid) {
			return errRegistered
		}
		return err
	}
	if err := forgetContacts(ctx, tx, d.ID); err != nil {
		return err
	}
	return record(ctx, tx, "device.create", deviceObject(d.ID), nil, deviceEntry(d))
}

func checkProvisioningKey(k iot.ProvisioningKey) error {
	if k.Uses < 1 {
		return fmt.Errorf("%d uses: %w", k.Uses, iot.ErrInvalid)
	}
	if err := checkText("name", k.Name, 0, iot.MaxName); err != nil {
		return err
	}
	return checkDevices(k.Devices)
}
