package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
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

	cmd    *exec.Cmd     // nil when none was started
	exited chan struct{} // closed when cmd has ended
	err    error         // how it did
	peak   int64         // the greatest resident memory of the processes of this trial
}

func (p *service) running() bool { return p.cmd != nil }

// command is the binary of the process, with its settings and nothing else in its environment.
func (p *service) command(ctx context.Context, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, p.binary, args...)
	cmd.Dir = filepath.Dir(p.log)
	cmd.Env = append([]string{"PATH=" + os.Getenv("PATH"), "HOME=" + os.Getenv("HOME"), "OPS_ADDR=" + p.ops}, p.settings...)
	return cmd
}

// start starts the process, with nothing in its environment but settings. It does not wait until it is ready.
func (p *service) start() error {
	log, err := os.OpenFile(p.log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	defer log.Close()
	cmd := p.command(context.Background())
	cmd.Stdout, cmd.Stderr = log, log
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL} // it does not outlive this program
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("start %s: %w", p.name, err)
	}
	exited := make(chan struct{})
	p.cmd, p.exited = cmd, exited
	go func() {
		p.err = cmd.Wait()
		close(exited)
	}()
	if p.unsynced {
		_, err = p.tamper(syncs, "retval=0")
	}
	return err
}

// kill ends the process with SIGKILL.
func (p *service) kill() error {
	p.notePeak()
	err := p.ended()
	_ = p.cmd.Process.Kill()
	p.reap()
	return err
}

// reap waits until the process has ended.
func (p *service) reap() {
	<-p.exited
	p.cmd = nil
}

// stop ends the process with SIGTERM, and checks that it exits with 0 within 10 s (contract, section 5).
func (p *service) stop() error {
	p.notePeak()
	defer func() { p.cmd = nil }()
	if err := p.ended(); err != nil {
		return err
	}
	_ = p.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-p.exited:
		if p.err != nil {
			return fmt.Errorf("%s ended badly after SIGTERM: %w", p.name, p.err)
		}
		return nil
	case <-time.After(10 * time.Second):
		_ = p.cmd.Process.Kill()
		<-p.exited
		return fmt.Errorf("%s did not end within 10 s of SIGTERM", p.name)
	}
}

// freeze stops the process (SIGSTOP) until thaw.
func (p *service) freeze() error { return p.cmd.Process.Signal(syscall.SIGSTOP) }

// frozen is nil when the kernel says that the process is stopped.
func (p *service) frozen(ctx context.Context) error {
	return eventually(ctx, time.Second, func() error {
		stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", p.cmd.Process.Pid))
		if _, state, _ := strings.Cut(string(stat), ") "); err == nil && !strings.HasPrefix(state, "T") {
			err = fmt.Errorf("%s is not stopped: %.1s", p.name, state)
		}
		return err
	})
}

func (p *service) thaw() error { return p.cmd.Process.Signal(syscall.SIGCONT) }

// ended tells of a process that ended by itself, which none may.
func (p *service) ended() error {
	select {
	case <-p.exited:
		return fmt.Errorf("%s ended by itself, see %s: %w", p.name, p.log, cmp.Or(p.err, errExitCode0))
	default:
		return nil
	}
}

var errExitCode0 = errors.New("exit code 0")

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
		_ = os.WriteFile(fmt.Sprintf("/proc/%d/clear_refs", p.cmd.Process.Pid), []byte("5"), 0)
	}
}

// notePeak keeps the peak of the process that runs, as the kernel counted it.
func (p *service) notePeak() {
	if !p.running() {
		return
	}
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.cmd.Process.Pid))
	if err != nil {
		return // it is ending
	}
	for line := range strings.Lines(string(status)) {
		if kib, ok := strings.CutPrefix(line, "VmHWM:"); ok {
			n, _ := strconv.ParseInt(strings.Fields(kib)[0], 10, 64)
			p.peak = max(p.peak, n<<10)
		}
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
