package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/telltale-iot/telltale/services/simulator/simulator"
)

// allInOneLive publishes at a fixed rate while many clients follow what happens. One of them looks at its events: a reading carries
// the moment when it was published. The others only count bytes, since they share the machine with what is measured.
func allInOneLive(ctx context.Context, b *bench, start starter) (f figures, err error) {
	const fleet, clients = 100, 1000
	a, err := b.startAllInOne(ctx, start)
	if err != nil {
		return f, err
	}
	following, stop := context.WithCancel(ctx)
	defer stop()
	var (
		followers errgroup.Group
		joined    atomic.Int64
		received  atomic.Int64
		delays    []time.Duration
	)
	for n := range clients {
		followers.Go(func() error {
			events, err := a.follow(following)
			if err != nil {
				return err
			}
			defer func() { _ = events.Close() }()
			joined.Add(1)
			if n == 0 {
				delays, err = arrivals(events)
			} else {
				err = count(events, &received)
			}
			if following.Err() == nil {
				return fmt.Errorf("client %d was cut off: %w", n, err)
			}
			return nil
		})
	}
	if _, err := await(ctx, clients, func(context.Context) (int64, error) { return joined.Load(), nil }); err != nil {
		return a.finish(f, err)
	}
	before, _, err := a.Usage()
	if err != nil {
		return a.finish(f, err)
	}
	report, err := b.publish(ctx, simulator.Config{URL: a.mqtt, Devices: fleet, Connections: 10, Rate: 10, Duration: b.seconds})
	stop()
	if err = errors.Join(err, followers.Wait()); err != nil {
		return a.finish(f, err)
	}
	f = ofPublishers(report)
	f.p50, f.p99 = quantile(delays, 0.5), quantile(delays, 0.99)
	f.note = fmt.Sprintf("%d of %d readings seen by the first, %.0f MB/s to the others", len(delays), report.Acknowledged,
		float64(received.Load())/1e6/b.seconds.Seconds())
	f, err = a.finish(f, nil)
	f.n, f.cpu = int(b.seconds.Seconds()), f.cpu-before
	return f, err
}

// follow opens a stream of what happens, which ends with ctx.
func (a *allInOne) follow(ctx context.Context) (io.ReadCloser, error) {
	addr := strings.TrimPrefix(a.api, "http://")
	c, err := new(net.Dialer).DialContext(ctx, "tcp", addr)
	if err != nil {
		return nil, err
	}
	context.AfterFunc(ctx, func() { _ = c.Close() })
	if _, err := fmt.Fprintf(c, "GET /api/live/ HTTP/1.1\r\nHost: %s\r\n\r\n", addr); err != nil {
		return nil, err
	}
	if _, err := io.ReadFull(c, make([]byte, len("HTTP/1.1 200"))); err != nil {
		return nil, err
	}
	return c, nil
}

// arrivals returns how long after its publishing each reading came, until the stream ends.
func arrivals(events io.Reader) (delays []time.Duration, err error) {
	const before = `"timestamp":"`
	lines := bufio.NewScanner(events)
	for lines.Buffer(nil, 1<<20); lines.Scan(); {
		if i := bytes.Index(lines.Bytes(), []byte(before)); i >= 0 {
			text, _, _ := bytes.Cut(lines.Bytes()[i+len(before):], []byte(`"`))
			if at, err := time.Parse(time.RFC3339, string(text)); err == nil {
				delays = append(delays, time.Since(at))
			}
		}
	}
	return delays, lines.Err()
}

// count counts what comes until the stream ends.
func count(events io.Reader, bytes *atomic.Int64) error {
	buffer := make([]byte, 64<<10)
	for {
		n, err := events.Read(buffer)
		bytes.Add(int64(n))
		if err != nil {
			return err
		}
	}
}
