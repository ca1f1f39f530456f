package sqlstore

import (
	"context"
	"database/sql"
	"errors"

	"github.com/uptrace/bun"

	"github.com/telltale-iot/telltale/pkg/iot"
)

// idState is the one row of the table device_ids. The databases' own generators of ids are not used: most
// devices register themselves under ids of their own, which generators do not know of.
//
// The next id is one above every device there is, every generated one and every deleted one, since the
// readings of a deleted device stay under its id. When that is above maxGenerated, because some device
// has an id near it, the next id is the smallest free one above the last generated; and when there is none
// such, the smallest free one at all. What is above maxGenerated itself does not count.
type idState struct {
	lastGenerated   iot.DeviceID
	greatestDeleted iot.DeviceID
}

// maxGenerated is the greatest id that is generated. Those above it are the ids of keys (iot.KeyID): some
// device with a key may come to have any of them.
const maxGenerated = iot.FirstKeyID - 1

var errNoIDState = errors.New("the row of table device_ids is missing")

// lockIDs returns the row, which nobody else reads or changes until tx ends. It comes first in a
// transaction, so that those that need it never wait for one another with something else locked.
func (s *Store) lockIDs(ctx context.Context, tx bun.Tx) (idState, error) {
	row, err := findOne(ctx, tx, func(rows *sql.Rows, row *idState) error {
		return rows.Scan(&row.lastGenerated, &row.greatestDeleted)
	}, "SELECT last_generated, greatest_deleted FROM device_ids WHERE id = 1"+s.dialect.ForUpdate)
	if errors.Is(err, iot.ErrNotFound) {
		return idState{}, errNoIDState
	}
	return row, err
}

// next generates an id. It is free unless a device takes it before tx inserts it.
func (row idState) next(ctx context.Context, tx bun.Tx) (iot.DeviceID, error) {
	greatest, err := findOne(ctx, tx, scanID, "SELECT COALESCE(MAX(id), 0) FROM devices WHERE id <= ?", int64(maxGenerated))
	if err != nil {
		return 0, err
	}
	id := max(greatest, row.lastGenerated, row.greatestDeleted) + 1
	if id > maxGenerated {
		id, err = firstFree(ctx, tx, row.lastGenerated+1)
	}
	if err == nil && id > maxGenerated {
		id, err = firstFree(ctx, tx, 1)
	}
	if err != nil {
		return 0, err
	}
	_, err = tx.ExecContext(ctx, "UPDATE device_ids SET last_generated = ? WHERE id = 1", int64(id))
	return id, err
}

// deleted notes that id is not to be generated any more.
func (row idState) deleted(ctx context.Context, tx bun.Tx, id iot.DeviceID) error {
	if id <= row.greatestDeleted || id > maxGenerated {
		return nil
	}
	_, err := tx.ExecContext(ctx, "UPDATE device_ids SET greatest_deleted = ? WHERE id = 1", int64(id))
	return err
}

// firstFree returns the smallest id from first on that no device has. It may be too great to be generated.
func firstFree(ctx context.Context, tx bun.Tx, first iot.DeviceID) (iot.DeviceID, error) {
	const page = 1000
	for {
		taken, err := find(ctx, tx, scanID, "SELECT id FROM devices WHERE id >= ? ORDER BY id LIMIT ?", int64(first), page)
		if err != nil {
			return 0, err
		}
		for _, id := range taken {
			if id != first {
				return first, nil
			}
			first++
		}
		if len(taken) < page {
			return first, nil
		}
	}
}

func scanID(rows *sql.Rows, id *iot.DeviceID) error { return rows.Scan((*int64)(id)) }
