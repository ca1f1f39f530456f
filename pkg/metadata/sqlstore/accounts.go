package sqlstore

import (
	"context"
	"database/sql"
	"fmt"
	"slices"

	"github.com/uptrace/bun"

	"github.com/telltale-iot/telltale/pkg/iot"
	"github.com/telltale-iot/telltale/pkg/timeouts"
)

// maxPasswordHash is how long the hash of a password may be.
const maxPasswordHash = 255

// person is a row of users with all that is in it.
type person struct {
	iot.User
	iot.Account
}

const selectPeople = "SELECT id, username, email, created_at, role, password_hash, disabled_at FROM users "

func scanPerson(rows *sql.Rows, p *person) error {
	var disabledAt sql.NullInt64
	err := rows.Scan(&p.ID, &p.Username, &p.Email, &p.CreatedAt, &p.Role, &p.Password, &disabledAt)
	p.CreatedAt = p.CreatedAt.UTC()
	p.Disabled = disabledAt.Valid
	return err
}

// lockPerson returns a user, whom nobody else changes, deletes or refers to until tx ends.
func (s *Store) lockPerson(ctx context.Context, tx bun.Tx, id int64) (person, error) {
	return findOne(ctx, tx, scanPerson, selectPeople+"WHERE id = ?"+s.dialect.ForUpdate, id)
}

// UserCalled implements iot.AccessStore.
func (s *Store) UserCalled(ctx context.Context, username string) (iot.User, error) {
	ctx, cancel := context.WithTimeout(ctx, timeouts.SQLCall)
	defer cancel()
	if checkUsername(username) != nil {
		return iot.User{}, s.wrap("find user", iot.ErrNotFound) // nobody is called so
	}
	u, err := findOne(ctx, s.read, scanUser, selectUsers+"WHERE username = ?", username)
	return u, s.wrap("find user", err)
}

// Account implements iot.AccessStore.
func (s *Store) Account(ctx context.Context, user int64) (iot.Account, error) {
	ctx, cancel := context.WithTimeout(ctx, timeouts.SQLCall)
	defer cancel()
	p, err := findOne(ctx, s.read, scanPerson, selectPeople+"WHERE id = ?", user)
	return p.Account, s.wrap("find account", err)
}

// Accounts implements iot.AccessStore.
func (s *Store) Accounts(ctx context.Context, q iot.UserQuery) (map[int64]iot.Account, error) {
	ctx, cancel := context.WithTimeout(ctx, timeouts.SQLCall)
	defer cancel()
	people, err := findUsers(ctx, s.read, scanPerson, selectPeople, q)
	accounts := make(map[int64]iot.Account, len(people))
	for _, p := range people {
		accounts[p.ID] = p.Account
	}
	return accounts, s.wrap("find accounts", err)
}

// SetAccount implements iot.AccessStore.
func (s *Store) SetAccount(ctx context.Context, user int64, a iot.Account) error {
	ctx, cancel := context.WithTimeout(ctx, timeouts.SQLCall)
	defer cancel()
	if err := checkRole(a.Role); err != nil {
		return s.wrap("set account", err)
	}
	if err := checkText("hash of a password", a.Password, 0, maxPasswordHash); err != nil {
		return s.wrap("set account", err)
	}
	err := s.transact(ctx, func(ctx context.Context, tx bun.Tx) error {
		if err := s.lockAccess(ctx, tx); err != nil {
			return err
		}
		before, err := s.lockPerson(ctx, tx, user)
		if err != nil || before.Account == a {
			return err
		}
		if err := keepsAdmin(ctx, tx, before, a); err != nil {
			return err
		}
		update := tx.NewUpdate().Table("users").Where("id = ?", user).Set("role = ?", a.Role).Set("password_hash = ?", a.Password)
		if a.Disabled != before.Disabled {
			update.Set("disabled_at = ?", sql.NullInt64{Int64: now().UnixMilli(), Valid: a.Disabled})
		}
		if err := changed(update.Exec(ctx)); err != nil {
			return err
		}
		after := accountForm{userForm: userEntry(person{before.User, a}), NewPassword: a.Password != before.Password}
		if after.NewPassword {
			ended, err := tx.ExecContext(ctx, "DELETE FROM tokens WHERE user_id = ? AND session = 1", user)
			if err != nil {
				return err
			}
			if after.SessionsEnded, err = ended.RowsAffected(); err != nil {
				return err
			}
		}
		return record(ctx, tx, "account.update", userObject(user), userEntry(before), after)
	})
	return s.wrap("set account", err)
}

// keepsAdmin returns ErrConflict when nobody would be an admin who can do something, but p is, and becomes after. tx has
// lockAccess.
func keepsAdmin(ctx context.Context, tx bun.Tx, p person, after iot.Account) error {
	rules := func(a iot.Account) bool { return a.Role == iot.RoleAdmin && !a.Disabled }
	if !rules(p.Account) || rules(after) {
		return nil
	}
	others, err := find(ctx, tx, scanInt, "SELECT id FROM users WHERE role = ? AND disabled_at IS NULL AND id <> ? LIMIT 1", iot.RoleAdmin, p.ID)
	if err == nil && len(others) == 0 {
		return fmt.Errorf("%.40q is the last admin: %w", p.Username, iot.ErrConflict)
	}
	return err
}

func checkRole(r iot.Role) error {
	if !slices.Contains(iot.Roles, r) {
		return fmt.Errorf("role %.40q: %w", r, iot.ErrInvalid)
	}
	return nil
}
