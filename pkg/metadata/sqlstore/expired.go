package sqlstore

import (
	"context"
	"time"

	"github.com/uptrace/bun"

	"github.com/telltale-iot/telltale/pkg/iot"
	"github.com/telltale-iot/telltale/pkg/timeouts"
)

// A call removes removeRounds times removeChunk rows of a table at most, each chunk in a transaction of its own, so that none
// keeps others waiting for long.
const (
	removeChunk  = 1000
	removeRounds = 10
)

// RemoveExpired implements iot.AccessStore.
func (s *Store) RemoveExpired(ctx context.Context, before time.Time) error {
	for _, expired := range []struct {
		table, column string
		before        time.Time
	}{
		{"tokens", "expires_at", before},
		{"device_credentials", "expires_at", before},
		{"provisioning_keys", "expires_at", before},
		{"audit", "recorded_at", before.Add(-iot.AuditRetention)},
	} {
		condition := expired.column + " < ?"
		for range removeRounds {
			n, err := s.removeSome(ctx, expired.table, condition, expired.before.UnixMilli())
			if err != nil {
				return s.wrap("remove what has expired of "+expired.table, err)
			}
			if n < removeChunk {
				break
			}
		}
	}
	return nil
}

// removeSome removes up to removeChunk rows that fulfil condition, and returns how many it has found.
func (s *Store) removeSome(ctx context.Context, table, condition string, bound int64) (int, error) {
	ctx, cancel := context.WithTimeout(ctx, timeouts.SQLCall)
	defer cancel()
	ids, err := find(ctx, s.read, scanInt, "SELECT id FROM "+table+" WHERE "+condition+" LIMIT ?", bound, removeChunk)
	if err != nil || len(ids) == 0 {
		return 0, err
	}
	err = s.transact(ctx, func(ctx context.Context, tx bun.Tx) error {
		// Asked again: a session may have been used meanwhile.
		_, err := tx.ExecContext(ctx, "DELETE FROM "+table+" WHERE id IN (?) AND "+condition, bun.List(ids), bound)
		return err
	})
	return len(ids), err
}
