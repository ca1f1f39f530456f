package sqlite

import (
	"context"
	"database/sql"
	"fmt"
	"time"

	"github.com/telltale-iot/telltale/pkg/iot"
)

// columns are those of the table that make a dead letter, in the order in which scan has them.
const columns = "id, received_at, reason, detail, device_id, source, topic_device_id, retained, content_type, replayed_at, replayed_readings, bytes, client_id, principal"

const (
	insertRow = `INSERT INTO dead_letters (` + columns + `, stored_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING`
	// A few at a time: other writers of the file wait meanwhile.
	deleteOld = `DELETE FROM dead_letters WHERE rowid IN (SELECT rowid FROM dead_letters WHERE stored_at < ? LIMIT 100)`
	markRow   = `UPDATE dead_letters SET replayed_at = ?, replayed_readings = ? WHERE id = ?`
	deleteRow = `DELETE FROM dead_letters WHERE id = ?`
)

// deleteFirst deletes those that were stored first while all take more than a capacity: a portion, at most. Several that run
// at once do not delete for one another.
var deleteFirst = `DELETE FROM dead_letters WHERE rowid IN (
	SELECT id FROM (
		SELECT id, sum(bytes) OVER (ORDER BY stored_at, id) - bytes AS before FROM (
			SELECT rowid AS id, stored_at, ` + bytesOf("d") + ` AS bytes FROM dead_letters d ORDER BY stored_at, rowid LIMIT ?))
	WHERE before < (SELECT bytes - ? FROM dead_letters_bytes))`

// InsertDeadLetters implements iot.DeadLetterWriter. After an error nothing of batch is stored. It is here
// that old dead letters are removed, so they stay while no new ones arrive.
func (s *Store) InsertDeadLetters(ctx context.Context, batch []iot.DeadLetter) (stored int, err error) {
	now := time.Now()
	err = s.db.Transact(ctx, func(tx *sql.Tx) error {
		if _, err := tx.ExecContext(ctx, deleteOld, now.Add(-iot.DeadLetterRetention).UnixMilli()); err != nil {
			return err
		}
		for _, d := range batch {
			n, err := affected(tx.ExecContext(ctx, insertRow, d.ID[:], d.Received.UnixMilli(), d.Reason, d.Detail, d.Device, d.Source,
				d.TopicDevice, d.Retained, d.ContentType, replayedAt(d.Replay), d.Replay.Readings, append([]byte{}, d.Bytes...), d.Client, d.Principal, now.UnixMilli()))
			if err != nil {
				return err
			}
			stored += n
		}
		return nil
	})
	if err != nil {
		return 0, fmt.Errorf("insert dead letters into %s: %w", s.db.Path, err)
	}
	s.db.BoundWAL()
	return stored, nil
}

// TrimDeadLetters implements iot.DeadLetterWriter.
func (s *Store) TrimDeadLetters(ctx context.Context) (removed int, err error) {
	const portion = 100 // other writers of the file wait meanwhile
	for removed < iot.MaxDeadLettersTrimmed {
		if size, err := s.DeadLetterBytes(ctx); err != nil || size <= s.Capacity {
			return removed, err
		}
		n, err := affected(s.db.Write.ExecContext(ctx, deleteFirst, portion, s.Capacity))
		if err != nil {
			return removed, fmt.Errorf("trim dead letters in %s: %w", s.db.Path, err)
		} else if n == 0 { // somebody else has
			return removed, nil
		}
		s.db.BoundWAL()
		removed += n
	}
	return removed, nil
}

// DeadLetterBytes implements iot.DeadLetterWriter.
func (s *Store) DeadLetterBytes(ctx context.Context) (n int64, err error) {
	if err := s.db.Read.QueryRowContext(ctx, `SELECT bytes FROM dead_letters_bytes`).Scan(&n); err != nil {
		return 0, fmt.Errorf("look at the size of the dead letters in %s: %w", s.db.Path, err)
	}
	return n, nil
}

func replayedAt(r iot.Replay) int64 {
	if r.At.IsZero() {
		return 0
	}
	return r.At.UnixMilli()
}

// MarkReplayed implements iot.DeadLetterStore.
func (s *Store) MarkReplayed(ctx context.Context, replays map[iot.DeadLetterID]iot.Replay) error {
	err := s.db.Transact(ctx, func(tx *sql.Tx) error {
		for id, r := range replays {
			if _, err := tx.ExecContext(ctx, markRow, replayedAt(r), r.Readings, id[:]); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("mark dead letters in %s: %w", s.db.Path, err)
	}
	return nil
}

// DeleteDeadLetter implements iot.DeadLetterStore.
func (s *Store) DeleteDeadLetter(ctx context.Context, id iot.DeadLetterID) error {
	n, err := affected(s.db.Write.ExecContext(ctx, deleteRow, id[:]))
	if err != nil {
		return fmt.Errorf("delete dead letter from %s: %w", s.db.Path, err)
	}
	if n == 0 {
		return iot.ErrNotFound
	}
	return nil
}

// DeleteDeadLetters implements iot.DeadLetterStore.
func (s *Store) DeleteDeadLetters(ctx context.Context, q iot.DeadLetterQuery) (deleted int, err error) {
	where, args := conditions(q)
	const portion = 100 // other writers of the file wait meanwhile
	for {
		n, err := affected(s.db.Write.ExecContext(ctx,
			`DELETE FROM dead_letters WHERE rowid IN (SELECT rowid FROM dead_letters `+where+` LIMIT ?)`, append(args, portion)...))
		if err != nil {
			return deleted, fmt.Errorf("delete dead letters from %s: %w", s.db.Path, err)
		}
		s.db.BoundWAL()
		if deleted += n; n < portion {
			return deleted, nil
		}
	}
}

// affected returns the number of rows that a statement changed. It takes the error of the statement too.
func affected(result sql.Result, err error) (int, error) {
	if err != nil {
		return 0, err
	}
	n, err := result.RowsAffected()
	return int(n), err
}
