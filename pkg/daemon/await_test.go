package daemon

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/telltale-iot/telltale/pkg/timeouts"
)

func TestAwait(t *testing.T) {
	t.Run("repeats until it succeeds, and says what it waits for, why, and when it is over", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			var out bytes.Buffer
			start := time.Now()
			err := Await(t.Context(), slog.New(slog.NewTextHandler(&out, nil)), "mongodb", func(context.Context) error {
				if time.Since(start) < time.Minute {
					return errors.New("connection refused")
				}
				return nil
			})
			if err != nil {
				t.Fatal(err)
			}
			if over := time.Since(start); over > time.Minute+10*time.Second {
				t.Errorf("went on %v after the start; it came back after a minute", over)
			}
			log := out.String()
			if n := strings.Count(log, "msg=waiting for=mongodb err=\"connection refused\""); n < 4 || n > 7 {
				t.Errorf("%d reminders in a minute: %s", n, log)
			}
			if !strings.Contains(log, "wait is over") {
				t.Errorf("the end of the wait is not logged: %s", log)
			}
		})
	})
	t.Run("ends with its context", func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		err := Await(ctx, slog.New(slog.DiscardHandler), "mongodb", func(context.Context) error {
			cancel()
			return errors.New("connection refused")
		})
		if !errors.Is(err, context.Canceled) {
			t.Errorf("got %v", err)
		}
	})
}

func TestHealth(t *testing.T) {
	t.Run("a dependency that hangs is named within 5 s", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			ctx, cancel := context.WithCancel(t.Context())
			h := NewHealth(slog.New(slog.DiscardHandler), prometheus.NewRegistry())
			release := make(chan struct{})
			var hang atomic.Bool
			h.Register(ctx, "redis", checkFunc(func(context.Context) error {
				if hang.Load() {
					<-release
				}
				return nil
			}))
			synctest.Wait()
			if !h.Ready() {
				t.Error("not ready though the dependency answers")
			}
			hang.Store(true)
			time.Sleep(5 * time.Second)
			var out bytes.Buffer
			h.write(&out)
			if h.Ready() || !strings.Contains(out.String(), "[-]redis failed") || !strings.Contains(out.String(), "no answer within 3s") {
				t.Errorf("after 5 s: %s", out.String())
			}
			cancel()
			close(release)
		})
	})
}

func TestDependencyThatWasNeverThere(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out bytes.Buffer
		h := NewHealth(slog.New(slog.NewTextHandler(&out, nil)), prometheus.NewRegistry())
		h.Register(t.Context(), "mongodb", checkFunc(func(context.Context) error { return errors.New("authentication failed") }))
		logged := func() string {
			h.mu.Lock() // it is held when something is logged
			defer h.mu.Unlock()
			return out.String()
		}
		time.Sleep(timeouts.CheckEvery / 2)
		if log := logged(); log != "" {
			t.Errorf("logged at once, though it may be starting: %s", log)
		}
		time.Sleep(10 * timeouts.CheckEvery)
		if log := logged(); strings.Count(log, "authentication failed") != 1 || !strings.Contains(log, "dependency=mongodb") {
			t.Errorf("want one line that names it and why: %s", log)
		}
	})
}

func TestHealthAtTheStart(t *testing.T) {
	if h := NewHealth(slog.New(slog.DiscardHandler), prometheus.NewRegistry()); h.Ready() {
		t.Error("ready before anything is known of what the process needs")
	}
}

func TestHealthAtTheEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out bytes.Buffer
		h := NewHealth(slog.New(slog.NewTextHandler(&out, nil)), prometheus.NewRegistry())
		ctx, cancel := context.WithCancel(t.Context())
		calls := 0
		h.Register(ctx, "redis", checkFunc(func(ctx context.Context) error {
			if calls++; calls == 2 {
				<-ctx.Done()
			}
			return ctx.Err()
		}))
		time.Sleep(timeouts.CheckEvery + timeouts.CheckTimeout/2) // the second call is under way
		if !h.Ready() {
			t.Error("not ready, though the first call has succeeded")
		}
		cancel()
		synctest.Wait()
		if h.Ready() {
			t.Error("ready, though whoever needed redis has ended")
		}
		if log := out.String(); strings.Contains(log, "not available") {
			t.Errorf("stopping is no outage: %s", log)
		}
	})
}

func TestAwaitedDependency(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := NewHealth(slog.New(slog.DiscardHandler), prometheus.NewRegistry())
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		h.Register(ctx, "mongodb", checkFunc(func(context.Context) error { return nil }))
		start := time.Now()
		go h.Await(ctx, h.log, "readings store", func(context.Context) error { //nolint:errcheck // it succeeds in the end
			if time.Since(start) < time.Minute {
				return errors.New("cannot create index (device_id, timestamp)")
			}
			return nil
		})
		time.Sleep(30 * time.Second)
		var out bytes.Buffer
		h.write(&out)
		if h.Ready() || !strings.Contains(out.String(), "[-]readings store failed") || !strings.Contains(out.String(), "cannot create index") {
			t.Errorf("while it is awaited: %s", out.String())
		}
		time.Sleep(time.Minute)
		out.Reset()
		h.write(&out)
		if !h.Ready() || strings.Contains(out.String(), "readings store") {
			t.Errorf("once it is there, it is no dependency any more: %s", out.String())
		}
	})
}
