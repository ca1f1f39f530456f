package daemon

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"

	"github.com/telltale-iot/telltale/pkg/doctor"
)

// patient is a program that has a doctor.
type patient struct {
	Flags
	TTL   time.Duration `env:"TEST_TTL" default:"60s"`
	found []doctor.Finding
}

func (p *patient) Run(context.Context, *Process) error { return errors.New("the service is run") }

func (p *patient) Checks() []doctor.Check {
	return []doctor.Check{{Part: "part", Look: func(context.Context) []doctor.Finding { return p.found }}}
}

// examined runs `test doctor`, and returns its exit code and what it prints.
func examined(t *testing.T, found []doctor.Finding, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	var out, log bytes.Buffer
	code = run(t.Context(), "test", "", &patient{found: found}, append([]string{"doctor"}, args...), &out, &log)
	return code, out.String(), log.String()
}

func TestDoctor(t *testing.T) {
	t.Setenv("OPS_ADDR", "127.0.0.1:0")
	t.Run("nothing failed", func(t *testing.T) {
		code, out, log := examined(t, doctor.Warn("it is slow", "wait"))
		if code != exitOK || log != "" || !strings.Contains(out, "ok    settings  they can be read\n") || !strings.Contains(out, "warn  part      it is slow; wait\n") {
			t.Errorf("%d: %s%s", code, out, log)
		}
	})
	t.Run("something failed", func(t *testing.T) {
		if code, out, log := examined(t, doctor.Fail("broken", "mend it")); code != exitFailed || log != "" || !strings.Contains(out, "fail  part      broken; mend it\n") {
			t.Errorf("%d: %s%s", code, out, log)
		}
	})
	t.Run("a bad setting", func(t *testing.T) {
		t.Setenv("TEST_TTL", "soon")
		if code, out, log := examined(t, nil); code != exitUsage || out != "" || !strings.HasPrefix(log, `test doctor: TEST_TTL="soon": `) {
			t.Errorf("%d: %s%s", code, out, log)
		}
	})
	t.Run("a mistyped variable", func(t *testing.T) {
		t.Setenv("MQTT_LISTN_ADDR", "what it says is not shown")
		if code, out, _ := examined(t, nil); code != exitOK || !strings.Contains(out, "warn  settings  no program reads the variable MQTT_LISTN_ADDR; MQTT_LISTEN_ADDR may be meant\n") || strings.Contains(out, "not shown") {
			t.Errorf("%d: %s", code, out)
		}
	})
	t.Run("help", func(t *testing.T) {
		if code, out, _ := examined(t, nil, "--help"); code != exitOK || !strings.HasPrefix(out, "Usage: test doctor [flags]") || !strings.Contains(out, "TEST_TTL") {
			t.Errorf("%d: %s", code, out)
		}
	})
	t.Run("a program without one", func(t *testing.T) {
		var log bytes.Buffer
		if code := run(t.Context(), "test", "", &program{}, []string{"doctor"}, io.Discard, &log); code != exitUsage {
			t.Errorf("%d: %s", code, log.String())
		}
	})
}

// TestDoctorOfARunningService asks processes in each state.
func TestDoctorOfARunningService(t *testing.T) {
	for _, tt := range []struct {
		name  string
		check error
		full  float64 // days until the disk is full
		code  int
		want  string
	}{
		{"ready", nil, 400, exitOK, "ok    service   at this rate readings have no more room in 400 days\n"},
		{"soon full", nil, 3, exitOK, "warn  service   at this rate readings have no more room in 3 days; make room, or set RETENTION_READINGS\n"},
		{"waiting", errors.New("connection refused"), 400, exitFailed, "fail  service   runs, and waits: mongodb failed since "},
	} {
		t.Run(tt.name, func(t *testing.T) {
			listener, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			p, checked := process(t, tt.check)
			promauto.With(p.Metrics).NewGauge(prometheus.GaugeOpts{Name: "telltale_store_days_until_full"}).Set(tt.full)
			ops := serveOperations(t.Context(), listener, p)
			defer ops.close()
			<-checked
			t.Setenv("OPS_ADDR", listener.Addr().String())
			if code, out, _ := examined(t, nil); code != tt.code || !strings.Contains(out, tt.want) || !strings.Contains(out, "is in use by ") {
				t.Errorf("%d: %s", code, out)
			}
		})
	}
	t.Run("somebody else", func(t *testing.T) {
		other := httptest.NewServer(http.NotFoundHandler())
		defer other.Close()
		t.Setenv("OPS_ADDR", other.Listener.Addr().String())
		if code, out, _ := examined(t, nil); code != exitFailed || !strings.Contains(out, "is no service of Telltale; set OPS_ADDR to another address\n") {
			t.Errorf("%d: %s", code, out)
		}
	})
}

// TestQuiet asks processes that let in for a while who would be refused.
func TestQuiet(t *testing.T) {
	ago := func(d time.Duration) string { return fmt.Sprint(float64(time.Now().Add(-d).Unix())) }
	const day = 24 * time.Hour
	for _, tt := range []struct {
		name          string
		warns         bool
		started, last time.Duration // ago; 0: never
		want          string
	}{
		{"nobody for a week", true, 8 * day, 0, "warn for 8 days nobody got in"},
		{"the last before a week", true, 30 * day, 9 * day, "warn for 9 days nobody got in"},
		{"the last before a week, on a site from before", false, 30 * day, 9 * day, "warn for 9 days nobody got in"},
		{"somebody today", true, 30 * day, time.Hour, "ok who would be refused with AUTH=on got in 1h0m0s ago"},
		{"nobody since yesterday", true, day, 0, "ok in the 24h0m0s since the start nobody"},
		{"a site that warns of nobody", false, 30 * day, 0, ""},
	} {
		ops := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			_, _ = fmt.Fprintf(w, "process_start_time_seconds %s\n", ago(tt.started))
			if tt.last > 0 {
				_, _ = fmt.Fprintf(w, "telltale_auth_would_deny_last_seconds{surface=\"http\"} %s\ntelltale_auth_would_deny_last_seconds{surface=\"mqtt\"} %s\n",
					ago(2*tt.last), ago(tt.last))
			}
		}))
		found := Quiet(&Flags{OpsAddr: ops.Listener.Addr().String()}, tt.warns).Look(t.Context())
		ops.Close()
		got := ""
		for _, f := range found {
			got += string(f.Level) + " " + f.What
		}
		if !strings.HasPrefix(got, tt.want) || tt.want == "" && got != "" {
			t.Errorf("%s: %s", tt.name, got)
		}
	}
}
