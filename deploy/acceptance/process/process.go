// Package process builds the services and starts their binaries as processes of their own, for the programs
// and tests of this module. A process sees nothing of its starter's environment but PATH and HOME, logs to a
// file, and on Linux does not outlive the program that started it.
//
// What to do when a process fails is for its starter to decide: none is started again by itself.
package process

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"time"
)

const (
	drainTime = 10 * time.Second // from SIGTERM to the end
	readyTime = 90 * time.Second
)

// Spec says what to start. Both names of files are absolute.
type Spec struct {
	Binary   string
	Args     []string
	Flags    []string
	Settings []string // VARIABLE=value; the last value wins. OPS_ADDR is a free port of 127.0.0.1 without one
	Log      string   // where stderr is appended to; its folder is the working directory
}

// Process is what one Start has started. Its methods may be called at the same time.
type Process struct {
	name   string
	log    string
	before int64 // bytes of the log
	cmd    *exec.Cmd
	ended  chan struct{}
}

// attributes are those of the system that this is built for.
var attributes *syscall.SysProcAttr

// Start starts a process, and does not wait until it is ready. To start it once more after its end, call Start
// with the same Spec.
func Start(s Spec) (*Process, error) {
	log, err := os.OpenFile(s.Log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return nil, err
	}
	defer log.Close()
	info, err := log.Stat()
	if err != nil {
		return nil, err
	}
	p := &Process{name: filepath.Base(s.Binary), log: s.Log, before: info.Size(), cmd: exec.Command(s.Binary, s.Flags...), ended: make(chan struct{})}
	p.cmd.Dir = filepath.Dir(s.Log)
	p.cmd.Env = append([]string{"PATH=" + os.Getenv("PATH"), "HOME=" + os.Getenv("HOME"), "OPS_ADDR=127.0.0.1:0"}, s.Settings...)
	p.cmd.Stderr, p.cmd.SysProcAttr = log, attributes
	if err := p.cmd.Start(); err != nil {
		return nil, fmt.Errorf("start %s: %w", p.name, err)
	}
	go func() {
		_ = p.cmd.Wait() // ProcessState says it all
		close(p.ended)
	}()
	return p, nil
}

// Ended is closed when the process has ended. Its log is complete then.
func (p *Process) Ended() <-chan struct{} { return p.ended }

// PID is the process id.
func (p *Process) PID() int { return p.cmd.Process.Pid }

// ExitCode waits until the process has ended. It is -1 after a signal.
func (p *Process) ExitCode() int {
	<-p.ended
	return p.cmd.ProcessState.ExitCode()
}

// Signal sends a signal. The error is os.ErrProcessDone when the process has ended.
func (p *Process) Signal(s os.Signal) error { return p.cmd.Process.Signal(s) }

// Stop ends the process with SIGTERM, and with SIGKILL when that takes longer than 10 s. The error, with the
// end of the log, is about that, an exit code other than 0, or a process that had ended before.
func (p *Process) Stop() error {
	if err := p.Check(); err != nil {
		return err
	}
	_ = p.Signal(syscall.SIGTERM) // it may end at this very moment
	select {
	case <-p.ended:
	case <-time.After(drainTime):
		return errors.Join(p.fault(fmt.Sprintf("goes on %v after SIGTERM", drainTime)), p.Kill())
	}
	if !p.cmd.ProcessState.Success() {
		return p.fault("ended after SIGTERM with " + p.cmd.ProcessState.String())
	}
	return nil
}

// Kill ends the process with SIGKILL. The error, with the end of the log, is about one that had ended before.
func (p *Process) Kill() error {
	err := p.Check()
	_ = p.Signal(syscall.SIGKILL)
	<-p.ended
	return err
}

// Check is nil while the process runs. The error, with the end of the log, says how it has ended.
func (p *Process) Check() error {
	select {
	case <-p.ended:
		return p.fault("has ended with " + p.cmd.ProcessState.String())
	default:
		return nil
	}
}

func (p *Process) fault(what string) error {
	return fmt.Errorf("%s %s; the end of its log:\n%s", p.name, what, p.LogEnd(8))
}

// Log returns what the process has logged so far, without what its log held before.
func (p *Process) Log() string {
	text, err := os.ReadFile(p.log)
	if err != nil {
		return err.Error()
	}
	return string(text[min(p.before, int64(len(text))):])
}

// LogEnd returns the last n lines of Log, or fewer.
func (p *Process) LogEnd(n int) string {
	lines := strings.Split(strings.TrimSpace(p.Log()), "\n")
	return strings.Join(lines[max(0, len(lines)-n):], "\n")
}

var (
	opsAddr = regexp.MustCompile(`"ops_addr":"([^"]+)"`)
	client  = http.Client{Timeout: 5 * time.Second}
)

// OpsAddr returns the host:port of the operations port, or "" as long as the process has not logged it.
func (p *Process) OpsAddr() string {
	if m := opsAddr.FindStringSubmatch(p.Log()); m != nil {
		return m[1]
	}
	return ""
}

// WaitReady returns when /readyz says 200. The error, with the end of the log, is about a process that has
// ended, or is not ready after 90 s or at the end of ctx; it goes on then.
func (p *Process) WaitReady(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, readyTime)
	defer cancel()
	for !p.ready() {
		select {
		case <-p.ended:
			return p.Check()
		case <-ctx.Done():
			return p.fault(fmt.Sprintf("does not become ready: %v", context.Cause(ctx)))
		case <-time.After(50 * time.Millisecond):
		}
	}
	return nil
}

func (p *Process) ready() bool {
	response, err := client.Get("http://" + p.OpsAddr() + "/readyz")
	if err != nil {
		return false
	}
	defer response.Body.Close()
	return response.StatusCode == http.StatusOK
}

// Build puts the binaries of services, under their names, into a folder that there is.
func Build(ctx context.Context, into string, services ...string) error {
	args := []string{"build", "-o", into}
	for _, service := range services {
		args = append(args, "github.com/telltale-iot/telltale/services/"+service)
	}
	if out, err := exec.CommandContext(ctx, "go", args...).CombinedOutput(); err != nil {
		return fmt.Errorf("build the services: %w\n%s", err, out)
	}
	return nil
}
