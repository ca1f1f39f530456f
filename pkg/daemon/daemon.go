// Package daemon is the process around a service: command line and environment, logging, signals, the
// operations port with its health and metrics, and the exit code. It is the only package that ends the
// process.
package daemon

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"golang.org/x/term"

	"github.com/telltale-iot/telltale/pkg/httpguard"
	"github.com/telltale-iot/telltale/pkg/settings"
	"github.com/telltale-iot/telltale/pkg/timeouts"
	"github.com/telltale-iot/telltale/pkg/tlsfiles"
)

// Process is what a service gets from the process it runs in.
type Process struct {
	Log     *slog.Logger
	Metrics *prometheus.Registry
	Health  *Health
	Guard   *httpguard.Guard // of its HTTP ports
	opsAddr string
	opsTLS  *tls.Config // nil without TLS
	pprof   bool
}

// Started says in the log that the process has begun its work: a Run calls it when its settings have turned out
// to be good.
func (p *Process) Started() {
	p.Log.Info("started", "version", Version(), "ops_addr", p.opsAddr, "pid", os.Getpid())
}

// Flags are the settings that every service has. Embed it in a Command.
type Flags struct {
	OpsAddr  string            `env:"OPS_ADDR" default:":9100" help:"Address for health and metrics: /livez, /readyz, /metrics."`
	OpsTLS   tlsfiles.Listener `envprefix:"OPS_"`
	LogLevel slog.Level        `env:"LOG_LEVEL" default:"info" help:"Minimum log level: debug, info, warn or error."`
	Pprof    bool              `env:"PPROF" help:"Serve profiles of the process on the operations port, under /debug/pprof/."`
	HTTP     httpguard.Config
}

// Operations returns f itself, so that a type that embeds Flags is a Command with a Run method only.
func (f *Flags) Operations() *Flags { return f }

// Command is a program: its fields are its settings, as package settings reads them.
type Command interface {
	Operations() *Flags
	// Run is the program. It returns nil when ctx ended and everything is drained, a *ConfigError for
	// a setting that cannot work, and any other error for a failure.
	Run(ctx context.Context, p *Process) error
}

// insteadOfRun are the flags, of every program, that make it do something else.
type insteadOfRun struct {
	Version bool `name:"version" group:"Instead of running" help:"Print the version and exit."`
	Health  bool `name:"health" group:"Instead of running" help:"Ask the process with the same OPS_ADDR whether it is ready, and exit with 0 or 1. A health check that needs no shell."`
}

// Exit codes of Main.
const (
	exitOK     = 0
	exitFailed = 1
	exitUsage  = 2
)

// Main runs cmd and ends the process: with 0 after a drain, 2 for bad configuration, 1 for a failure; in
// the last two cases after one line on stderr. SIGINT and SIGTERM drain; a second one ends the process at
// once.
func Main(name, description string, cmd Command) {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	context.AfterFunc(ctx, stop)
	os.Exit(run(ctx, name, description, cmd, os.Args[1:], os.Stdout, os.Stderr))
}

func run(ctx context.Context, name, description string, cmd Command, args []string, stdout, stderr io.Writer) int {
	examined, isDoctor := cmd.(Examined)
	if isDoctor = isDoctor && len(args) > 0 && args[0] == "doctor"; isDoctor {
		name, description, args = name+" doctor", aboutDoctor, args[1:]
	}
	var instead insteadOfRun
	err := settings.Parse(args, cmd, &instead)
	flags := cmd.Operations()
	switch {
	case errors.Is(err, settings.ErrHelp):
		settings.Help(stdout, name, description, cmd, &instead)
		return exitOK
	case instead.Version:
		_, _ = fmt.Fprintln(stdout, name, Version())
		return exitOK
	case err != nil:
		_, _ = fmt.Fprintf(stderr, "%s: %v\n", name, err)
		return exitUsage
	case instead.Health:
		if err := probe(ctx, flags); err != nil {
			_, _ = fmt.Fprintf(stderr, "%s: %v\n", name, err)
			return exitFailed
		}
		return exitOK
	case isDoctor:
		if !examine(ctx, stdout, flags, examined.Checks()) {
			return exitFailed
		}
		return exitOK
	}
	log := newLogger(stderr, flags.LogLevel, name)
	for _, s := range settings.Strays(os.Environ()) {
		log.Warn("no program reads this variable", "variable", s.Variable, "meant", s.Meant)
	}
	opsTLS, err := flags.OpsTLS.Config(log)
	if err != nil {
		return exitCode(err, name, log, stderr)
	}
	listener, err := Listen("OPS_ADDR", flags.OpsAddr)
	if err != nil {
		return exitCode(err, name, log, stderr)
	}
	metrics := prometheus.NewRegistry()
	metrics.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	registerBuildInfo(metrics)
	p := &Process{
		Log: log, Metrics: metrics, Health: NewHealth(log, metrics), Guard: httpguard.New(flags.HTTP, log, metrics),
		opsAddr: listener.Addr().String(), opsTLS: opsTLS, pprof: flags.Pprof,
	}
	ops := serveOperations(ctx, listener, p)

	err = runUntilDrained(ctx, cmd, p)
	ops.close()
	return exitCode(err, name, log, stderr)
}

// exitCode says how the process ended, and returns what it ends with.
func exitCode(err error, name string, log *slog.Logger, stderr io.Writer) int {
	switch {
	case err == nil:
		log.Info("stopped")
		return exitOK
	case errors.As(err, new(*ConfigError)):
		_, _ = fmt.Fprintf(stderr, "%s: %v\n", name, err)
		return exitUsage
	default:
		log.Error("stopped by an error", "err", err)
		return exitFailed
	}
}

// runUntilDrained runs cmd, and gives up on it when it goes on for longer than timeouts.RunDrain after ctx ended.
func runUntilDrained(ctx context.Context, cmd Command, p *Process) error {
	done := make(chan error, 1)
	go func() { done <- cmd.Run(ctx, p) }()
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
		p.Log.Info("stopping")
	}
	select {
	case err := <-done:
		return err
	case <-time.After(timeouts.RunDrain):
		return fmt.Errorf("not drained after %v", timeouts.RunDrain)
	}
}

// newLogger writes JSON lines, or text when w is a terminal.
func newLogger(w io.Writer, level slog.Level, service string) *slog.Logger {
	options := &slog.HandlerOptions{Level: level, ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
		if a.Value.Kind() == slog.KindDuration {
			a.Value = slog.StringValue(a.Value.Duration().String()) // 1.5s, not 1500000000
		}
		return a
	}}
	if f, ok := w.(*os.File); ok && term.IsTerminal(int(f.Fd())) {
		return slog.New(slog.NewTextHandler(w, options)).With("service", service)
	}
	return slog.New(slog.NewJSONHandler(w, options)).With("service", service)
}
