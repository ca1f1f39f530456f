package dynsec

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"

	"github.com/telltale-iot/telltale/pkg/daemon"
	"github.com/telltale-iot/telltale/pkg/iot"
	"github.com/telltale-iot/telltale/pkg/mapping"
)

// every is how often both sides are compared: so long an expired credential gets in, at most.
const every = time.Minute

var (
	// ErrAway is of a password that Mosquitto could not be told, as it is away.
	ErrAway = errors.New("no connection to Mosquitto, which has to be told a password when that is made")
	// ErrTaken is of a name that an account has on Mosquitto which is not kept here.
	ErrTaken = fmt.Errorf("an account of people on Mosquitto has that name: %w", iot.ErrConflict)
	// ErrTooMany is of a gateway whose devices have more than MaxTopics.
	ErrTooMany = fmt.Errorf("more topics than an account on Mosquitto may have: %w", iot.ErrInvalid)
)

// MaxTopics bounds the topics of a credential, which Mosquitto goes through for each message; they fit a request.
const MaxTopics = 5000

// Store is where the credentials are.
type Store interface {
	Credentials(ctx context.Context, q iot.CredentialQuery) ([]iot.Credential, error)
	Device(ctx context.Context, id iot.DeviceID) (iot.Device, error)
}

// Keeper keeps the plugin in step with the credentials. Its methods may be called on a nil one, of a service without Mosquitto.
type Keeper struct {
	cfg     Config
	broker  *url.URL
	store   Store
	rules   *mapping.Set
	log     *slog.Logger
	wake    chan struct{}
	current atomic.Pointer[connection] // nil while Mosquitto is away

	clients prometheus.Gauge
	missing prometheus.Gauge
	lacking map[int64]bool // which credentials Mosquitto did not have when both sides were compared last
	told    string         // what the log said of them
}

// New returns a Keeper, or nil where cfg names no Mosquitto. A device may publish to the topics that rules read as its own.
func New(cfg Config, store Store, rules *mapping.Set, log *slog.Logger, metrics prometheus.Registerer) (*Keeper, error) {
	if cfg.URL == "" {
		return nil, nil
	}
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	broker, err := parseBroker(cfg.URL)
	if err != nil {
		return nil, err
	}
	return &Keeper{
		cfg: cfg, broker: broker, store: store, rules: rules, log: log, wake: make(chan struct{}, 1),
		clients: promauto.With(metrics).NewGauge(prometheus.GaugeOpts{
			Name: "telltale_dynsec_clients", Help: "Clients that Mosquitto's dynamic-security plugin has of this system's credentials.",
		}),
		missing: promauto.With(metrics).NewGauge(prometheus.GaugeOpts{
			Name: "telltale_dynsec_missing", Help: "Passwords that Mosquitto does not have, so that another one has to be made for each.",
		}),
	}, nil
}

// Wake has both sides compared soon: a credential was deleted.
func (k *Keeper) Wake() {
	if k == nil {
		return
	}
	select {
	case k.wake <- struct{}{}:
	default:
	}
}

// Run keeps both in step until ctx ends.
func (k *Keeper) Run(ctx context.Context) error {
	if k == nil {
		<-ctx.Done()
		return nil
	}
	for ctx.Err() == nil {
		var c *connection
		err := daemon.Await(ctx, k.log, "Mosquitto's dynamic-security plugin", func(ctx context.Context) (err error) {
			ctx, cancel := context.WithTimeout(ctx, requestTimeout)
			defer cancel()
			c, err = k.connect(ctx)
			return err
		})
		if err != nil {
			return nil // ctx has ended
		}
		k.log.Info("connected to Mosquitto's dynamic-security plugin", "broker", k.broker.Host)
		k.current.Store(c)
		k.follow(ctx, c)
		k.current.Store(nil)
		c.close()
	}
	return nil
}

// follow compares both sides as long as c lasts.
func (k *Keeper) follow(ctx context.Context, c *connection) {
	for rights := true; ; rights = false {
		err := daemon.Await(ctx, k.log, "comparing Mosquitto's accounts with the credentials", func(ctx context.Context) error {
			select {
			case <-c.lost:
				return nil
			default:
				return k.compare(ctx, c, rights)
			}
		})
		if err != nil {
			return
		}
		select {
		case <-ctx.Done():
			return
		case <-c.lost:
			k.log.Warn("the connection to Mosquitto's dynamic-security plugin ended")
			return
		case <-k.wake:
		case <-time.After(every):
		}
	}
}

// Check returns ErrAway while Mosquitto cannot be told a password.
func (k *Keeper) Check() error {
	if k != nil && k.current.Load() == nil {
		return ErrAway
	}
	return nil
}

// Put tells Mosquitto the password of a credential that was just made. An error says that Mosquitto may not have it: who gets
// one deletes the credential, and has Wake take away what there may be.
func (k *Keeper) Put(ctx context.Context, cred iot.Credential, password string) error {
	if k == nil || cred.Type != iot.CredentialPassword {
		return nil
	}
	c := k.current.Load()
	if c == nil {
		return ErrAway
	}
	rights, err := k.rights(ctx, cred)
	if err != nil {
		return err
	}
	answers, err := c.ask(ctx, command{Command: "getClient", Username: cred.Name})
	if err != nil {
		return fmt.Errorf("%w: %w", ErrAway, err)
	}
	commands := []command{
		{Command: "createRole", Rolename: roleName(cred.ID), ACLs: rights},
		{Command: "createClient", Username: cred.Name, Password: password, Textname: textName(cred.ID), Roles: []role{{Rolename: roleName(cred.ID)}}},
	}
	switch was := answers[0]; {
	case was.Error != "":
		if was.Error != clientNotFound {
			return fmt.Errorf("the dynamic-security plugin of Mosquitto, asked for %s: %s", was.Command, was.Error)
		}
	case idOf(was.Data.Client.Textname) == 0:
		return ErrTaken
	default: // of an earlier credential: the plugin has one password for a name
		commands = append([]command{{Command: "deleteClient", Username: cred.Name}}, commands...)
	}
	if err := c.do(ctx, clientNotFound, commands...); err != nil {
		return fmt.Errorf("%w: %w", ErrAway, err)
	}
	return nil
}
