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

// CreateAccount implements iot.AccessStore.
func (s *Store) CreateAccount(ctx context.Context, u iot.User, a iot.Account) (iot.User, error) {
	ctx, cancel := context.WithTimeout(ctx, timeouts.SQLCall)
	defer cancel()
	given := iot.AccountChange{UserChange: iot.UserChange{Username: &u.Username, Email: &u.Email}, Role: &a.Role, Password: &a.Password}
	if err := checkAccount(given); err != nil {
		return iot.User{}, s.wrap("create user", err)
	}
	err := s.transact(ctx, func(ctx context.Context, tx bun.Tx) (err error) {
		if u, err = insertUser(ctx, tx, u, a); err != nil {
			return err
		}
		return record(ctx, tx, "user.create", userObject(u.ID), nil, userEntry(person{u, a}))
	})
	if err != nil {
		return iot.User{}, s.wrap("create user", err)
	}
	return u, nil
}

// UpdateAccount implements iot.AccessStore.
func (s *Store) UpdateAccount(ctx context.Context, user int64, c iot.AccountChange) (iot.User, iot.Account, error) {
	ctx, cancel := context.WithTimeout(ctx, timeouts.SQLCall)
	defer cancel()
	if err := checkAccount(c); err != nil {
		return iot.User{}, iot.Account{}, s.wrap("update user", err)
	}
	var after person
	err := s.transact(ctx, func(ctx context.Context, tx bun.Tx) error {
		if err := s.lockAccess(ctx, tx); err != nil {
			return err
		}
		before, err := s.lockPerson(ctx, tx, user)
		if err != nil {
			return err
		}
		after = before
		if c.Apply(&after.User, &after.Account); after == before {
			return nil
		}
		if err := keepsAdmin(ctx, tx, before, after.Account); err != nil {
			return err
		}
		return updatePerson(ctx, tx, before, after)
	})
	if err != nil {
		return iot.User{}, iot.Account{}, s.wrap("update user", err)
	}
	return after.User, after.Account, nil
}

// updatePerson has before, which tx has locked, become after.
func updatePerson(ctx context.Context, tx bun.Tx, before, after person) error {
	update := tx.NewUpdate().Table("users").Where("id = ?", before.ID).Set("username = ?", after.Username).Set("email = ?", after.Email).
		Set("role = ?", after.Role).Set("password_hash = ?", after.Password)
	if after.Disabled != before.Disabled {
		update.Set("disabled_at = ?", disabledAt(after.Account))
	}
	if err := changed(update.Exec(ctx)); err != nil {
		return err
	}
	form := accountForm{userForm: userEntry(after), NewPassword: after.Password != before.Password}
	if form.NewPassword {
		ended, err := tx.ExecContext(ctx, "DELETE FROM tokens WHERE user_id = ? AND session = 1", before.ID)
		if err != nil {
			return err
		}
		if form.SessionsEnded, err = ended.RowsAffected(); err != nil {
			return err
		}
	}
	action := "user.update"
	if after.Account != before.Account {
		action = "account.update"
	}
	return record(ctx, tx, action, userObject(before.ID), userEntry(before), form)
}

// disabledAt is the column of an account that is stored now.
func disabledAt(a iot.Account) sql.NullInt64 {
	if !a.Disabled {
		return sql.NullInt64{}
	}
	return sql.NullInt64{Int64: now().UnixMilli(), Valid: true}
}

// keepsAdmin returns ErrLastAdmin when nobody would be an admin who can do something, but p is, and becomes after. tx has
// lockAccess.
func keepsAdmin(ctx context.Context, tx bun.Tx, p person, after iot.Account) error {
	rules := func(a iot.Account) bool { return a.Role == iot.RoleAdmin && !a.Disabled }
	if !rules(p.Account) || rules(after) {
		return nil
	}
	others, err := find(ctx, tx, scanInt, "SELECT id FROM users WHERE role = ? AND disabled_at IS NULL AND id <> ? LIMIT 1", iot.RoleAdmin, p.ID)
	if err == nil && len(others) == 0 {
		return fmt.Errorf("%.40q: %w", p.Username, iot.ErrLastAdmin)
	}
	return err
}

func checkAccount(c iot.AccountChange) error {
	if err := checkUser(c.UserChange); err != nil {
		return err
	}
	if c.Role != nil {
		if err := checkRole(*c.Role); err != nil {
			return err
		}
	}
	if c.Password != nil {
		return checkText("hash of a password", *c.Password, 0, maxPasswordHash)
	}
	return nil
}

func checkRole(r iot.Role) error {
	if !slices.Contains(iot.Roles, r) {
		return fmt.Errorf("role %.40q: %w", r, iot.ErrInvalid)
	}
	return nil
}
