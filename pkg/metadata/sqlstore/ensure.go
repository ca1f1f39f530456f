package sqlstore

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/uptrace/bun"

	"github.com/telltale-iot/telltale/pkg/iot"
	"github.com/telltale-iot/telltale/pkg/timeouts"
)

// ensureChunk is how many devices one statement is about.
const ensureChunk = 1000

// EnsureDevices implements iot.MetadataStore.
func (s *Store) EnsureDevices(ctx context.Context, ids []iot.DeviceID) (created int, err error) {
	ctx, cancel := context.WithTimeout(ctx, timeouts.SQLCall)
	defer cancel()
	// In ascending order two transactions that lock the same rows wait for one another instead of dying.
	ids = slices.Compact(slices.Sorted(slices.Values(ids)))
	if len(ids) > 0 && (!ids[0].Valid() || !ids[len(ids)-1].Valid()) {
		return 0, fmt.Errorf("ensure devices %d to %d: %w", ids[0], ids[len(ids)-1], iot.ErrInvalid)
	}
	for chunk := range slices.Chunk(ids, ensureChunk) {
		n, err := s.ensure(ctx, chunk)
		created += n
		if err != nil {
			return created, s.wrap("ensure devices", err)
		}
	}
	return created, nil
}

// ensure creates those of ids that do not exist, all or none of them, and returns how many it created.
func (s *Store) ensure(ctx context.Context, ids []iot.DeviceID) (int, error) {
	for {
		missing, err := s.missing(ctx, ids)
		if err != nil || len(missing) == 0 {
			return 0, err
		}
		err = s.register(ctx, missing)
		switch {
		case err == nil:
			return len(missing), nil
		case errors.Is(err, iot.ErrConflict), errors.Is(err, iot.ErrInvalid):
			// Somebody created one of the devices or the default user meanwhile, or deleted that
			// user. It is committed, so the next look sees it. ctx bounds the number of looks.
		default:
			return 0, err
		}
	}
}

// missing returns those of ids, which are ascending, that no device has.
func (s *Store) missing(ctx context.Context, ids []iot.DeviceID) ([]iot.DeviceID, error) {
	existing, err := find(ctx, s.read, scanID, "SELECT id FROM devices WHERE id IN (?) ORDER BY id", bun.List(ids))
	if err != nil || len(existing) == len(ids) {
		return nil, err
	}
	return slices.DeleteFunc(slices.Clone(ids), func(id iot.DeviceID) bool {
		_, exists := slices.BinarySearch(existing, id)
		return exists
	}), nil
}

// register creates the devices ids for the default user. ErrConflict: one of them, or the user, exists.
// ErrInvalid: the user was deleted.
func (s *Store) register(ctx context.Context, ids []iot.DeviceID) error {
	return s.transact(ctx, func(ctx context.Context, tx bun.Tx) error {
		owner, err := defaultUser(ctx, tx)
		if err != nil {
			return err
		}
		rows, createdAt := make([]deviceRow, len(ids)), now()
		for i, id := range ids {
			rows[i] = deviceRow{ID: int64(id), Name: "Device " + id.String(), UserID: owner.ID, CreatedAt: createdAt}
		}
		_, err = tx.NewInsert().Model(&rows).Exec(ctx)
		return err
	})
}

// defaultUser returns the user that owns what nobody else does, and creates it when it is missing.
func defaultUser(ctx context.Context, tx bun.Tx) (iot.User, error) {
	user, err := findOne(ctx, tx, scanUser, selectUsers+"WHERE username = ?", iot.DefaultUsername)
	if errors.Is(err, iot.ErrNotFound) {
		return insertUser(ctx, tx, iot.User{Username: iot.DefaultUsername, Email: iot.DefaultEmail})
	}
	return user, err
}
