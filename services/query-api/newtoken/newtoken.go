// Package newtoken is the program `token create`, for who has no token, or has lost it: whoever may open the database gets one.
// It runs while the service does, and while it does not.
package newtoken

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"strings"
	"time"

	"github.com/telltale-iot/telltale/pkg/auth"
	"github.com/telltale-iot/telltale/pkg/iot"
	"github.com/telltale-iot/telltale/pkg/metadata"
)

// About says what the program does.
const About = "Prints a new token, for who has none: a secret by which a program, or somebody, is a user. It is shown this once.\n\n" +
	"Without --user it is of the user admin, who is created, or made an admin again. The service may run meanwhile, and takes the token at once."

// maxDays is a hundred years.
const maxDays = 36500

// In returns the arguments behind `token create`, where a program's begin so. With another word behind `token`, or none, what is
// returned is refused by Request.Validate.
func In(args []string) (flags []string, ok bool) {
	if len(args) == 0 || args[0] != "token" {
		return nil, false
	}
	if len(args) > 1 && args[1] == "create" {
		return args[2:], true
	}
	if slices.Contains(args, "--help") || slices.Contains(args, "-h") {
		return []string{"--help"}, true
	}
	return nil, true
}

// Request is what the token is to be.
type Request struct {
	Role iot.Role `name:"role" placeholder:"ROLE" help:"What may be done with it: viewer, operator, admin or member."`
	Name string   `name:"name" default:"token create" help:"What it is for."`
	User string   `name:"user" placeholder:"NAME" help:"Whose it is: a user who is there, and may do what the role says."`
	Days int      `name:"days" default:"90" help:"How many days it is valid; 0: for ever."`
}

// Validate is called when the flags are read.
func (r *Request) Validate() error {
	if !slices.Contains(iot.Roles, r.Role) {
		return errors.New("say which: token create --role=viewer|operator|admin|member")
	}
	if r.Days < 0 || r.Days > maxDays {
		return fmt.Errorf("--days must be 0 to %d", maxDays)
	}
	return nil
}

// Create makes the token in store, and prints it, and nothing else, on out.
func (r *Request) Create(ctx context.Context, store metadata.Store, log *slog.Logger, out io.Writer) error {
	if err := store.Prepare(ctx); err != nil {
		return err
	}
	ctx = iot.WithActor(ctx, iot.Actor{Name: "system"})
	user, err := r.user(ctx, store)
	if err != nil {
		return err
	}
	token := iot.Token{User: user.ID, Name: r.Name, Role: r.Role}
	if r.Days > 0 {
		token.ExpiresAt = time.Now().AddDate(0, 0, r.Days)
	}
	secret := auth.NewSecret(auth.TokenPrefix)
	token, err = store.CreateToken(ctx, token, auth.Hash(secret))
	if err != nil {
		return err
	}
	log.Info("token created", "id", token.ID, "user", user.Username, "role", string(token.Role), "expires", expiry(token))
	_, err = fmt.Fprintln(out, secret)
	return err
}

func expiry(t iot.Token) string {
	if t.ExpiresAt.IsZero() {
		return "never"
	}
	return t.ExpiresAt.Format(time.DateOnly)
}

// user returns whose the token is to be. The user admin is one afterwards.
func (r *Request) user(ctx context.Context, store metadata.Store) (iot.User, error) {
	if r.User == "" {
		return makeAdmin(ctx, store)
	}
	user, err := store.UserCalled(ctx, r.User)
	if errors.Is(err, iot.ErrNotFound) {
		return user, fmt.Errorf("there is no user %q", r.User)
	}
	if err != nil {
		return user, err
	}
	account, err := store.Account(ctx, user.ID)
	switch {
	case err != nil:
		return user, err
	case account.Disabled:
		return user, fmt.Errorf("the user %q is disabled", r.User)
	case !account.Role.Covers(r.Role):
		return user, fmt.Errorf("the user %q is %s, and can have no token of the role %s", r.User, article(account.Role), r.Role)
	}
	return user, nil
}

// makeAdmin returns the user admin, who is created where he is missing, and made an admin where he is none or disabled: else
// nobody could get in again where no other admin is left.
func makeAdmin(ctx context.Context, store metadata.Store) (iot.User, error) {
	user, err := store.UserCalled(ctx, iot.AdminUsername)
	switch {
	case errors.Is(err, iot.ErrNotFound):
		return store.CreateAccount(ctx, iot.User{Username: iot.AdminUsername, Email: iot.AdminEmail}, iot.Account{Role: iot.RoleAdmin})
	case err == nil:
		_, _, err = store.UpdateAccount(ctx, user.ID, iot.AccountChange{Role: new(iot.RoleAdmin), Disabled: new(false)})
	}
	return user, err
}

func article(r iot.Role) string {
	if strings.ContainsRune("aeiou", rune(r[0])) {
		return "an " + string(r)
	}
	return "a " + string(r)
}
