package daemon

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/telltale-iot/telltale/pkg/httpguard"
)

func TestHealthFlag(t *testing.T) {
	tests := []struct {
		name  string
		check error // of the process that is asked
		code  int
		line  string
	}{
		{"a ready process is 0", nil, exitOK, ""},
		{"one that is not ready is 1, and says what it waits for", errors.New("connection refused"), exitFailed, "[-]mongodb failed"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			listener, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			p, checked := process(t, tt.check)
			ops := serveOperations(t.Context(), listener, p)
			defer ops.close()
			<-checked

			_, port, err := net.SplitHostPort(listener.Addr().String())
			if err != nil {
				t.Fatal(err)
			}
			t.Setenv("OPS_ADDR", ":"+port) // as in a container: no host
			askAndExpect(t, tt.code, tt.line)
		})
	}
	t.Run("no process is 1", func(t *testing.T) {
		listener, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		addr := listener.Addr().String()
		t.Setenv("OPS_ADDR", addr)
		if err := listener.Close(); err != nil {
			t.Fatal(err)
		}
		askAndExpect(t, exitFailed, `test: no process answers on OPS_ADDR="`+addr+`": connection refused`)
	})
}

// askAndExpect runs a program with --health.
func askAndExpect(t *testing.T, code int, line string) {
	t.Helper()
	cmd := &program{body: func(context.Context, *Process) error {
		t.Error("the program ran")
		return nil
	}}
	var stderr bytes.Buffer
	if got := run(t.Context(), "test", "", cmd, []string{"--health"}, io.Discard, &stderr); got != code {
		t.Errorf("exit code %d, want %d; stderr: %s", got, code, stderr.String())
	}
	if !strings.Contains(stderr.String(), line) {
		t.Errorf("stderr is %q, want a line with %q", stderr.String(), line)
	}
}

func TestVersion(t *testing.T) {
	version = "v1.2.3"
	t.Cleanup(func() { version = "" })
	t.Run("is shown by --version", func(t *testing.T) {
		var stdout bytes.Buffer
		if code := run(t.Context(), "test", "", &program{}, []string{"--version"}, &stdout, io.Discard); code != exitOK {
			t.Errorf("exit code %d", code)
		}
		if got := stdout.String(); got != "test v1.2.3\n" {
			t.Errorf("%q", got)
		}
	})
	t.Run("is in /livez", func(t *testing.T) {
		p, _ := process(t, nil)
		if body := answer(t, p, "/livez"); body != "ok v1.2.3\n" {
			t.Errorf("%q", body)
		}
	})
	t.Run("is in telltale_build_info", func(t *testing.T) {
		p, _ := process(t, nil)
		registerBuildInfo(p.Metrics)
		if body := answer(t, p, "/metrics"); !strings.Contains(body, `version="v1.2.3"} 1`) {
			t.Errorf("%s", body)
		}
	})
	t.Run("is known without the linker's", func(t *testing.T) {
		version = ""
		if got := Version(); got == "" {
			t.Error("it is empty")
		}
	})
}

// process returns one with a dependency that answers check, and a channel that is closed once Health knows.
func process(t *testing.T, check error) (p *Process, checked <-chan struct{}) {
	t.Helper()
	metrics := prometheus.NewRegistry()
	log := slog.New(slog.DiscardHandler)
	p = &Process{Log: log, Metrics: metrics, Health: NewHealth(log, metrics), Guard: httpguard.New(httpguard.Config{}, log, metrics)}
	calls, known := 0, make(chan struct{})
	p.Health.Register(t.Context(), "mongodb", checkFunc(func(context.Context) error {
		if calls++; calls == 2 { // the first answer is taken in by then
			close(known)
		}
		return check
	}))
	return p, known
}

// answer is the body that the operations port gives at path.
func answer(t *testing.T, p *Process, path string) string {
	t.Helper()
	w := httptest.NewRecorder()
	operationsHandler(t.Context(), p).ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), http.MethodGet, path, nil))
	return w.Body.String()
}
