package credentials

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"crypto/x509"
	"errors"
	"fmt"
	"hash/maphash"
	"log/slog"
	"net/url"
	"sync"
	"time"

	"github.com/telltale-iot/telltale/pkg/auth"
	"github.com/telltale-iot/telltale/pkg/event"
	"github.com/telltale-iot/telltale/pkg/iot"
	"github.com/telltale-iot/telltale/pkg/kafka"
	"github.com/telltale-iot/telltale/pkg/lograte"
)

// Table is what the topic of credentials says. It is safe for concurrent use.
type Table struct {
	cfg   kafka.Config
	log   *slog.Logger
	odd   lograte.Limiter // records that say nothing
	full  lograte.Limiter
	onEnd []func(id int64)
	ready chan struct{} // closed when the topic was read, and is whole

	mu      sync.RWMutex
	now     *state // what holds
	anew    *state // what is read aside, or was and is not whole yet; nil: nothing
	failure error  // why the topic is not read; nil: it is
	isReady bool   // ready is closed
}

// New returns a Table of the topic of credentials of cfg.
func New(cfg kafka.Config, log *slog.Logger) *Table {
	return &Table{
		cfg: cfg, log: log, ready: make(chan struct{}), now: newState(maphash.MakeSeed()),
		failure: errors.New("the credentials of devices are not read yet"),
	}
}

// OnEnd has f called with the id of each credential that ends, after which it lets nobody in. f does not block. Call it
// before Run.
func (t *Table) OnEnd(f func(id int64)) { t.onEnd = append(t.onEnd, f) }

// Ready is closed when all credentials are known.
func (t *Table) Ready() <-chan struct{} { return t.ready }

// Check is nil when all credentials are known, and else says what is waited for.
func (t *Table) Check(context.Context) error {
	t.mu.RLock()
	defer t.mu.RUnlock()
	switch {
	case t.now.over > 0:
		return fmt.Errorf("%d credentials are not taken, of which nobody gets in: there is room for %d MiB", t.now.over, maxBytes>>20)
	case t.now.site == nil && t.failure == nil:
		return fmt.Errorf("the topic %q is not whole: query-api fills it", t.cfg.CredentialsTopic())
	case t.now.site == nil:
		return t.failure
	}
	return nil
}

// Site returns what is known of the site; all is false until Ready.
func (t *Table) Site() event.Site {
	t.mu.RLock()
	defer t.mu.RUnlock()
	if t.now.site == nil {
		return event.Site{}
	}
	return *t.now.site
}

// Password returns who has that user name and password.
func (t *Table) Password(name, password string) (*Principal, bool) {
	secret, now := auth.Hash(password), time.Now()
	t.mu.RLock()
	defer t.mu.RUnlock()
	return t.valid(t.now.find(maphash.String(t.now.seed, name), func(p *Principal) bool {
		return !p.certificate && p.Name == name && subtle.ConstantTimeCompare(p.secret[:], secret[:]) == 1 && !p.expired(now)
	}))
}

// HasPassword reports whether there is a password for that user name, for the log: who guesses must not be told.
func (t *Table) HasPassword(name string) bool {
	t.mu.RLock()
	defer t.mu.RUnlock()
	return t.now.find(maphash.String(t.now.seed, name), func(p *Principal) bool { return !p.certificate && p.Name == name }) != nil
}

// HasOwn reports whether a device has credentials of its own.
func (t *Table) HasOwn(device iot.DeviceID) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.now.hasOwn(device)
}

// Certificate returns who has that certificate, by its fingerprint or else by the names of devices in it. The caller has
// verified it: that its authority is trusted, and that who shows it has its key.
func (t *Table) Certificate(leaf *x509.Certificate) (*Principal, bool) {
	now, fingerprint := time.Now(), iot.Secret(sha256.Sum256(leaf.Raw))
	t.mu.RLock()
	defer t.mu.RUnlock()
	p := t.now.find(maphash.Bytes(t.now.seed, fingerprint[:]), func(p *Principal) bool {
		return p.certificate && p.secret == fingerprint && !p.expired(now)
	})
	for i := 0; p == nil && i < len(leaf.URIs); i++ {
		if name, ok := deviceOfURI(leaf.URIs[i]); ok {
			p = t.now.find(maphash.String(t.now.seed, name), func(p *Principal) bool {
				return p.certificate && p.named() && p.Name == name && !p.expired(now)
			})
		}
	}
	return t.valid(p)
}

func (t *Table) valid(p *Principal) (*Principal, bool) { return p, p != nil }

// deviceOfURI returns the name of the device that a URI in a certificate names: urn:telltale:device:{key}.
func deviceOfURI(u *url.URL) (name string, ok bool) {
	if u.Scheme != "urn" {
		return "", false
	}
	if name, ok = deviceOfURN(u.Opaque); !ok {
		return "", false
	}
	name, err := url.PathUnescape(name)
	return name, err == nil
}
