package sqlstore

import (
	"context"
	"database/sql"
	"time"

	"github.com/uptrace/bun"

	"github.com/telltale-iot/telltale/pkg/iot"
	"github.com/telltale-iot/telltale/pkg/timeouts"
)

// userRow is a row of the table users as bun inserts it.
type userRow struct {
	bun.BaseModel `bun:"table:users"`

	ID        int64     `bun:"id,pk,autoincrement"`
	Username  string    `bun:"username"`
	Email     string    `bun:"email"`
	CreatedAt time.Time `bun:"created_at"`
}

const selectUsers = "SELECT id, username, email, created_at FROM users "

func scanUser(rows *sql.Rows, u *iot.User) error {
	err := rows.Scan(&u.ID, &u.Username, &u.Email, &u.CreatedAt)
	u.CreatedAt = u.CreatedAt.UTC()
	return err
}

// CreateUser implements iot.MetadataStore.
func (s *Store) CreateUser(ctx context.Context, u iot.User) (iot.User, error) {
	ctx, cancel := context.WithTimeout(ctx, timeouts.SQLCall)
	defer cancel()
	if err := checkUser(iot.UserChange{Username: &u.Username, Email: &u.Email}); err != nil {
		return iot.User{}, s.wrap("create user", err)
	}
	err := s.transact(ctx, func(ctx context.Context, tx bun.Tx) (err error) {
		u, err = insertUser(ctx, tx, u)
		return err
	})
	if err != nil {
		return iot.User{}, s.wrap("create user", err)
	}
	return u, nil
}

func insertUser(ctx context.Context, tx bun.Tx, u iot.User) (iot.User, error) {
	row := userRow{Username: u.Username, Email: u.Email, CreatedAt: now()}
	_, err := tx.NewInsert().Model(&row).Exec(ctx) // sets row.ID
	u.ID, u.CreatedAt = row.ID, row.CreatedAt
	return u, err
}

// User implements iot.MetadataStore.
func (s *Store) User(ctx context.Context, id int64) (iot.User, error) {
	ctx, cancel := context.WithTimeout(ctx, timeouts.SQLCall)
	defer cancel()
	u, err := findOne(ctx, s.read, scanUser, selectUsers+"WHERE id = ?", id)
	return u, s.wrap("find user", err)
}

// Users implements iot.MetadataStore.
func (s *Store) Users(ctx context.Context, q iot.UserQuery) ([]iot.User, error) {
	ctx, cancel := context.WithTimeout(ctx, timeouts.SQLCall)
	defer cancel()
	if err := checkLimit(q.Limit); err != nil {
		return nil, s.wrap("find users", err)
	}
	where, args := "WHERE id > ?", []any{q.After}
	if q.Username != "" {
		if err := checkUsername(q.Username); err != nil {
			return nil, s.wrap("find users", err)
		}
		where, args = where+" AND username = ?", append(args, q.Username)
	}
	users, err := find(ctx, s.read, scanUser, selectUsers+where+" ORDER BY id LIMIT ?", append(args, q.Limit)...)
	return users, s.wrap("find users", err)
}

// UpdateUser implements iot.MetadataStore.
func (s *Store) UpdateUser(ctx context.Context, id int64, c iot.UserChange) (u iot.User, err error) {
	ctx, cancel := context.WithTimeout(ctx, timeouts.SQLCall)
	defer cancel()
	if err := checkUser(c); err != nil {
		return iot.User{}, s.wrap("update user", err)
	}
	err = s.transact(ctx, func(ctx context.Context, tx bun.Tx) (err error) {
		if c != (iot.UserChange{}) {
			update := tx.NewUpdate().Table("users").Where("id = ?", id)
			if c.Username != nil {
				update.Set("username = ?", *c.Username)
			}
			if c.Email != nil {
				update.Set("email = ?", *c.Email)
			}
			if err := changed(update.Exec(ctx)); err != nil {
				return err
			}
		}
		u, err = findOne(ctx, tx, scanUser, selectUsers+"WHERE id = ?", id)
		return err
	})
	if err != nil {
		return iot.User{}, s.wrap("update user", err)
	}
	return u, nil
}

// DeleteUser implements iot.MetadataStore.
func (s *Store) DeleteUser(ctx context.Context, id int64) error {
	ctx, cancel := context.WithTimeout(ctx, timeouts.SQLCall)
	defer cancel()
	err := s.transact(ctx, func(ctx context.Context, tx bun.Tx) error {
		ids, err := s.lockIDs(ctx, tx)
		if err != nil {
			return err
		}
		// With the user locked no further device can get it as its owner.
		if _, err := findOne(ctx, tx, scanUser, selectUsers+"WHERE id = ?"+s.dialect.ForUpdate, id); err != nil {
			return err
		}
		greatest, err := findOne(ctx, tx, scanID, "SELECT COALESCE(MAX(id), 0) FROM devices WHERE user_id = ? AND id <= ?",
			id, int64(maxGenerated))
		if err != nil {
			return err
		}
		if err := ids.deleted(ctx, tx, greatest); err != nil {
			return err
		}
		if _, err := tx.ExecContext(ctx, "DELETE FROM device_contacts WHERE device_id IN (SELECT id FROM devices WHERE user_id = ?)", id); err != nil {
			return err
		}
		return changed(tx.ExecContext(ctx, "DELETE FROM users WHERE id = ?", id)) // and, by its foreign key, devices
	})
	return s.wrap("delete user", err)
}

func checkUser(c iot.UserChange) error {
	if c.Username != nil {
		if err := checkUsername(*c.Username); err != nil {
			return err
		}
	}
	if c.Email != nil {
		return checkEmail(*c.Email)
	}
	return nil
}
