package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/telltale-iot/telltale/pkg/internal/page"
	"github.com/telltale-iot/telltale/pkg/iot"
	"github.com/telltale-iot/telltale/pkg/sqlite"
)

// DeadLetter implements iot.DeadLetterStore.
func (s *Store) DeadLetter(ctx context.Context, id iot.DeadLetterID) (iot.DeadLetter, error) {
	d, err := scan(s.db.Read.QueryRowContext(ctx, `SELECT `+columns+` FROM dead_letters WHERE id = ?`, id[:]))
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return d, iot.ErrNotFound
	case err != nil:
		return d, fmt.Errorf("find dead letter in %s: %w", s.db.Path, err)
	}
	return d, nil
}

// FindDeadLetters implements iot.DeadLetterStore.
func (s *Store) FindDeadLetters(ctx context.Context, q iot.DeadLetterQuery) (iot.DeadLetterPage, error) {
	p, err := page.New[iot.DeadLetter](q.Limit, iot.MaxDeadLetterPageBytes)
	if err != nil {
		return iot.DeadLetterPage{}, fmt.Errorf("find dead letters: %w", err)
	}
	where, args := conditions(q)
	rows, err := s.db.Read.QueryContext(ctx, `SELECT `+columns+` FROM dead_letters `+where+
		` ORDER BY received_at DESC, id DESC LIMIT ?`, append(args, p.Rows())...)
	err = sqlite.ForEach(rows, err, func() (more bool, err error) {
		d, err := scan(rows)
		return err == nil && p.Add(d), err
	})
	if err != nil {
		return iot.DeadLetterPage{}, fmt.Errorf("find dead letters in %s: %w", s.db.Path, err)
	}
	return iot.DeadLetterPage{DeadLetters: p.Items, Next: p.Next}, nil
}

// CountDeadLetters implements iot.DeadLetterStore.
func (s *Store) CountDeadLetters(ctx context.Context, q iot.DeadLetterQuery) (counts []iot.ReasonCount, err error) {
	where, args := conditions(q)
	rows, err := s.db.Read.QueryContext(ctx, `SELECT reason, count(*), sum(replayed_at > 0) FROM dead_letters `+where+
		` GROUP BY reason ORDER BY reason`, args...)
	err = sqlite.ForEach(rows, err, func() (more bool, err error) {
		var c iot.ReasonCount
		err = rows.Scan(&c.Reason, &c.Count, &c.Replayed)
		counts = append(counts, c)
		return true, err
	})
	if err != nil {
		return nil, fmt.Errorf("count dead letters in %s: %w", s.db.Path, err)
	}
	return counts, nil
}

// CountDeadLetterSources implements iot.DeadLetterStore.
func (s *Store) CountDeadLetterSources(ctx context.Context, q iot.DeadLetterQuery) (counts []iot.SourceCount, err error) {
	where, args := conditions(q)
	// Of the columns that it neither groups by nor counts, SQLite gives those of the row with the least place.
	rows, err := s.db.Read.QueryContext(ctx, `SELECT source, count(*), sum(replayed), id, min(place) FROM (
			SELECT substr(source, 1, ?) AS source, replayed_at > 0 AS replayed, id, row_number() OVER (ORDER BY received_at DESC, id DESC) AS place
			FROM dead_letters `+where+` ORDER BY place LIMIT ?
		) GROUP BY source ORDER BY count(*) DESC, source`, append(append([]any{iot.MaxSourceLength}, args...), iot.MaxDeadLettersBySource)...)
	err = sqlite.ForEach(rows, err, func() (more bool, err error) {
		var c iot.SourceCount
		var id []byte
		var place int64
		if err = rows.Scan(&c.Source, &c.Count, &c.Replayed, &id, &place); err == nil {
			c.Newest = iot.DeadLetterID(id)
			counts = append(counts, c)
		}
		return true, err
	})
	if err != nil {
		return nil, fmt.Errorf("count the sources of dead letters in %s: %w", s.db.Path, err)
	}
	return counts, nil
}

// sourceSelected is a function in SQL: whether a filter selects a source.
const sourceSelected = "source_selected"

func init() {
	sqlite.RegisterPredicate(sourceSelected, func(filter, source string) bool { return iot.TopicFilter(filter).Selects(source) })
}

// conditions returns a WHERE clause for what q, whatever its Limit, selects, and its arguments.
func conditions(q iot.DeadLetterQuery) (where string, args []any) {
	var all []string
	add := func(condition string, values ...any) {
		all = append(all, condition)
		args = append(args, values...)
	}
	if q.Reason != "" {
		add("reason = ?", q.Reason)
	}
	if q.Device != 0 {
		add("device_id = ?", q.Device)
	}
	if q.Devices != nil {
		add("device_id IN (" + idList(q.Devices) + ")")
	}
	if q.Source != "" {
		add(sourceSelected+"(?, source)", string(q.Source))
	}
	if !q.From.IsZero() {
		add("received_at >= ?", iot.CeilMillis(q.From).UnixMilli())
	}
	if !q.To.IsZero() {
		add("received_at < ?", iot.CeilMillis(q.To).UnixMilli())
	}
	if q.Replayed != nil {
		add("(replayed_at > 0) = ?", *q.Replayed)
	}
	if !q.After.IsZero() {
		add("(received_at, id) < (?, ?)", q.After.Received.UnixMilli(), q.After.ID[:])
	}
	if len(all) == 0 {
		return "", nil
	}
	return "WHERE " + strings.Join(all, " AND "), args
}

// idList returns ids as they stand in SQL, where an argument for each would be too many.
func idList(ids []iot.DeviceID) string {
	texts := make([]string, len(ids))
	for i, id := range ids {
		texts[i] = id.String()
	}
	return strings.Join(texts, ",")
}

// scan reads columns from a *sql.Row or *sql.Rows.
func scan(from interface{ Scan(dest ...any) error }) (d iot.DeadLetter, err error) {
	var id []byte
	var received, replayed int64
	err = from.Scan(&id, &received, &d.Reason, &d.Detail, &d.Device, &d.Source, &d.TopicDevice, &d.Retained, &d.ContentType,
		&replayed, &d.Replay.Readings, &d.Bytes, &d.Client, &d.Principal)
	if err != nil {
		return d, err
	}
	d.ID, d.Received = iot.DeadLetterID(id), time.UnixMilli(received).UTC()
	if replayed > 0 {
		d.Replay.At = time.UnixMilli(replayed).UTC()
	}
	return d, nil
}
