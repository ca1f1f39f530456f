package access

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"github.com/telltale-iot/telltale/pkg/iot"
	"github.com/telltale-iot/telltale/pkg/timeouts"
)

const (
	// MaxStale is how long a token that was deleted may still count, so that with a question to the store, and for who is
	// sent something all the time, it is less than a second.
	MaxStale = 600 * time.Millisecond
	// maxTokens bounds those that are remembered for that long. One takes 8 KB at most, which is for 1,000 devices.
	maxTokens = 4096
	// noteEvery is how far apart notes of a token's being used are.
	noteEvery = time.Minute
	// maxNotes bounds the uses that wait to be noted.
	maxNotes = 256
	// SessionIdle is how long a session lasts without a request.
	SessionIdle = 12 * time.Hour
)

// tokens looks up whose tokens are, and remembers it for MaxStale.
type tokens struct {
	store iot.AccessStore
	uses  chan note

	mu    sync.Mutex
	known map[iot.Secret]*found
}

// found is what the store knows of a token.
type found struct {
	asked   time.Time // when the store was
	done    chan struct{}
	token   iot.Token
	user    iot.User
	account iot.Account
	err     error
	noted   atomic.Bool
}

// note is to be made of the use of a token.
type note struct {
	token   int64
	at      time.Time
	expires time.Time
}

func newTokens(store iot.AccessStore) tokens {
	return tokens{store: store, uses: make(chan note, maxNotes), known: make(map[iot.Secret]*found)}
}

// find returns what is known of the token with that secret, as it was at most MaxStale ago. The store is asked once for all
// who need it at the same time.
func (t *tokens) find(ctx context.Context, s iot.Secret) (*found, error) {
	now := time.Now()
	t.mu.Lock()
	f := t.known[s]
	if f != nil && now.Sub(f.asked) < MaxStale {
		t.mu.Unlock()
		select {
		case <-f.done:
			return f, f.err
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	if len(t.known) >= maxTokens {
		clear(t.known)
	}
	f = &found{asked: now, done: make(chan struct{}), err: errors.New("the store has panicked")}
	t.known[s] = f
	t.mu.Unlock()

	defer close(f.done)
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), timeouts.StoreRequest) // others wait for it, too
	defer cancel()
	f.token, f.user, f.account, f.err = t.store.TokenOf(ctx, s)
	if f.err != nil { // so strangers fill nothing
		t.mu.Lock()
		if t.known[s] == f {
			delete(t.known, s)
		}
		t.mu.Unlock()
	}
	return f, f.err
}

// forget has what is known of a token looked up again.
func (t *tokens) forget(id int64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for s, f := range t.known {
		select {
		case <-f.done:
			if f.token.ID == id {
				delete(t.known, s)
			}
		default:
		}
	}
}

// use has it noted that a token is used, unless that was noted lately. Nobody waits for it.
func (t *tokens) use(f *found, now time.Time) {
	if now.Sub(f.token.LastUsed) < noteEvery || f.noted.Swap(true) {
		return
	}
	n := note{token: f.token.ID, at: now.UTC().Truncate(time.Millisecond), expires: f.token.ExpiresAt}
	if f.token.Session {
		n.expires = n.at.Add(SessionIdle)
	}
	select {
	case t.uses <- n:
	default: // the next use is noted
	}
}

// principal is who sends a request with the token. What his role lost since the token was made, the token has lost, too.
func (f *found) principal(address string) *Principal {
	p := &Principal{
		Kind: Token, User: f.user, Role: f.token.Role, TokenID: f.token.ID, TokenName: f.token.Name,
		Expires: f.token.ExpiresAt, Devices: f.token.Devices, Address: address,
	}
	if f.token.Session {
		p.Kind, p.TokenName = Session, ""
	}
	if f.token.Session || !f.account.Role.Covers(p.Role) {
		p.Role = f.account.Role
	}
	if p.Role == iot.RoleMember {
		p.Owner = f.user.ID
	}
	return p
}
