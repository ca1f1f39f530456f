package sqlstore

import (
	"cmp"
	"context"
	"database/sql"
	"slices"
	"strconv"
	"time"

	"github.com/uptrace/bun"

	"github.com/telltale-iot/telltale/pkg/iot"
	"github.com/telltale-iot/telltale/pkg/timeouts"
)

// The table device_contacts is apart from devices: its rows are short, since each batch of readings writes them. It does not
// refer to devices, whose table could not be dropped and made again then. So a contact may stay there, or come, of a device that
// was just deleted: nobody sees it, and a device of that id begins without.

// KeepContacts implements iot.MetadataStore.
func (s *Store) KeepContacts(ctx context.Context, contacts []iot.Contact) error {
	ctx, cancel := context.WithTimeout(ctx, timeouts.SQLCall)
	defer cancel()
	// In ascending order two transactions that lock the same rows wait for one another instead of dying.
	contacts = slices.SortedFunc(slices.Values(contacts), func(a, b iot.Contact) int { return cmp.Compare(a.Device, b.Device) })
	for chunk := range slices.Chunk(contacts, ensureChunk) {
		query := []byte("INSERT INTO device_contacts (device_id, last_seen) VALUES ")
		for i, c := range chunk {
			if i > 0 {
				query = append(query, ',')
			}
			query = strconv.AppendInt(append(query, '('), int64(c.Device), 10)
			query = strconv.AppendInt(append(query, ','), c.At.UnixMilli(), 10)
			query = append(query, ')')
		}
		query = append(query, s.dialect.KeepLater...)
		err := s.transact(ctx, func(ctx context.Context, tx bun.Tx) error {
			_, err := tx.ExecContext(ctx, string(query))
			return err
		})
		if err != nil {
			return s.wrap("keep contacts", err)
		}
	}
	return nil
}

// forgetContacts is part of the making and of the deletion of devices.
func forgetContacts(ctx context.Context, tx bun.Tx, ids ...iot.DeviceID) error {
	_, err := tx.ExecContext(ctx, "DELETE FROM device_contacts WHERE device_id IN (?)", bun.List(ids))
	return err
}

// seconds returns d as the database keeps it: NULL for 0.
func seconds(d time.Duration) sql.NullInt64 {
	return sql.NullInt64{Int64: int64(d / time.Second), Valid: d != 0}
}
