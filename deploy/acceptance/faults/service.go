package main

import (
	"context"
	"fmt"
	"os"
	"strings"
	"syscall"
	"time"

	"github.com/telltale-iot/telltale/deploy/acceptance/process"
)

// service is one process of a service, started again and again with the same settings.
type service struct {
	name     string // of the process in this program
	binary   string // its file
	settings []string
	ops      string // address of its operations port
	log      string // the file that it logs to, appended to with every start
	bound    int64  // bytes of resident memory that it must stay below
	unsynced bool   // fsync and fdatasync do nothing

	process *process.Process // nil when none runs
	peak    int64            // the greatest resident memory of the processes of this trial
}

func (p *service) running() bool { return p.process != nil }

// run starts the binary with the settings of the process.
func (p *service) run(args ...string) (*process.Process, error) {
	settings := append([]string{"OPS_ADDR=" + p.ops}, p.settings...)
	return process.Start(process.Spec{Binary: p.binary, Args: args, Settings: settings, Log: p.log})
}

// start starts the process. It does not wait until it is ready.
func (p *service) start() (err error) {
	if p.process, err = p.run(); err != nil {
		return err
	}
	if p.unsynced {
		_, err = p.tamper(syncs, "retval=0")
	}
	return err
}

// kill ends the process with SIGKILL.
func (p *service) kill() error {
	p.notePeak()
	defer func() { p.process = nil }()
	return p.process.Kill()
}

// stop ends the process with SIGTERM, and checks that it exits with 0 within 10 s.
func (p *service) stop() error {
	p.notePeak()
	defer func() { p.process = nil }()
	return p.process.Stop()
}

// freeze stops the process (SIGSTOP) until thaw.
func (p *service) freeze() error { return p.process.Signal(syscall.SIGSTOP) }

// frozen is nil when the kernel says that the process is stopped.
func (p *service) frozen(ctx context.Context) error {
	return eventually(ctx, time.Second, func() error {
		stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", p.process.PID()))
		if _, state, _ := strings.Cut(string(stat), ") "); err == nil && !strings.HasPrefix(state, "T") {
			err = fmt.Errorf("%s is not stopped: %.1s", p.name, state)
		}
		return err
	})
}

func (p *service) thaw() error { return p.process.Signal(syscall.SIGCONT) }

// isReady is nil when /readyz says so.
func (p *service) isReady(ctx context.Context) error {
	_, err := get(ctx, "http://"+p.ops+"/readyz?verbose")
	return err
}

func (p *service) ready(ctx context.Context) bool { return p.isReady(ctx) == nil }

// alive is nil when /livez answers.
func (p *service) alive(ctx context.Context) error {
	_, err := get(ctx, "http://"+p.ops+"/livez")
	return err
}

// forgetPeak starts the measuring of resident memory anew.
func (p *service) forgetPeak() {
	p.peak = 0
	if p.running() {
		_ = p.process.ResetPeak() // it may be ending
	}
}

// notePeak keeps the peak of the process that runs, as the kernel counted it.
func (p *service) notePeak() {
	if !p.running() {
		return
	}
	if _, peak, err := p.process.Usage(); err == nil { // otherwise it is ending
		p.peak = max(p.peak, peak)
	}
}

func sleep(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(d):
		return nil
	}
}
