package access

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"sync"
	"time"

	"github.com/telltale-iot/telltale/pkg/auth"
	"github.com/telltale-iot/telltale/pkg/iot"
)

const (
	// maxLogins is how many passwords wait for their turn. Two are looked at at a time, for some 30 ms each.
	maxLogins = 20
	// maxFromOne is how many of them are of one network, so that it leaves room for others.
	maxFromOne = 4
	// maxFailed is how many log-ins that failed are in the audit, in a minute. All are counted (Settings.Refused).
	maxFailed = 100
)

var (
	// ErrBusy is of a log-in while too many others wait.
	ErrBusy = errors.New("too many log-ins at the same time")

	errWrongPassword = &Denial{Status: http.StatusUnauthorized, Why: "wrong_password", Detail: "Incorrect authentication credentials."}
)

// Throttled is the error of a guess that came after too many that were wrong.
type Throttled struct{ Wait time.Duration }

func (t *Throttled) Error() string {
	return fmt.Sprintf("Request was throttled. Expected available in %d seconds.", t.Seconds())
}

// Seconds is the wait, in whole ones.
func (t *Throttled) Seconds() int { return int((t.Wait + time.Second - 1) / time.Second) }

// LogIn begins a session of the user whose password that is, and returns it with the secret of its cookie. The error is a
// *Denial, a *Throttled, ErrBusy, or the store's.
func (a *Authenticator) LogIn(r *http.Request, username, password string) (p *Principal, secret string, err error) {
	ctx, address := r.Context(), a.Address(r)
	user, hash, err := a.checkPassword(ctx, address, username, password)
	var throttled *Throttled
	switch {
	case errors.As(err, &throttled):
		a.tell(&Denial{Why: "throttled", Name: user.Username}, example(r), address, true)
	case errors.Is(err, errWrongPassword):
		a.tell(&Denial{Why: errWrongPassword.Why, Name: user.Username}, example(r), address, true)
		if a.failed.take(time.Now()) {
			if auditErr := a.recordFailure(ctx, address, user); auditErr != nil {
				return nil, "", auditErr
			}
		}
	}
	if err != nil {
		return nil, "", err
	}
	if p, secret, err = a.Begin(ctx, user, address); err != nil {
		return nil, "", err
	}
	// It was changed meanwhile, perhaps before there was this session to end.
	account, err := a.Store.Account(ctx, user.ID)
	if err == nil && account.Password != hash {
		err = errWrongPassword
	}
	if err != nil {
		return nil, "", errors.Join(err, a.EndToken(WithPrincipal(ctx, p), p.TokenID))
	}
	return p, secret, nil
}

// Begin begins a session of user, who has shown that he is it, as LogIn does.
func (a *Authenticator) Begin(ctx context.Context, user iot.User, address string) (p *Principal, secret string, err error) {
	secret, err = a.newSession(ctx, user, address)
	if err != nil {
		return nil, "", err
	}
	p, err = a.byToken(ctx, secret, true, address)
	return p, secret, err
}

// newSession returns the secret of a new session of user.
func (a *Authenticator) newSession(ctx context.Context, user iot.User, address string) (secret string, err error) {
	secret = auth.NewSecret(auth.SessionPrefix)
	ctx = iot.WithActor(ctx, iot.Actor{Name: user.Username, Address: address})
	_, err = a.Store.CreateToken(ctx, iot.Token{User: user.ID, ExpiresAt: time.Now().Add(SessionIdle), Session: true}, auth.Hash(secret))
	return secret, err
}

// LogOut ends the session that r shows, if it shows one.
func (a *Authenticator) LogOut(r *http.Request) error {
	secret, ok := a.cookie(r)
	if !ok {
		return nil
	}
	p, err := a.byToken(r.Context(), secret, true, a.Address(r))
	var denial *Denial
	switch {
	case errors.As(err, &denial):
		return nil // it has ended
	case err != nil:
		return err
	}
	return a.EndToken(WithPrincipal(r.Context(), p), p.TokenID)
}

// EndToken deletes a token, which counts no more here.
func (a *Authenticator) EndToken(ctx context.Context, id int64) error {
	if err := a.Store.DeleteToken(ctx, id); err != nil {
		return err
	}
	a.tokens.forget(id)
	return nil
}

// ChangePassword gives p's user another password, and ends his sessions. It returns the secret of a new one, where p is one.
func (a *Authenticator) ChangePassword(ctx context.Context, p *Principal, before, after string) (secret string, err error) {
	if _, _, err := a.checkPassword(ctx, p.Address, p.User.Username, before); err != nil {
		return "", err
	}
	hash, err := auth.HashPassword(ctx, after)
	if err != nil {
		return "", ErrBusy
	}
	_, _, err = a.Store.UpdateAccount(ctx, p.User.ID, iot.AccountChange{Password: &hash})
	if err != nil || p.Kind != Session {
		return "", err
	}
	return a.newSession(ctx, p.User, p.Address)
}

// checkPassword returns the user of that name and password, also with an error, where there is one of that name; and the hash
// of the password.
func (a *Authenticator) checkPassword(ctx context.Context, address, username, password string) (iot.User, string, error) {
	if username == "" || len(username) > 4*iot.MaxUsername || len(password) > auth.MaxPassword {
		return iot.User{}, "", errWrongPassword
	}
	network := Network(address)
	if !a.logins.begin(network) {
		return iot.User{}, "", ErrBusy
	}
	defer a.logins.end(network)
	from := network.String()
	if wait := a.guesses.Begin(from, username); wait > 0 {
		return iot.User{}, "", &Throttled{wait}
	}
	user, account, err := a.find(ctx, username)
	if err == nil {
		if err = auth.CheckPassword(ctx, account.Password, password); ctx.Err() != nil {
			err = ErrBusy
		}
	}
	switch {
	case errors.Is(err, auth.ErrWrongPassword), err == nil && account.Disabled:
		return user, "", errWrongPassword
	case err != nil:
		a.guesses.Undo(from, username)
		return user, "", err
	}
	a.guesses.Right(from, username)
	return user, account.Password, nil
}

// find returns the user of that name; one who does not exist has no password.
func (a *Authenticator) find(ctx context.Context, username string) (iot.User, iot.Account, error) {
	user, err := a.Store.UserCalled(ctx, username)
	if errors.Is(err, iot.ErrNotFound) || errors.Is(err, iot.ErrInvalid) {
		return iot.User{}, iot.Account{}, nil
	}
	if err != nil {
		return iot.User{}, iot.Account{}, err
	}
	account, err := a.Store.Account(ctx, user.ID)
	if errors.Is(err, iot.ErrNotFound) {
		return iot.User{}, iot.Account{}, nil
	}
	return user, account, err
}

// recordFailure adds a log-in that failed to the audit, where one that does not is the beginning of a session. What somebody
// wrote who is no user is not there: it may be a password.
func (a *Authenticator) recordFailure(ctx context.Context, address string, user iot.User) error {
	e := iot.AuditEntry{Actor: iot.Actor{Name: "anonymous", Address: address}, Action: "login.failed", Object: "user"}
	if user.ID != 0 {
		e.Actor.Name, e.Object = user.Username, fmt.Sprintf("user/%d", user.ID)
	}
	return a.Store.RecordAudit(ctx, e)
}

// logins are those under way. Its zero value is ready.
type logins struct {
	mu    sync.Mutex
	total int
	from  map[netip.Prefix]int
}

// begin reports whether there is room for one more from there, which has to end.
func (l *logins) begin(from netip.Prefix) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.total == maxLogins || l.from[from] == maxFromOne {
		return false
	}
	if l.from == nil {
		l.from = make(map[netip.Prefix]int)
	}
	l.total++
	l.from[from]++
	return true
}

func (l *logins) end(from netip.Prefix) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.total--
	if l.from[from]--; l.from[from] == 0 {
		delete(l.from, from)
	}
}

// budget is what there may be in a minute. Its zero value is ready.
type budget struct {
	mu    sync.Mutex
	since time.Time
	spent int
}

// take takes one of maxFailed, where there is one left.
func (b *budget) take(now time.Time) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if now.Sub(b.since) >= time.Minute {
		b.since, b.spent = now, 0
	}
	b.spent++
	return b.spent <= maxFailed
}
