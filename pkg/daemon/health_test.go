package daemon

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/telltale-iot/telltale/pkg/timeouts"
)

type elsewhere struct{ error }

func (elsewhere) Elsewhere() {}

// TestDependencyBehindAnother has a consumer of Kafka wait for a store: an alert must name the store alone.
func TestDependencyBehindAnother(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		metrics := prometheus.NewRegistry()
		h := NewHealth(slog.New(slog.DiscardHandler), metrics)
		var kafka atomic.Pointer[error]
		kafka.Store(new(error))
		h.Register(t.Context(), "kafka", checkFunc(func(context.Context) error { return *kafka.Load() }))
		h.Register(t.Context(), "mongodb", checkFunc(func(context.Context) error { return errors.New("connection refused") }))
		for _, tt := range []struct {
			err  error
			want string
		}{
			{fmt.Errorf("check: %w", elsewhere{errors.New("not started yet")}), ``},
			{nil, `telltale_dependency_up{dependency="kafka"} 1`},
			{elsewhere{errors.New("a batch cannot be stored")}, ``},
			{errors.New("connection refused"), `telltale_dependency_up{dependency="kafka"} 0`},
		} {
			kafka.Store(&tt.err)
			time.Sleep(10 * timeouts.CheckEvery)
			want := "# HELP telltale_dependency_up Whether a dependency of this process answers: 1 or 0.\n# TYPE telltale_dependency_up gauge\n" +
				tt.want + "\n" + `telltale_dependency_up{dependency="mongodb"} 0` + "\n"
			if err := testutil.GatherAndCompare(metrics, strings.NewReader(want), "telltale_dependency_up"); err != nil {
				t.Errorf("%v: %v", tt.err, err)
			}
			var out bytes.Buffer
			if h.write(&out); tt.err != nil && (h.Ready() || !strings.Contains(out.String(), tt.err.Error())) {
				t.Errorf("%v: /readyz says %s", tt.err, out.String())
			}
		}
	})
}

// TestExpect has a dependency answer before another one that the process needs is registered.
func TestExpect(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := NewHealth(slog.New(slog.DiscardHandler), prometheus.NewRegistry())
		answers := checkFunc(func(context.Context) error { return nil })
		h.Expect("kafka")
		h.Register(t.Context(), "files", answers)
		synctest.Wait()
		if h.Ready() {
			t.Error("ready without what is expected")
		}
		h.Register(t.Context(), "kafka", answers)
		synctest.Wait()
		if !h.Ready() {
			t.Error("not ready when all answer")
		}
	})
}

// checkFunc is a Dependency that is one function.
type checkFunc func(context.Context) error

func (f checkFunc) Check(ctx context.Context) error { return f(ctx) }
