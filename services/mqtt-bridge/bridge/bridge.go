package bridge

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sync/errgroup"

	"github.com/telltale-iot/telltale/pkg/auth"
	"github.com/telltale-iot/telltale/pkg/credentials"
	"github.com/telltale-iot/telltale/pkg/daemon"
	"github.com/telltale-iot/telltale/pkg/event"
	"github.com/telltale-iot/telltale/pkg/ignored"
	"github.com/telltale-iot/telltale/pkg/kafka"
	"github.com/telltale-iot/telltale/pkg/kafka/producer"
	"github.com/telltale-iot/telltale/pkg/mapping"
	"github.com/telltale-iot/telltale/pkg/refused"
	"github.com/telltale-iot/telltale/pkg/report"
	"github.com/telltale-iot/telltale/pkg/tlsfiles"
	"github.com/telltale-iot/telltale/services/mqtt-bridge/budget"
	"github.com/telltale-iot/telltale/services/mqtt-bridge/listen"
	"github.com/telltale-iot/telltale/services/mqtt-bridge/pipeline"
	"github.com/telltale-iot/telltale/services/mqtt-bridge/subscribe"
	"github.com/telltale-iot/telltale/services/mqtt-bridge/trace"
)

// Name is the bridge's name as a client of Kafka.
const Name = "mqtt-bridge"

// Reported is what the process says of the service.
func (b *Bridge) Reported() report.Service {
	var endpoint event.Endpoint
	if b.Listener == nil {
		endpoint.Address, endpoint.TLS = b.Config.Broker.Address()
	} else {
		endpoint = event.Endpoint{Listens: true, Address: reached(b.Listener), TLS: b.Config.Listen.Secured()}
	}
	if b.WebSocket != nil {
		endpoint.WebSocket = reached(b.WebSocket.Listener)
	}
	return report.Service{Name: Name, Accounts: []string{"bridge_readings"}, MQTT: &endpoint}
}

// reached is where l is reached: without a host where that is any address of its machine.
func reached(l net.Listener) string {
	addr, ok := l.Addr().(*net.TCPAddr)
	if ok && addr.IP.IsUnspecified() {
		return fmt.Sprintf(":%d", addr.Port)
	}
	return l.Addr().String()
}

// What /readyz shows of the bridge.
const (
	kafkaName       = "kafka (" + Name + ")"
	mqttName        = "mqtt"
	credentialsName = "credentials of devices"
)

// Config are the settings of the bridge. The tags are for package settings.
type Config struct {
	Broker  subscribe.Config // used where Listen has no address
	Listen  listen.Config
	Topics  []string `env:"MQTT_TOPICS" help:"Filters of the topics to read, separated by commas. A topic that no rule is for is read in Telltale's own form, and the first + stands for its device. Default: the topics that the rules of MAPPINGS are for."`
	Mapping mapping.Config
	Auth    auth.Config   // who needs credentials where devices connect
	Clear   tlsfiles.Word // whether they may pass in the clear
}

// Validate reports the first setting that cannot work, as a *daemon.ConfigError.
func (c Config) Validate() error {
	if _, err := c.mappings(); err != nil {
		return err
	}
	if c.Listen.Addr != "" {
		return nil // it validates itself
	}
	return c.Broker.Check()
}

// mappings returns the rules by which messages are read.
func (c Config) mappings() (*mapping.Set, error) {
	set, err := c.Mapping.Load()
	if err != nil || len(c.Topics) == 0 {
		return set, err
	}
	if set, err = set.Select(c.Topics); err != nil {
		return nil, &daemon.ConfigError{Variable: "MQTT_TOPICS", Value: strings.Join(c.Topics, ","), Err: err}
	}
	return set, nil
}

// Bridge takes readings from MQTT to Kafka.
type Bridge struct {
	Config    Config
	Kafka     kafka.Config
	Listener  net.Listener      // where devices connect; nil to subscribe to Config.Broker. Run closes it
	WebSocket *listen.WebSocket // where devices connect by MQTT over WebSocket, beside Listener; nil for nowhere. Run closes it
	Log       *slog.Logger
	Metrics   prometheus.Registerer
	Health    *daemon.Health
	Now       func() time.Time // the clock of a test; nil is time.Now

	status atomic.Pointer[error]
	doors  []door // set before Health asks
}

// door is a listener, and what is said of whom it lets in.
type door struct {
	access *listen.Access
	addr   net.Addr
	notice *auth.Notice
}

var errStarting = errors.New("starting")

// Run takes messages until ctx ends. Then it takes no more, waits for Kafka to answer for those it took
// (at most 5 s), acknowledges them, disconnects, and returns nil. It takes messages at once: while Kafka
// is away, or its topics are still being created, their acknowledgements wait.
func (b *Bridge) Run(ctx context.Context) error {
	b.Health.Expect(kafkaName, mqttName)
	mappings, err := b.Config.mappings()
	if err != nil {
		return err
	}
	limits := budget.New()
	limits.Register(b.Metrics)
	producer := producer.New(b.Kafka, b.Log, b.Metrics)
	replica, err := b.Config.Broker.Session()
	if err != nil {
		return err
	}
	ignored := ignored.New(b.Kafka, replica, mappings.Hint, b.Log)
	seen := trace.New(b.Kafka, replica, b.Listener != nil, b.Log)
	pipe := pipeline.New(b.Kafka, producer, mappings, ignored, seen, limits.InFlight, b.Log, b.Metrics)
	if b.Now != nil {
		pipe.Now = b.Now
	}
	access := &listen.Access{Mode: b.Config.Auth.Mode, Refused: refused.New(b.Kafka, "mqtt", replica, b.Log, b.Metrics)}
	if b.needsCredentials(access) {
		b.Health.Expect(credentialsName)
		access.Table = credentials.New(b.Kafka, b.Log)
	}
	for _, l := range b.listeners() {
		b.doors = append(b.doors, door{access, l.Addr(), auth.NewNotice(access.Mode, l.Addr(), b.Log)})
	}
	source, err := b.source(mappings, access, pipe, seen, limits)
	if err != nil {
		return err
	}
	b.Health.Register(ctx, kafkaName, producer)
	b.Health.Register(ctx, mqttName, b)

	group, ctx := errgroup.WithContext(ctx)
	if access.Table != nil {
		b.Health.Register(ctx, credentialsName, access.Table)
		group.Go(func() error { return access.Table.Run(ctx) })
	}
	group.Go(func() error { return access.Refused.Run(ctx) })
	group.Go(func() error { return b.checkClear(ctx, access.Table) })
	group.Go(func() error {
		err := kafka.EnsureTopics(ctx, b.Kafka, b.Log)
		if ctx.Err() != nil {
			return nil
		}
		if err != nil {
			return err
		}
		return seen.Run(ctx) // its topic is there
	})
	group.Go(func() error { return ignored.Run(ctx) })
	group.Go(func() error { return producer.Run(ctx) }) // it drains as long as the source does
	group.Go(func() error {
		defer b.setStatus(errors.New("stopped"))
		return source(ctx)
	})
	return group.Wait()
}

// checkClear returns an error where passwords would pass a network in the clear. That may depend on what table knows of the site, which
// is waited for.
func (b *Bridge) checkClear(ctx context.Context, table *credentials.Table) error {
	if b.Listener == nil || b.Config.Listen.Secured() || b.Config.Clear.TLS == tlsfiles.Off {
		return nil
	}
	moved := func() (bool, error) {
		select {
		case <-table.Ready():
			moved := table.Site().Moved
			if moved {
				b.Log.Warn("passwords pass the network in the clear, as the site is from before there were accounts: name a certificate by MQTT_LISTEN_CERT_FILE when its devices can do TLS")
			}
			return moved, nil
		case <-ctx.Done():
			return false, ctx.Err()
		}
	}
	listeners := map[string]net.Listener{"MQTT_LISTEN_ADDR": b.Listener}
	if b.WebSocket != nil {
		listeners["MQTT_WS_LISTEN_ADDR"] = b.WebSocket
	}
	for variable, l := range listeners {
		clear, err := b.Config.Auth.Mode.InClear(l.Addr(), moved)
		if err != nil {
			return nil // it stops
		}
		if clear {
			return tlsfiles.ErrInClear(l.Addr(), variable, "MQTT_LISTEN_CERT_FILE")
		}
	}
	return nil
}

// needsCredentials reports whether a listener of the bridge may need to know who has credentials.
func (b *Bridge) needsCredentials(access *listen.Access) bool {
	return slices.ContainsFunc(b.listeners(), func(l net.Listener) bool { return access.NeedsTable(l.Addr()) })
}

// listeners are where devices connect.
func (b *Bridge) listeners() (all []net.Listener) {
	if b.Listener != nil {
		all = append(all, b.Listener)
	}
	if b.Listener != nil && b.WebSocket != nil {
		all = append(all, b.WebSocket)
	}
	return all
}

// source is where messages come from.
func (b *Bridge) source(mappings *mapping.Set, access *listen.Access, pipe *pipeline.Pipeline, seen *trace.Seen, limits *budget.Budget) (run func(context.Context) error, err error) {
	if b.Listener == nil {
		s, err := subscribe.New(b.Config.Broker, mappings.Filters(), pipe, limits, b.Log)
		if err != nil {
			return nil, err
		}
		mappings.OnState(s.Follow)
		return func(ctx context.Context) error { s.Run(ctx, b.setStatus); return nil }, nil
	}
	pipe.MayBlock = true // a device that sends much is not read from meanwhile
	e, err := listen.New(b.Config.Listen, access, pipe, seen, limits, b.Log, b.Metrics)
	if err != nil {
		_ = b.Listener.Close()
		if b.WebSocket != nil {
			_ = b.WebSocket.Close()
		}
		return nil, err
	}
	return func(ctx context.Context) error { return e.Serve(ctx, b.Listener, b.WebSocket, b.setStatus) }, nil
}

// Check is nil while devices can publish: in subscribe mode, while the broker has confirmed the
// subscriptions. Otherwise its error names what is waited for.
func (b *Bridge) Check(context.Context) error {
	for _, d := range b.doors {
		if p, known := d.access.Policy(d.addr); known {
			d.notice.Tell(p)
		}
	}
	if s := b.status.Load(); s != nil {
		return *s
	}
	return errStarting
}

// State is what the listeners ask of who connects.
func (b *Bridge) State() string {
	var all []string
	for _, d := range b.doors {
		all = append(all, d.notice.State())
	}
	return strings.Join(all, "; ")
}

func (b *Bridge) setStatus(err error) { b.status.Store(&err) }
