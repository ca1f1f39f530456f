package sqlstore

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"slices"

	"github.com/uptrace/bun"

	"github.com/telltale-iot/telltale/pkg/iot"
	"github.com/telltale-iot/telltale/pkg/timeouts"
)

// ensureChunk is how many devices one statement is about.
const ensureChunk = 1000

// EnsureDevices implements iot.MetadataStore.
func (s *Store) EnsureDevices(ctx context.Context, seen []iot.Identity, a iot.Admission) (all iot.Ensured, err error) {
	ctx, cancel := context.WithTimeout(ctx, timeouts.SQLCall)
	defer cancel()
	// In ascending order two transactions that lock the same rows wait for one another instead of dying.
	seen = slices.Clone(seen)
	slices.SortStableFunc(seen, func(a, b iot.Identity) int { return cmp.Compare(a.ID, b.ID) })
	seen = slices.Compact(seen)
	for _, device := range seen {
		if err := checkIdentity(device); err != nil {
			return all, s.wrap("ensure devices", err)
		}
	}
	for chunk := range slices.Chunk(seen, ensureChunk) {
		ensured, err := s.ensure(ctx, chunk, a)
		if err != nil {
			return all, s.wrap("ensure devices", err)
		}
		all.Created += ensured.Created
		all.Collisions = append(all.Collisions, ensured.Collisions...)
		all.Unknown = append(all.Unknown, ensured.Unknown...)
		all.TooMany = append(all.TooMany, ensured.TooMany...)
	}
	return all, nil
}

// ensure registers those of seen, which ascend by id, that it can and a admits, or after an error none.
func (s *Store) ensure(ctx context.Context, seen []iot.Identity, a iot.Admission) (iot.Ensured, error) {
	for {
		diff, err := s.compare(ctx, seen)
		var unknown []iot.Identity
		if a.KnownOnly {
			diff, unknown = diff.admit(0)
		}
		var ensured iot.Ensured
		if err == nil {
			ensured, err = s.register(ctx, diff, a.Most)
		}
		switch {
		case err == nil:
			ensured.Collisions, ensured.Unknown = diff.collisions, unknown
			return ensured, nil
		case errors.Is(err, iot.ErrConflict), errors.Is(err, iot.ErrInvalid), errors.Is(err, iot.ErrNotFound):
			// Somebody created, named or deleted one of the devices or the default user meanwhile. It
			// is committed, so the next look sees it. ctx bounds the number of looks.
		default:
			return iot.Ensured{}, err
		}
	}
}

// difference is what of the devices that were seen the store does not have. Each part ascends by id.
type difference struct {
	missing    []iot.Identity // each id once
	keyless    []iot.Identity // they exist, or are missing, without the key
	collisions []iot.Identity
}

// admit returns what is left when of the missing only the first n may be created, and who may not.
func (diff difference) admit(n int) (admitted difference, refused []iot.Identity) {
	if n >= len(diff.missing) {
		return diff, nil
	}
	admitted = difference{missing: diff.missing[:n], collisions: diff.collisions}
	refused = slices.Clone(diff.missing[n:])
	ids := make(map[iot.DeviceID]bool, len(refused))
	for _, device := range refused {
		ids[device.ID] = true
	}
	for _, device := range diff.keyless {
		if ids[device.ID] {
			refused = append(refused, device)
		} else {
			admitted.keyless = append(admitted.keyless, device)
		}
	}
	return admitted, refused
}

// compare returns what is to be done for seen, which ascends by id.
func (s *Store) compare(ctx context.Context, seen []iot.Identity) (diff difference, err error) {
	ids := make([]iot.DeviceID, len(seen))
	for i, device := range seen {
		ids[i] = device.ID
	}
	known := make(map[iot.DeviceID]string, len(seen))
	rows, err := find(ctx, s.read, scanIdentity, selectIdentities+"WHERE id IN (?)", bun.List(ids))
	if err != nil {
		return diff, err
	}
	for _, row := range rows {
		known[row.ID] = row.Key
	}
	taken, err := s.takenKeys(ctx, seen, known)
	if err != nil {
		return diff, err
	}
	for _, device := range seen {
		key, exists := known[device.ID]
		switch {
		case exists && (device.Key == "" || device.Key == key):
		case key != "" || taken[device.Key]:
			diff.collisions = append(diff.collisions, device)
		case exists:
			diff.keyless = append(diff.keyless, device)
			known[device.ID] = device.Key
		default:
			diff.missing = append(diff.missing, device)
			known[device.ID] = device.Key
		}
	}
	return diff, nil
}

// takenKeys returns those keys of seen that a device with another id has. No program of ours writes such a row, but
// one alone would keep all devices after it from being registered.
func (s *Store) takenKeys(ctx context.Context, seen []iot.Identity, known map[iot.DeviceID]string) (map[string]bool, error) {
	var keys []string
	for _, device := range seen {
		if device.Key != "" && known[device.ID] != device.Key {
			keys = append(keys, device.Key)
		}
	}
	if len(keys) == 0 {
		return nil, nil
	}
	rows, err := find(ctx, s.read, scanIdentity, selectIdentities+"WHERE devices.key IN (?)", bun.List(keys))
	taken := make(map[string]bool, len(rows))
	for _, row := range rows {
		taken[row.Key] = row.ID != iot.KeyID(row.Key)
	}
	return taken, err
}

const selectIdentities = "SELECT id, COALESCE(devices.key, '') FROM devices "

func scanIdentity(rows *sql.Rows, device *iot.Identity) error {
	return rows.Scan((*int64)(&device.ID), &device.Key)
}

// register creates what is missing, for the default user, as long as there are no more than most, when that is not 0, and
// adds the keys. ErrConflict: a device, a key or the user is there meanwhile. ErrInvalid: the user was deleted.
// ErrNotFound: a device was, or has a key.
func (s *Store) register(ctx context.Context, diff difference, most int) (ensured iot.Ensured, err error) {
	if len(diff.missing) == 0 && len(diff.keyless) == 0 {
		return ensured, nil
	}
	err = s.transact(ctx, func(ctx context.Context, tx bun.Tx) error {
		admitted := diff
		if most > 0 && len(diff.missing) > 0 {
			room, err := s.room(ctx, tx, most)
			if err != nil {
				return err
			}
			admitted, ensured.TooMany = diff.admit(room)
		}
		ensured.Created = len(admitted.missing)
		if len(admitted.missing) > 0 {
			if err := insertDevices(ctx, tx, admitted.missing); err != nil {
				return err
			}
		}
		for _, device := range admitted.keyless {
			update := tx.NewUpdate().Table("devices").Set("? = ?", bun.Ident("key"), device.Key).
				Where("id = ? AND devices.key IS NULL", int64(device.ID))
			if err := changed(update.Exec(ctx)); err != nil {
				return err
			}
		}
		return nil
	})
	return ensured, err
}

// room returns how many devices there may be more, of most. No other process that asks so registers any until tx ends.
func (s *Store) room(ctx context.Context, tx bun.Tx, most int) (int, error) {
	if _, err := s.lockIDs(ctx, tx); err != nil {
		return 0, err
	}
	n, err := findOne(ctx, tx, scanInt, "SELECT COUNT(*) FROM (SELECT id FROM devices LIMIT ?) AS counted", most)
	return most - int(n), err
}

func insertDevices(ctx context.Context, tx bun.Tx, missing []iot.Identity) error {
	owner, err := defaultUser(ctx, tx)
	if err != nil {
		return err
	}
	rows, createdAt := make([]deviceRow, len(missing)), now()
	ids := make([]iot.DeviceID, len(missing))
	for i, device := range missing {
		ids[i] = device.ID
		rows[i] = deviceRow{
			ID: int64(device.ID), Name: defaultName(device), UserID: owner.ID,
			CreatedAt: createdAt, Key: nullable(device.Key),
		}
	}
	if _, err := tx.NewInsert().Model(&rows).Exec(ctx); err != nil {
		return err
	}
	return forgetContacts(ctx, tx, ids...)
}

// defaultName is what a device is called that nobody has named.
func defaultName(device iot.Identity) string {
	return cmp.Or(device.Key, "Device "+device.ID.String())
}

// defaultUser returns the user that owns what nobody else does, and creates it when it is missing.
func defaultUser(ctx context.Context, tx bun.Tx) (iot.User, error) {
	user, err := findOne(ctx, tx, scanUser, selectUsers+"WHERE username = ?", iot.DefaultUsername)
	if errors.Is(err, iot.ErrNotFound) {
		return insertUser(ctx, tx, iot.User{Username: iot.DefaultUsername, Email: iot.DefaultEmail}, newcomer)
	}
	return user, err
}
