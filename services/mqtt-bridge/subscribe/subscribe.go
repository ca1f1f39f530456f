package subscribe

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/url"
	"slices"
	"sync/atomic"
	"time"

	"github.com/cenkalti/backoff/v5"

	"github.com/telltale-iot/telltale/pkg/daemon"
	"github.com/telltale-iot/telltale/pkg/mapping"
	"github.com/telltale-iot/telltale/pkg/settings"
	"github.com/telltale-iot/telltale/pkg/tlsfiles"
	"github.com/telltale-iot/telltale/services/mqtt-bridge/budget"
	"github.com/telltale-iot/telltale/services/mqtt-bridge/packet"
	"github.com/telltale-iot/telltale/services/mqtt-bridge/pipeline"
	"github.com/telltale-iot/telltale/services/mqtt-bridge/session"
)

const (
	// maxPause is how long is waited at most, on average, before connecting again.
	maxPause = 10 * time.Second
	// stable is how long a connection must last to count as one that works. It is longer than any pause,
	// so that two clients which take the same id from each other both notice, and slow down.
	stable      = 3 * maxPause
	sharePrefix = "$share/telltale/"
)

// Subscriber is the source that subscribes to a broker. Each connection is a paho client of its own; what
// lasts is the session on the broker, by its id, and what of it is in flight.
type Subscriber struct {
	pipe    *pipeline.Pipeline
	session *session.Session
	log     *slog.Logger
	broker  *url.URL // without what it takes to log in
	id      string

	username, password string
	files              tlsfiles.Files
	dialer             func(ctx context.Context, network, addr string) (net.Conn, error)

	current atomic.Pointer[connection] // the latest; nil before the first

	wanted []string // the subscriptions to have, and
	other  []string // those that a differently configured bridge would have, or an earlier one had
	shared bool     // the wanted ones are

	followed followed
}

// earlier are the filters that were the default before there were rules. A session that still has them beside wider ones
// could be sent messages twice.
var earlier = []string{"sensors/data", "sensors/+/data"}

// New returns a subscriber to the topics that filters select, whose messages go to pipe.
func New(cfg Config, filters []string, pipe *pipeline.Pipeline, b *budget.Budget, log *slog.Logger) (*Subscriber, error) {
	broker, err := settings.ParseBroker(cfg.URL)
	if err != nil {
		return nil, configError("MQTT_URL", cfg.URL, err)
	}
	id, err := cfg.Session()
	if err != nil {
		return nil, err
	}
	s := &Subscriber{
		pipe: pipe, session: session.New(b, pipe.Metrics.Acknowledged, nil), log: log,
		broker: broker, id: id, files: cfg.Security.Files, dialer: new(net.Dialer).DialContext,
		shared: cfg.Shared, followed: followed{more: make(chan struct{}, 1)},
	}
	s.username, s.password = cfg.Security.login(broker)
	broker.User = nil
	for _, f := range filters {
		s.wanted, s.other = append(s.wanted, f), append(s.other, sharePrefix+f)
	}
	pipe.Send = s.send
	if cfg.Shared {
		s.wanted, s.other = s.other, s.wanted
	}
	for _, f := range earlier {
		for _, f := range []string{f, sharePrefix + f} {
			if !slices.Contains(s.wanted, f) && !slices.Contains(s.other, f) {
				s.other = append(s.other, f)
			}
		}
	}
	return s, nil
}

// send publishes r at QoS 0, where there is a connection.
func (s *Subscriber) send(r mapping.Request) {
	if c := s.current.Load(); c != nil {
		c.conn.Queue(packet.AppendPublish(nil, packet.V31, r.Topic, packet.Publish{Payload: r.Payload}))
	}
}

// Run takes messages until ctx ends. Then it acknowledges what it took, and returns. It calls status with nil when the
// broker has confirmed the subscriptions, and otherwise with an error that names what is waited for.
func (s *Subscriber) Run(ctx context.Context, status func(error)) {
	log := s.log.With("broker", s.broker.String(), "client_id", s.id)
	pause := backoff.NewExponentialBackOff()
	pause.MaxInterval = maxPause
	for short := 0; ; {
		var c *connection
		err := daemon.Await(ctx, s.log, "MQTT broker", func(ctx context.Context) (err error) {
			if c, err = s.connect(ctx); err != nil {
				err = fmt.Errorf("%s: %w", s.broker.String(), err)
				status(err)
			}
			return err
		})
		if err != nil {
			return // ctx has ended
		}
		status(nil)
		log.Info("subscribed", "filters", s.wanted)
		s.pipe.Metrics.Connects.Inc()
		s.pipe.Metrics.Connections.Inc()
		start := time.Now()

		err = c.wait(ctx, status)
		s.pipe.Metrics.Connections.Dec()
		if ctx.Err() != nil {
			status(errors.New("stopping"))
			s.pipe.Drain()
			c.close()
			return
		}
		c.close()
		if errors.Is(err, errFull) {
			continue
		}
		log.Warn("connection to the broker ended", "err", err)
		status(fmt.Errorf("%s: %w", s.broker.String(), err))
		if time.Since(start) >= stable {
			short = 0
			pause.Reset()
		} else if short++; short%5 == 0 {
			log.Warn("connections to the broker do not last; another client may have the same client id (MQTT_CLIENT_ID)")
		}
		select {
		case <-ctx.Done():
		case <-time.After(pause.NextBackOff()):
		}
	}
}
