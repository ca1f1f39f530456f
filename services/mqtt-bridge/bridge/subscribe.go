package bridge

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"time"

	"github.com/cenkalti/backoff/v5"

	"github.com/telltale-iot/telltale/pkg/daemon"
	"github.com/telltale-iot/telltale/pkg/tlsfiles"
)

const (
	// maxPause is how long is waited at most, on average, before connecting again.
	maxPause = 10 * time.Second
	// stable is how long a connection must last to count as one that works. It is longer than any pause,
	// so that two clients which take the same id from each other both notice, and slow down.
	stable      = 3 * maxPause
	sharePrefix = "$share/telltale/"
)

// subscriber is the source that subscribes to a broker. Each connection is a paho client of its own; what
// lasts is the session on the broker, by its id, and the line of messages.
type subscriber struct {
	pipe   *pipeline
	line   *line
	broker *url.URL // without what it takes to log in
	id     string

	username, password string
	files              tlsfiles.Files

	wanted []string // the subscriptions to have, and
	other  []string // those that a differently configured bridge would have
}

func (b *Bridge) subscribe(ctx context.Context, pipe *pipeline) error {
	s, err := newSubscriber(b.Config, pipe)
	if err != nil {
		return err
	}
	log := b.Log.With("broker", s.broker.String(), "client_id", s.id)
	pause := backoff.NewExponentialBackOff()
	pause.MaxInterval = maxPause
	for short := 0; ; {
		var l *link
		err := daemon.Await(ctx, b.Log, "MQTT broker", func(ctx context.Context) (err error) {
			if l, err = s.connect(ctx); err != nil {
				err = fmt.Errorf("%s: %w", s.broker.String(), err)
				b.setStatus(err)
			}
			return err
		})
		if err != nil {
			return nil // ctx has ended
		}
		b.setStatus(nil)
		log.Info("subscribed", "filters", s.wanted)
		pipe.metrics.connects.Inc()
		pipe.metrics.connections.Inc()
		start := time.Now()

		err = l.wait(ctx, b.setStatus)
		pipe.metrics.connections.Dec()
		if ctx.Err() != nil {
			b.setStatus(errors.New("stopping"))
			pipe.drain()
			l.close()
			return nil
		}
		l.close()
		if errors.Is(err, errFull) {
			continue
		}
		log.Warn("connection to the broker ended", "err", err)
		b.setStatus(fmt.Errorf("%s: %w", s.broker.String(), err))
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

func newSubscriber(cfg Config, pipe *pipeline) (*subscriber, error) {
	broker, err := parseBroker(cfg.URL)
	if err != nil {
		return nil, configError("MQTT_URL", cfg.URL, err)
	}
	id, err := cfg.clientID()
	if err != nil {
		return nil, err
	}
	s := &subscriber{pipe: pipe, line: newLine(pipe.metrics, nil), broker: broker, id: id, files: cfg.Security.Files}
	s.username, s.password = cfg.Security.login(broker)
	broker.User = nil
	for _, f := range pipe.filters {
		s.wanted, s.other = append(s.wanted, f.String()), append(s.other, sharePrefix+f.String())
	}
	if cfg.Shared {
		s.wanted, s.other = s.other, s.wanted
	}
	return s, nil
}
