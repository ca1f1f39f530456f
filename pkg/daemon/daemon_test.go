package daemon

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// program is a Command whose Run is a function of the test.
type program struct {
	Flags
	TTL  time.Duration `env:"TEST_TTL" default:"60s"`
	body func(ctx context.Context, p *Process) error
}

func (c *program) Run(ctx context.Context, p *Process) error { return c.body(ctx, p) }

func TestExitCodeAndLine(t *testing.T) {
	tests := []struct {
		name string
		env  map[string]string
		args []string
		err  error
		code int
		line string // part of what stderr shows
	}{
		{"a clean end is 0", nil, nil, nil, exitOK, `"stopped"`},
		{"a failure is 1", nil, nil, errors.New("listen tcp :8000: address already in use"), exitFailed, "listen tcp :8000: address already in use"},
		{"a value that cannot be parsed is 2 and named", map[string]string{"TEST_TTL": "soon"}, nil, nil, exitUsage, `TEST_TTL="soon"`},
		{"an unknown level is 2 and named", map[string]string{"LOG_LEVEL": "loud"}, nil, nil, exitUsage, `LOG_LEVEL="loud"`},
		{"an unknown flag is 2", nil, []string{"--nope"}, nil, exitUsage, "--nope"},
		{"a setting that cannot work is 2 and named", nil, nil, &ConfigError{Variable: "DATABASE_URL", Value: "oracle://x", Err: errors.New("unknown scheme")}, exitUsage, `test: DATABASE_URL: unknown scheme`},
		{"an empty variable counts as not set", map[string]string{"TEST_TTL": ""}, nil, nil, exitOK, `"stopped"`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Setenv("OPS_ADDR", "127.0.0.1:0")
			for k, v := range tt.env {
				t.Setenv(k, v)
			}
			cmd := &program{body: func(context.Context, *Process) error { return tt.err }}
			var stderr bytes.Buffer
			if code := run(t.Context(), "test", "", cmd, tt.args, io.Discard, &stderr); code != tt.code {
				t.Errorf("exit code %d, want %d", code, tt.code)
			}
			if !strings.Contains(stderr.String(), tt.line) {
				t.Errorf("stderr is %q, want a line with %q", stderr.String(), tt.line)
			}
		})
	}
}

func TestMistypedVariable(t *testing.T) {
	t.Setenv("OPS_ADDR", "127.0.0.1:0")
	t.Setenv("MQTT_LISTN_ADDR", "what it says is not shown")
	var stderr bytes.Buffer
	run(t.Context(), "test", "", &program{body: func(context.Context, *Process) error { return nil }}, nil, io.Discard, &stderr)
	log := stderr.String()
	if strings.Count(log, "MQTT_LISTN_ADDR") != 1 || !strings.Contains(log, `"level":"WARN"`) || !strings.Contains(log, `"meant":"MQTT_LISTEN_ADDR"`) || strings.Contains(log, "not shown") {
		t.Errorf("the log is %s", log)
	}
}

func TestPortInUse(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	t.Setenv("OPS_ADDR", l.Addr().String())
	var stderr bytes.Buffer
	code := run(t.Context(), "test", "", &program{}, nil, io.Discard, &stderr)
	if code != exitFailed || !strings.Contains(stderr.String(), "address already in use") || !strings.Contains(stderr.String(), "OPS_ADDR") {
		t.Errorf("exit code %d, stderr %q", code, stderr.String())
	}
}

func TestOperationsPort(t *testing.T) {
	ctx, stop := context.WithCancel(t.Context())
	var answers atomic.Bool
	handler := make(chan http.Handler, 1)
	t.Setenv("OPS_ADDR", "127.0.0.1:0")
	cmd := &program{}
	cmd.body = func(ctx context.Context, p *Process) error {
		p.Health.Register(ctx, "kafka", checkFunc(func(context.Context) error { return nil }))
		p.Health.Register(ctx, "mongodb", checkFunc(func(context.Context) error {
			if !answers.Load() {
				return errors.New("dial tcp: connection refused")
			}
			return nil
		}))
		handler <- operationsHandler(ctx, p)
		<-ctx.Done()
		return nil
	}
	code := make(chan int)
	go func() { code <- run(ctx, "test", "", cmd, nil, io.Discard, io.Discard) }()
	srv := &http.Server{Handler: <-handler}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	go srv.Serve(l) //nolint:errcheck // it ends with Close
	defer srv.Close()
	get := func(path string) (int, string) {
		res, err := http.Get("http://" + l.Addr().String() + path)
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		body, err := io.ReadAll(res.Body)
		if err != nil {
			t.Fatal(err)
		}
		return res.StatusCode, string(body)
	}
	eventually := func(path string, status int, part string) {
		t.Helper()
		deadline := time.Now().Add(10 * time.Second)
		for {
			code, body := get(path)
			if code == status && strings.Contains(body, part) {
				return
			}
			if time.Now().After(deadline) {
				t.Fatalf("%s answers %d %q, want %d with %q", path, code, body, status, part)
			}
			time.Sleep(10 * time.Millisecond)
		}
	}
	eventually("/livez", 200, "ok")
	eventually("/readyz", 503, "not ready")
	eventually("/readyz?verbose", 503, "[+]kafka ok")
	eventually("/readyz?verbose", 503, "connection refused")
	eventually("/metrics", 200, `telltale_dependency_up{dependency="mongodb"} 0`)
	answers.Store(true)
	eventually("/readyz?verbose", 200, "[+]mongodb ok")
	eventually("/metrics", 200, `telltale_dependency_up{dependency="mongodb"} 1`)
	for path, status := range map[string]int{"/nothing": 404, "/": 404, "/debug/pprof/": 404} {
		eventually(path, status, `{"detail":"Not found."}`)
	}
	posted, err := http.Post("http://"+l.Addr().String()+"/livez", "", nil)
	if err != nil {
		t.Fatal(err)
	}
	defer posted.Body.Close()
	if body, err := io.ReadAll(posted.Body); posted.StatusCode != 405 || posted.Header.Get("Allow") != "GET, HEAD" ||
		posted.Header.Get("Content-Type") != "application/json" || string(body) != "{\"detail\":\"Method \\\"POST\\\" not allowed.\"}\n" {
		t.Errorf("POST /livez: %s, %v, %s, %v", posted.Status, posted.Header, body, err)
	}
	stop()
	eventually("/readyz", 503, "stopping")
	if c := <-code; c != exitOK {
		t.Errorf("exit code %d after the stop", c)
	}
}

func TestLogIsJSONOffATerminal(t *testing.T) {
	t.Setenv("OPS_ADDR", "127.0.0.1:0")
	var stderr bytes.Buffer
	cmd := &program{body: func(context.Context, *Process) error { return nil }}
	run(t.Context(), "test", "", cmd, nil, io.Discard, &stderr)
	for line := range strings.Lines(stderr.String()) {
		if err := json.Unmarshal([]byte(line), &map[string]any{}); err != nil {
			t.Errorf("%q: %v", line, err)
		}
	}
}
