package metadatatest

import (
	"strings"
	"testing"
	"time"

	"github.com/telltale-iot/telltale/pkg/iot"
	"github.com/telltale-iot/telltale/pkg/metadata"
)

// identities are about people whom an OpenID Connect provider knows.
func identities() []promise {
	ann, other := iot.Secret{1}, iot.Secret{2}
	viewer := iot.Account{Role: iot.RoleViewer}
	logIn := func(t *testing.T, s metadata.Store, identity iot.Secret, name string, role iot.Role) (iot.User, iot.Account) {
		t.Helper()
		u, a, err := s.LogInAs(t.Context(), identity, name, name+"@example.com", role)
		if err != nil {
			t.Fatal(err)
		}
		return u, a
	}
	refused := func(t *testing.T, s metadata.Store, identity iot.Secret, name string, want error) {
		t.Helper()
		_, _, err := s.LogInAs(t.Context(), identity, name, "", "")
		wantError(t, err, want)
	}
	return []promise{
		{"who comes first is a new user, and the same one later, whatever he is called then", func(t *testing.T, db *database) {
			s := db.prepared()
			first, account := logIn(t, s, ann, "ann", "")
			wantEqual(t, account, viewer)
			wantEqual(t, findUser(t, s, first.ID), first)
			again, _ := logIn(t, s, ann, "ann-of-sales", "")
			wantEqual(t, again, first)
			if first.Username != "ann" || first.Email != "ann@example.com" {
				t.Errorf("%+v", first)
			}
		}},
		{"he is the user who was made for him", func(t *testing.T, db *database) {
			s := db.prepared()
			made := newUser(t, s, "ann")
			setAccount(t, s, made.ID, iot.Account{Role: iot.RoleMember})
			user, account := logIn(t, s, ann, "ann", "")
			wantEqual(t, user, made)
			wantEqual(t, account, iot.Account{Role: iot.RoleMember})
		}},
		{"he is nobody else", func(t *testing.T, db *database) {
			s := db.prepared()
			ensure(t, s, 1, 7)
			for name, account := range map[string]iot.Account{"bob": {Role: iot.RoleViewer, Password: "hash"}, "admin": {Role: iot.RoleAdmin}} {
				u := newUser(t, s, name)
				setAccount(t, s, u.ID, account)
				refused(t, s, ann, name, iot.ErrConflict)
			}
			refused(t, s, ann, iot.DefaultUsername, iot.ErrConflict)
			newToken(t, s, iot.Token{User: newUser(t, s, "grafana").ID, Name: "of a program", Role: iot.RoleViewer}, 1)
			refused(t, s, ann, "grafana", iot.ErrConflict)
			logIn(t, s, other, "eve", "")
			refused(t, s, ann, "eve", iot.ErrConflict)
			refused(t, s, ann, "", iot.ErrInvalid)
			refused(t, s, ann, strings.Repeat("x", iot.MaxUsername+1), iot.ErrInvalid)
			_, _, err := s.LogInAs(t.Context(), ann, "ann", "", "king")
			wantError(t, err, iot.ErrInvalid)
			user, _ := logIn(t, s, ann, "ann", "") // nothing of all that has been kept
			wantEqual(t, findUser(t, s, user.ID), user)
		}},
		{"nobody becomes the admin by being called so before there is one", func(t *testing.T, db *database) {
			s := db.prepared()
			refused(t, s, ann, iot.AdminUsername, iot.ErrConflict)
			_, err := s.UserCalled(t.Context(), iot.AdminUsername)
			wantError(t, err, iot.ErrNotFound)
			newUser(t, s, iot.AdminUsername)
			refused(t, s, ann, iot.AdminUsername, iot.ErrConflict)
		}},
		{"a session is no token that keeps somebody from being the user who was made for him", func(t *testing.T, db *database) {
			s := db.prepared()
			made := newUser(t, s, "ann")
			newToken(t, s, iot.Token{User: made.ID, Session: true, ExpiresAt: time.Now().Add(time.Hour)}, 1)
			user, _ := logIn(t, s, ann, "ann", "")
			wantEqual(t, user, made)
		}},
		{"a role that the provider says is his at once, and stays where it says none", func(t *testing.T, db *database) {
			s := db.prepared()
			for _, role := range []iot.Role{iot.RoleAdmin, iot.RoleViewer, iot.RoleOperator} {
				user, account := logIn(t, s, ann, "ann", role)
				wantEqual(t, account, iot.Account{Role: role})
				kept, err := s.Account(t.Context(), user.ID)
				wantError(t, err, nil)
				wantEqual(t, kept, account)
			}
			_, account := logIn(t, s, ann, "ann", "")
			wantEqual(t, account, iot.Account{Role: iot.RoleOperator})
		}},
		{"who is deleted comes back as another", func(t *testing.T, db *database) {
			s := db.prepared()
			first, _ := logIn(t, s, ann, "ann", "")
			if _, err := s.DeleteUser(t.Context(), first.ID); err != nil {
				t.Fatal(err)
			}
			if second, _ := logIn(t, s, ann, "ann", ""); second.ID == first.ID {
				t.Errorf("he is %+v again", second)
			}
		}},
		{"what he becomes is in the audit, once", func(t *testing.T, db *database) {
			s := db.prepared()
			ctx := iot.WithActor(t.Context(), iot.Actor{Name: "ann"})
			for range 2 {
				if _, _, err := s.LogInAs(ctx, ann, "ann", "", iot.RoleOperator); err != nil {
					t.Fatal(err)
				}
			}
			entries, err := s.Audit(t.Context(), iot.AuditQuery{Limit: 10})
			wantError(t, err, nil)
			var actions []string
			for _, e := range entries {
				actions = append(actions, e.Action)
			}
			wantEqual(t, strings.Join(actions, " "), "account.update account.identity user.create")
		}},
	}
}
