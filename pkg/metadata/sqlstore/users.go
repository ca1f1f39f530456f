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

	Role         iot.Role      `bun:"role"`
	PasswordHash string        `bun:"password_hash"`
	DisabledAt   sql.NullInt64 `bun:"disabled_at"`
}

// newcomer is what a user may do where nobody says what.
var newcomer = iot.Account{Role: iot.RoleViewer}

const selectUsers = "SELECT id, username, email, created_at FROM users "

func scanUser(rows *sql.Rows, u *iot.User) error {
	err := rows.Scan(&u.ID, &u.Username, &u.Email, &u.CreatedAt)
	u.CreatedAt = u.CreatedAt.UTC()
	return err
}

// CreateUser implements iot.MetadataStore.
func (s *Store) CreateUser(ctx context.Context, u iot.User) (iot.User, error) {
	return s.CreateAccount(ctx, u, newcomer)
}

func insertUser(ctx context.Context, tx bun.Tx, u iot.User, a iot.Account) (iot.User, error) {
	row := userRow{
		Username: u.Username, Email: u.Email, CreatedAt: now(),
		Role: a.Role, PasswordHash: a.Password, DisabledAt: disabledAt(a),
	}
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
	users, err := findUsers(ctx, s.read, scanUser, selectUsers, q)
	return users, s.wrap("find users", err)
}

// findUsers returns rows of the users that q selects.
func findUsers[T any](ctx context.Context, db bun.IDB, scan func(*sql.Rows, *T) error, selection string, q iot.UserQuery) ([]T, error) {
	if err := checkLimit(q.Limit); err != nil {
		return nil, err
	}
	where, args := "WHERE id > ?", []any{q.After}
	if q.Username != "" {
		if err := checkUsername(q.Username); err != nil {
			return nil, err
		}
		where, args = where+" AND username = ?", append(args, q.Username)
	}
	return find(ctx, db, scan, selection+where+" ORDER BY id LIMIT ?", append(args, q.Limit)...)
}

// UpdateUser implements iot.MetadataStore.
func (s *Store) UpdateUser(ctx context.Context, id int64, c iot.UserChange) (iot.User, error) {
	u, _, err := s.UpdateAccount(ctx, id, iot.AccountChange{UserChange: c})
	return u, err
}

// DeleteUser implements iot.MetadataStore.
func (s *Store) DeleteUser(ctx context.Context, id int64) (credentials []int64, err error) {
	ctx, cancel := context.WithTimeout(ctx, timeouts.SQLCall)
	defer cancel()
	err = s.transact(ctx, func(ctx context.Context, tx bun.Tx) error {
		ids, err := s.lockIDs(ctx, tx)
		if err != nil {
			return err
		}
		if err := s.lockAccess(ctx, tx); err != nil {
			return err
		}
		// With the user locked no further device can get it as its owner.
		before, err := s.lockPerson(ctx, tx, id)
		if err != nil {
			return err
		}
		if err := keepsAdmin(ctx, tx, before, iot.Account{}); err != nil {
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
		gone, ended, err := deleteBelongings(ctx, tx, id)
		if err != nil {
			return err
		}
		credentials = ended
		if err := changed(tx.ExecContext(ctx, "DELETE FROM users WHERE id = ?", id)); err != nil { // and, by its foreign key, devices
			return err
		}
		return record(ctx, tx, "user.delete", userObject(id), deletedUserForm{userEntry(before), gone}, nil)
	})
	if err != nil {
		return nil, s.wrap("delete user", err)
	}
	return credentials, nil
}

// belongings is how much of what a user had went with him.
type belongings struct {
	Devices          int64 `json:"devices"`
	Credentials      int64 `json:"credentials"` // of the devices
	Tokens           int64 `json:"tokens"`      // and sessions
	ProvisioningKeys int64 `json:"provisioning_keys"`
}

// deleteBelongings deletes what belongs to a user, but for his devices, which it counts. It returns which credentials went: tx
// has lockAccess, so that there are no others.
func deleteBelongings(ctx context.Context, tx bun.Tx, user int64) (gone belongings, credentials []int64, err error) {
	const his = "device_id IN (SELECT id FROM devices WHERE user_id = ?)"
	if credentials, err = find(ctx, tx, scanInt, "SELECT id FROM device_credentials WHERE "+his+" ORDER BY id", user); err != nil {
		return gone, nil, err
	}
	for _, deletion := range []struct {
		count *int64
		query string
	}{
		{new(int64), "DELETE FROM device_contacts WHERE " + his},
		{&gone.Credentials, "DELETE FROM device_credentials WHERE " + his},
		{&gone.Tokens, "DELETE FROM tokens WHERE user_id = ?"},
		{&gone.ProvisioningKeys, "DELETE FROM provisioning_keys WHERE user_id = ?"},
	} {
		result, err := tx.ExecContext(ctx, deletion.query, user)
		if err != nil {
			return gone, nil, err
		}
		if *deletion.count, err = result.RowsAffected(); err != nil {
			return gone, nil, err
		}
	}
	gone.Devices, err = findOne(ctx, tx, scanInt, "SELECT COUNT(*) FROM devices WHERE user_id = ?", user)
	return gone, credentials, err
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
