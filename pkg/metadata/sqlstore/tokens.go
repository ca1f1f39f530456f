package sqlstore

import (
	"context"
	"database/sql"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/uptrace/bun"

	"github.com/telltale-iot/telltale/pkg/iot"
	"github.com/telltale-iot/telltale/pkg/timeouts"
)

// tokenRow is a row of the table tokens as bun inserts it.
type tokenRow struct {
	bun.BaseModel `bun:"table:tokens"`

	ID        int64          `bun:"id,pk,autoincrement"`
	UserID    int64          `bun:"user_id"`
	Name      string         `bun:"name"`
	Role      iot.Role       `bun:"role"`
	Devices   sql.NullString `bun:"devices"`
	Session   int            `bun:"session"`
	Secret    string         `bun:"secret"`
	CreatedAt int64          `bun:"created_at"`
	ExpiresAt sql.NullInt64  `bun:"expires_at"`
	Parent    sql.NullInt64  `bun:"parent"`
}

const (
	tokenColumns = "tokens.id, tokens.user_id, tokens.name, tokens.role, tokens.devices, tokens.session, " +
		"tokens.created_at, tokens.expires_at, tokens.last_used, COALESCE(tokens.parent, 0)"
	selectTokens = "SELECT " + tokenColumns + " FROM tokens "
)

func scanToken(rows *sql.Rows, t *iot.Token) error { return scanTokenWith(rows, t) }

// scanTokenWith scans a row that begins with tokenColumns, and goes on with more.
func scanTokenWith(rows *sql.Rows, t *iot.Token, more ...any) error {
	var (
		devices       sql.NullString
		created       int64
		expires, used sql.NullInt64
		session       int
	)
	columns := []any{&t.ID, &t.User, &t.Name, &t.Role, &devices, &session, &created, &expires, &used, &t.Parent}
	if err := rows.Scan(append(columns, more...)...); err != nil {
		return err
	}
	t.Session = session == 1
	t.CreatedAt, t.ExpiresAt, t.LastUsed = time.UnixMilli(created).UTC(), orZero(expires), orZero(used)
	return readDevices(devices, &t.Devices)
}

// CreateToken implements iot.AccessStore.
func (s *Store) CreateToken(ctx context.Context, t iot.Token, secret iot.Secret) (iot.Token, error) {
	ctx, cancel := context.WithTimeout(ctx, timeouts.SQLCall)
	defer cancel()
	if err := checkToken(t); err != nil {
		return iot.Token{}, s.wrap("create token", err)
	}
	t.CreatedAt, t.ExpiresAt, t.LastUsed = now(), whole(t.ExpiresAt), time.Time{}
	row := tokenRow{
		UserID: t.User, Name: t.Name, Role: t.Role, Devices: deviceList(t.Devices), Session: flag(t.Session), Secret: secretText(secret),
		CreatedAt: t.CreatedAt.UnixMilli(), ExpiresAt: millis(t.ExpiresAt), Parent: sql.NullInt64{Int64: t.Parent, Valid: t.Parent != 0},
	}
	err := s.transact(ctx, func(ctx context.Context, tx bun.Tx) error {
		if err := s.lockOwner(ctx, tx, t.User); err != nil {
			return err
		}
		if t.Parent != 0 { // with which it would end, had it been there
			_, err := findOne(ctx, tx, scanInt, "SELECT id FROM tokens WHERE id = ?"+s.dialect.ForUpdate, t.Parent)
			if errors.Is(err, iot.ErrNotFound) {
				return fmt.Errorf("there is no token %d: %w", t.Parent, iot.ErrInvalid)
			}
			if err != nil {
				return err
			}
		}
		row.ID = 0
		if _, err := tx.NewInsert().Model(&row).Exec(ctx); err != nil {
			return err
		}
		t.ID = row.ID
		return record(ctx, tx, tokenNoun(t)+".create", tokenObject(t), nil, tokenEntry(t))
	})
	if err != nil {
		return iot.Token{}, s.wrap("create token", err)
	}
	return t, nil
}

// lockOwner keeps a user from being deleted until tx ends. ErrInvalid: there is none.
func (s *Store) lockOwner(ctx context.Context, tx bun.Tx, user int64) error {
	_, err := s.lockPerson(ctx, tx, user)
	if errors.Is(err, iot.ErrNotFound) {
		return fmt.Errorf("there is no user %d: %w", user, iot.ErrInvalid)
	}
	return err
}

// TokenOf implements iot.AccessStore.
func (s *Store) TokenOf(ctx context.Context, secret iot.Secret) (iot.Token, iot.User, iot.Account, error) {
	ctx, cancel := context.WithTimeout(ctx, timeouts.SQLCall)
	defer cancel()
	type bearer struct {
		token iot.Token
		user  person
	}
	b, err := findOne(ctx, s.read, func(rows *sql.Rows, b *bearer) error {
		var disabledAt sql.NullInt64
		u := &b.user
		err := scanTokenWith(rows, &b.token, &u.ID, &u.Username, &u.Email, &u.CreatedAt, &u.Role, &u.Password, &disabledAt)
		u.CreatedAt, u.Disabled = u.CreatedAt.UTC(), disabledAt.Valid
		return err
	}, "SELECT "+tokenColumns+", users.id, users.username, users.email, users.created_at, users.role, users.password_hash, users.disabled_at "+
		"FROM tokens JOIN users ON users.id = tokens.user_id WHERE secret = ?", secretText(secret))
	return b.token, b.user.User, b.user.Account, s.wrap("find token", err)
}

// Tokens implements iot.AccessStore.
func (s *Store) Tokens(ctx context.Context, user, after int64, limit int) ([]iot.Token, error) {
	ctx, cancel := context.WithTimeout(ctx, timeouts.SQLCall)
	defer cancel()
	if err := checkLimit(limit); err != nil {
		return nil, s.wrap("find tokens", err)
	}
	where, args := "WHERE session = 0 AND id > ?", []any{after}
	if user != 0 {
		where, args = where+" AND user_id = ?", append(args, user)
	}
	tokens, err := find(ctx, s.read, scanToken, selectTokens+where+" ORDER BY id LIMIT ?", append(args, limit)...)
	return tokens, s.wrap("find tokens", err)
}

// Token implements iot.AccessStore.
func (s *Store) Token(ctx context.Context, id int64) (iot.Token, error) {
	ctx, cancel := context.WithTimeout(ctx, timeouts.SQLCall)
	defer cancel()
	t, err := findOne(ctx, s.read, scanToken, selectTokens+"WHERE id = ?", id)
	return t, s.wrap("find token", err)
}

// DeleteToken implements iot.AccessStore.
func (s *Store) DeleteToken(ctx context.Context, id int64) error {
	ctx, cancel := context.WithTimeout(ctx, timeouts.SQLCall)
	defer cancel()
	err := s.transact(ctx, func(ctx context.Context, tx bun.Tx) error {
		t, err := findOne(ctx, tx, scanToken, selectTokens+"WHERE id = ?"+s.dialect.ForUpdate, id)
		if err != nil {
			return err
		}
		return deleteToken(ctx, tx, t)
	})
	return s.wrap("delete token", err)
}

// deleteToken deletes a token, which tx has locked, and those that were made with it.
func deleteToken(ctx context.Context, tx bun.Tx, t iot.Token) error {
	if err := changed(tx.ExecContext(ctx, "DELETE FROM tokens WHERE id = ?", t.ID)); err != nil {
		return err
	}
	if err := record(ctx, tx, tokenNoun(t)+".delete", tokenObject(t), tokenEntry(t), nil); err != nil {
		return err
	}
	made, err := find(ctx, tx, scanToken, selectTokens+"WHERE parent = ? ORDER BY id", t.ID)
	for _, child := range made {
		if err := deleteToken(ctx, tx, child); err != nil {
			return err
		}
	}
	return err
}

// UseToken implements iot.AccessStore.
func (s *Store) UseToken(ctx context.Context, id int64, at, expires time.Time) error {
	ctx, cancel := context.WithTimeout(ctx, timeouts.SQLCall)
	defer cancel()
	err := s.transact(ctx, func(ctx context.Context, tx bun.Tx) error {
		return changed(tx.ExecContext(ctx, "UPDATE tokens SET last_used = ?, expires_at = CASE WHEN session = 1 THEN ? ELSE expires_at END WHERE id = ?",
			at.Truncate(time.Minute).UnixMilli(), expires.UnixMilli(), id))
	})
	return s.wrap("note the use of a token", err)
}

func checkToken(t iot.Token) error {
	if err := checkText("name", t.Name, 0, iot.MaxName); err != nil {
		return err
	}
	if !t.Session || t.Role != "" { // a session's role is its user's
		if err := checkRole(t.Role); err != nil {
			return err
		}
	}
	return checkDevices(t.Devices)
}

// checkDevices returns ErrInvalid for a list that is too long or names what can be no device.
func checkDevices(ids []iot.DeviceID) error {
	if len(ids) > iot.MaxDevices {
		return fmt.Errorf("%d devices, not at most %d: %w", len(ids), iot.MaxDevices, iot.ErrInvalid)
	}
	for _, id := range ids {
		if !id.Valid() {
			return fmt.Errorf("device %d: %w", id, iot.ErrInvalid)
		}
	}
	return nil
}

// deviceList is a list as the database keeps it: NULL for nil.
func deviceList(ids []iot.DeviceID) sql.NullString {
	if ids == nil {
		return sql.NullString{}
	}
	text, _ := json.Marshal(ids) // of numbers: it cannot fail
	return sql.NullString{String: string(text), Valid: true}
}

func readDevices(list sql.NullString, ids *[]iot.DeviceID) error {
	if !list.Valid {
		return nil
	}
	return json.Unmarshal([]byte(list.String), ids)
}

func secretText(s iot.Secret) string { return hex.EncodeToString(s[:]) }

// millis returns t as the database keeps it: NULL for no time.
func millis(t time.Time) sql.NullInt64 {
	return sql.NullInt64{Int64: t.UnixMilli(), Valid: !t.IsZero()}
}

func orZero(ms sql.NullInt64) time.Time {
	if !ms.Valid {
		return time.Time{}
	}
	return time.UnixMilli(ms.Int64).UTC()
}

// whole returns t as it is when it was kept.
func whole(t time.Time) time.Time { return orZero(millis(t)) }
