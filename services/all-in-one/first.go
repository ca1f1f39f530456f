package main

import (
	"context"
	"crypto/rand"
	"encoding/base32"
	"errors"
	"net"
	"os"
	"strings"

	"golang.org/x/term"

	"github.com/telltale-iot/telltale/pkg/auth"
	"github.com/telltale-iot/telltale/pkg/daemon"
	"github.com/telltale-iot/telltale/pkg/iot"
	"github.com/telltale-iot/telltale/pkg/metadata"
	"github.com/telltale-iot/telltale/services/query-api/access"
)

// Whom the first start lets in.
const (
	firstDevice = "first-device"
	firstToken  = "first start" // what the token is called
)

// first is what a start makes on which credentials are needed and nobody has any. It is shown once: hashes alone are kept.
type first struct {
	http, mqtt bool // they need credentials

	admin   bool // there has to be one
	hidden  bool // nobody sees what is printed: nothing is made
	secrets secrets
}

// secrets are a token and a password of the user admin, and the password of firstDevice; "" for none.
type secrets struct{ token, password, device string }

// prepareFirst says who is let in by this start, and makes the password of the device. That comes before the services: what tells the
// bridge of credentials looks for them at the start.
func (c *command) prepareFirst(ctx context.Context, p *daemon.Process, components *components, stdout *os.File) (*first, error) {
	f := new(first)
	required := func(moved bool, listeners ...net.Listener) bool {
		for _, l := range listeners {
			if l != nil && c.Auth.Mode.Policy(l.Addr(), moved) == auth.Required {
				return true
			}
		}
		return false
	}
	if !required(false, components.http, components.mqtt, components.webSocket) || c.AdminToken != (access.AdminToken{}) {
		return f, nil // whoever gives a token of his own makes the rest by it
	}
	moved, err := components.isMoved(ctx, p)
	if err != nil {
		return f, err
	}
	f.http, f.mqtt = required(moved, components.http), required(moved, components.mqtt, components.webSocket)
	err = p.Health.Await(ctx, p.Log, "who may get in", func(ctx context.Context) (err error) {
		f.admin = false
		if f.http {
			if f.admin, err = lacksAdmin(ctx, components.metadata); err != nil {
				return err
			}
		}
		known, err := components.metadata.Credentials(ctx, iot.CredentialQuery{Limit: 1})
		if err != nil {
			return err
		}
		device := f.mqtt && (f.admin || len(known) == 0)
		if f.hidden = (f.admin || device) && !isSeen(stdout); f.hidden || !device {
			return nil
		}
		f.secrets.device, err = letDeviceIn(ctx, components.metadata)
		return err
	})
	return f, err
}

// isSeen reports whether what is printed is for people: not for nobody, nor for the journal, which keeps it.
func isSeen(f *os.File) bool {
	if term.IsTerminal(int(f.Fd())) {
		return true
	}
	nowhere, err := os.Stat(os.DevNull)
	if err != nil {
		return false
	}
	info, err := f.Stat()
	return err == nil && !os.SameFile(info, nowhere) && os.Getenv("JOURNAL_STREAM") == "" // systemd sets that
}

// makeAdmin makes the admin. It comes when all runs, so that what is made is shown.
func (f *first) makeAdmin(ctx context.Context, store metadata.Store) error {
	if !f.admin || f.hidden {
		return nil
	}
	token, password := auth.NewSecret(auth.TokenPrefix), newPassword()
	hash, err := auth.HashPassword(ctx, password)
	if err != nil {
		return err
	}
	ctx = iot.WithActor(ctx, iot.Actor{Name: "system"})
	user, err := store.UserCalled(ctx, iot.AdminUsername)
	if errors.Is(err, iot.ErrNotFound) {
		user, err = store.CreateUser(ctx, iot.User{Username: iot.AdminUsername, Email: iot.AdminEmail})
	}
	if err != nil {
		return err
	}
	if _, err := store.CreateToken(ctx, iot.Token{User: user.ID, Name: firstToken, Role: iot.RoleAdmin}, auth.Hash(token)); err != nil {
		return err
	}
	// The role is last: while there is no admin, the next start makes one.
	_, _, err = store.UpdateAccount(ctx, user.ID, iot.AccountChange{Role: new(iot.RoleAdmin), Password: &hash, Disabled: new(false)})
	if err != nil {
		return err
	}
	f.secrets.token, f.secrets.password = token, password
	return nil
}

// lacksAdmin reports whether no user is an admin.
func lacksAdmin(ctx context.Context, store metadata.Store) (bool, error) {
	for q := (iot.UserQuery{Limit: iot.MaxPage}); ; {
		users, err := store.Users(ctx, q)
		if err != nil || len(users) == 0 {
			return true, err
		}
		for _, u := range users {
			account, err := store.Account(ctx, u.ID)
			if err != nil && !errors.Is(err, iot.ErrNotFound) {
				return false, err
			}
			if account.Role == iot.RoleAdmin {
				return false, nil
			}
			q.After = u.ID
		}
	}
}

// letDeviceIn makes firstDevice and a password for it.
func letDeviceIn(ctx context.Context, store metadata.Store) (password string, err error) {
	ctx = iot.WithActor(ctx, iot.Actor{Name: "system"})
	id := iot.KeyID(firstDevice)
	if _, err := store.EnsureDevices(ctx, []iot.Identity{{ID: id, Key: firstDevice}}, iot.Admission{}); err != nil {
		return "", err
	}
	has, err := store.Credentials(ctx, iot.CredentialQuery{Device: id, Limit: iot.MaxCredentials})
	if err != nil {
		return "", err
	}
	if len(has) == iot.MaxCredentials { // of starts that ended before they showed it
		if err := store.DeleteCredential(ctx, has[0].ID); err != nil {
			return "", err
		}
	}
	password = auth.NewSecret("")
	_, err = store.CreateCredential(ctx, iot.Credential{
		Type: iot.CredentialPassword, Name: firstDevice, Device: id, Devices: []iot.DeviceID{id}, Secret: auth.Hash(password),
	})
	return password, err
}

// newPassword returns one for people: 80 random bits, that can be typed on a phone.
func newPassword() string {
	var b [10]byte
	_, _ = rand.Read(b[:]) // never fails
	text := strings.ToLower(base32.StdEncoding.EncodeToString(b[:]))
	return text[:4] + "-" + text[4:8] + "-" + text[8:12] + "-" + text[12:]
}
