package sqlstore

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/uptrace/bun"

	"github.com/telltale-iot/telltale/pkg/iot"
	"github.com/telltale-iot/telltale/pkg/timeouts"
)

// How long texts of an entry are, in characters; what is longer is cut, since the audit must not keep anybody from a change.
// Rows that callers give to RecordAudit may be larger, in bytes, than any of the store's own.
const (
	maxAuditAction = 64
	maxAuditText   = 255
	maxAuditRow    = 1 << 20
)

// auditRow is a row of the table audit as bun inserts it.
type auditRow struct {
	bun.BaseModel `bun:"table:audit"`

	ID         int64          `bun:"id,pk,autoincrement"`
	RecordedAt int64          `bun:"recorded_at"`
	Actor      string         `bun:"actor"`
	Token      string         `bun:"token"`
	Address    string         `bun:"address"`
	Noun       string         `bun:"noun"`
	Action     string         `bun:"action"`
	Object     string         `bun:"object"`
	OldRow     sql.NullString `bun:"old_row"`
	NewRow     sql.NullString `bun:"new_row"`
}

// record is part of each transaction that changes something: it adds what changed to the audit, where ctx has an actor. before
// and after are forms of the row (see forms.go), or nil where there is none.
func record(ctx context.Context, tx bun.Tx, action, object string, before, after any) error {
	actor, ok := iot.ActorOf(ctx)
	if !ok {
		return nil
	}
	entry := iot.AuditEntry{Actor: actor, Action: action, Object: object}
	for row, form := range map[*json.RawMessage]any{&entry.Before: before, &entry.After: after} {
		if form == nil {
			continue
		}
		var err error
		if *row, err = json.Marshal(form); err != nil {
			return err
		}
	}
	return insertEntry(ctx, tx, entry)
}

func insertEntry(ctx context.Context, db bun.IDB, e iot.AuditEntry) error {
	noun, _, _ := strings.Cut(e.Action, ".")
	row := auditRow{
		RecordedAt: now().UnixMilli(),
		Actor:      cut(e.Actor.Name, maxAuditText), Token: cut(e.Actor.Token, maxAuditText), Address: cut(e.Actor.Address, maxAuditText),
		Noun: cut(noun, maxAuditAction), Action: cut(e.Action, maxAuditAction), Object: cut(e.Object, maxAuditText),
		OldRow: nullable(string(e.Before)), NewRow: nullable(string(e.After)),
	}
	_, err := db.NewInsert().Model(&row).Exec(ctx)
	return err
}

// cut returns s as every database keeps it, of n characters at most.
func cut(s string, n int) string {
	s = strings.ReplaceAll(strings.ToValidUTF8(s, "\uFFFD"), "\x00", "\uFFFD")
	for i := range s {
		if n == 0 {
			return s[:i]
		}
		n--
	}
	return s
}

// RecordAudit implements iot.AccessStore.
func (s *Store) RecordAudit(ctx context.Context, e iot.AuditEntry) error {
	ctx, cancel := context.WithTimeout(ctx, timeouts.SQLCall)
	defer cancel()
	for _, row := range []json.RawMessage{e.Before, e.After} {
		if row != nil && (len(row) > maxAuditRow || !utf8.Valid(row) || !json.Valid(row)) {
			return s.wrap("record in the audit", fmt.Errorf("%s of %s: not JSON of at most %d bytes: %w", e.Action, e.Object, maxAuditRow, iot.ErrInvalid))
		}
	}
	return s.wrap("record in the audit", s.transact(ctx, func(ctx context.Context, tx bun.Tx) error { return insertEntry(ctx, tx, e) }))
}

// Audit implements iot.AccessStore.
func (s *Store) Audit(ctx context.Context, q iot.AuditQuery) ([]iot.AuditEntry, error) {
	ctx, cancel := context.WithTimeout(ctx, timeouts.SQLCall)
	defer cancel()
	if err := checkLimit(q.Limit); err != nil {
		return nil, s.wrap("find in the audit", err)
	}
	where, args := "WHERE id > 0", []any(nil)
	and := func(condition string, value any) {
		where, args = where+" AND "+condition, append(args, value)
	}
	if q.Before != 0 {
		and("id < ?", q.Before)
	}
	if q.Actor != "" {
		and("actor = ?", cut(q.Actor, maxAuditText))
	}
	switch action := cut(q.Action, maxAuditAction); {
	case strings.Contains(action, "."):
		and("action = ?", action)
	case action != "":
		and("noun = ?", action)
	}
	if q.Object != "" {
		and("object = ?", cut(q.Object, maxAuditText))
	}
	if !q.From.IsZero() {
		and("recorded_at >= ?", q.From.UnixMilli())
	}
	if !q.To.IsZero() {
		and("recorded_at < ?", q.To.UnixMilli())
	}
	entries, err := find(ctx, s.read, scanEntry, "SELECT id, recorded_at, actor, token, address, action, object, old_row, new_row FROM audit "+
		where+" ORDER BY id DESC LIMIT ?", append(args, q.Limit)...)
	return entries, s.wrap("find in the audit", err)
}

func scanEntry(rows *sql.Rows, e *iot.AuditEntry) error {
	var (
		at             int64
		oldRow, newRow sql.NullString
	)
	err := rows.Scan(&e.ID, &at, &e.Actor.Name, &e.Actor.Token, &e.Actor.Address, &e.Action, &e.Object, &oldRow, &newRow)
	e.At = time.UnixMilli(at).UTC()
	if oldRow.Valid {
		e.Before = json.RawMessage(oldRow.String)
	}
	if newRow.Valid {
		e.After = json.RawMessage(newRow.String)
	}
	return err
}
