package sqlstore

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/uptrace/bun"

	"github.com/telltale-iot/telltale/pkg/iot"
	"github.com/telltale-iot/telltale/pkg/timeouts"
)

// LogInAs implements iot.AccessStore.
func (s *Store) LogInAs(ctx context.Context, identity iot.Secret, username, email string, role iot.Role) (iot.User, iot.Account, error) {
	ctx, cancel := context.WithTimeout(ctx, timeouts.SQLCall)
	defer cancel()
	err := checkUser(iot.UserChange{Username: &username, Email: &email})
	if err == nil && role != "" {
		err = checkRole(role)
	}
	if err != nil {
		return iot.User{}, iot.Account{}, s.wrap("log in", err)
	}
	var p person
	err = s.transact(ctx, func(ctx context.Context, tx bun.Tx) error {
		if err := s.lockAccess(ctx, tx); err != nil {
			return err
		}
		if p, err = s.identified(ctx, tx, identity, username, email); err != nil || role == "" || role == p.Role {
			return err
		}
		before := userEntry(p)
		p.Role = role
		if _, err := tx.ExecContext(ctx, "UPDATE users SET role = ? WHERE id = ?", role, p.ID); err != nil {
			return err
		}
		return record(ctx, tx, "account.update", userObject(p.ID), before, userEntry(p))
	})
	if err != nil {
		return iot.User{}, iot.Account{}, s.wrap("log in", err)
	}
	return p.User, p.Account, nil
}

// reserved are users whom Telltale itself makes, and gives what nobody may get by calling himself so.
var reserved = []string{iot.DefaultUsername, iot.AdminUsername}

func notOfProvider(username string) error {
	return fmt.Errorf("user %.40q is not of the provider: %w", username, iot.ErrConflict)
}

// identified returns whom identity is of, and makes it somebody's where it is nobody's.
func (s *Store) identified(ctx context.Context, tx bun.Tx, identity iot.Secret, username, email string) (person, error) {
	p, err := findOne(ctx, tx, scanPerson, selectPeople+"WHERE identity = ?", secretText(identity))
	if !errors.Is(err, iot.ErrNotFound) {
		return p, err
	}
	if slices.Contains(reserved, username) {
		return person{}, notOfProvider(username)
	}
	p, err = findOne(ctx, tx, scanPerson, selectPeople+"WHERE username = ?"+s.dialect.ForUpdate, username)
	switch {
	case errors.Is(err, iot.ErrNotFound):
		u, err := insertUser(ctx, tx, iot.User{Username: username, Email: email}, newcomer)
		if err != nil {
			return person{}, err
		}
		p = person{u, newcomer}
		if err := record(ctx, tx, "user.create", userObject(p.ID), nil, userEntry(p)); err != nil {
			return person{}, err
		}
	case err != nil:
		return person{}, err
	case p.Password != "" || p.Role == iot.RoleAdmin:
		return person{}, notOfProvider(username)
	default:
		// Whoever has a token is this user already.
		tokens, err := find(ctx, tx, scanToken, selectTokens+"WHERE user_id = ? AND session = 0 LIMIT 1", p.ID)
		if err != nil {
			return person{}, err
		}
		if len(tokens) > 0 {
			return person{}, notOfProvider(username)
		}
	}
	given, err := tx.ExecContext(ctx, "UPDATE users SET identity = ? WHERE id = ? AND identity IS NULL", secretText(identity), p.ID)
	if err := changed(given, err); err != nil {
		if errors.Is(err, iot.ErrNotFound) {
			err = fmt.Errorf("user %.40q is somebody else at the provider: %w", username, iot.ErrConflict)
		}
		return person{}, err
	}
	return p, record(ctx, tx, "account.identity", userObject(p.ID), nil, userEntry(p))
}
