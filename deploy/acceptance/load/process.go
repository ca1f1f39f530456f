package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// services are the binaries that are measured.
var services = []string{"mqtt-bridge", "ingest-writer", "cache-updater", "query-api", "all-in-one"}

func repositoryRoot(ctx context.Context) (string, error) {
	out, err := exec.CommandContext(ctx, "go", "env", "GOWORK").Output()
	file := strings.TrimSpace(string(out))
	if err != nil || file == "" || file == "off" {
		return "", errors.Join(errors.New("find the repository: run this from within it, with its go.work"), err)
	}
	return filepath.Dir(file), nil
}

// build puts the services' binaries into b.dir.
func (b *bench) build(ctx context.Context) error {
	args := []string{"build", "-o", b.dir}
	for _, s := range services {
		args = append(args, "./services/"+s)
	}
	cmd := exec.CommandContext(ctx, "go", args...)
	cmd.Dir = b.root
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("build the services: %w\n%s", err, out)
	}
	return nil
}

// process is a running service.
type process struct {
	service string
	cmd     *exec.Cmd
	log     string // the file that it logs to
	exited  chan error
}

// start runs a service with nothing in its environment but settings (VARIABLE=value), and waits until it
// is ready.
func (b *bench) start(ctx context.Context, service string, settings ...string) (*process, error) {
	ops, err := freeAddr()
	if err != nil {
		return nil, err
	}
	log, err := os.CreateTemp(b.dir, service+"-*.log")
	if err != nil {
		return nil, err
	}
	defer func() { _ = log.Close() }()
	p := &process{service: service, log: log.Name(), exited: make(chan error, 1)}
	p.cmd = exec.Command(filepath.Join(b.dir, service))
	p.cmd.Dir = b.dir
	p.cmd.Env = append([]string{"PATH=" + os.Getenv("PATH"), "HOME=" + os.Getenv("HOME"), "OPS_ADDR=" + ops}, settings...)
	p.cmd.Stdout, p.cmd.Stderr = log, log
	if err := p.cmd.Start(); err != nil {
		return nil, err
	}
	go func() { p.exited <- p.cmd.Wait() }()

	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	if err := poll(ctx, 50*time.Millisecond, func() (bool, error) {
		select {
		case err := <-p.exited:
			p.exited <- err
			return false, errors.Join(errors.New("the process ended"), err)
		default:
			return answersOK(ctx, "http://"+ops+"/readyz"), nil
		}
	}); err != nil {
		return nil, errors.Join(fmt.Errorf("%s does not become ready: %w\n%s", service, err, p.lastLog()), p.stop())
	}
	return p, nil
}

func answersOK(ctx context.Context, url string) bool {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return false
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return false
	}
	_ = response.Body.Close()
	return response.StatusCode == http.StatusOK
}

// stop lets the process drain, and says when it did not end well.
func (p *process) stop() error {
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	select {
	case err := <-p.exited:
		if err != nil {
			return fmt.Errorf("%s ended badly: %w\n%s", p.service, err, p.lastLog())
		}
		return nil
	case <-time.After(15 * time.Second):
		_ = p.cmd.Process.Kill()
		return fmt.Errorf("%s did not end within 15 s and was killed: %w\n%s", p.service, <-p.exited, p.lastLog())
	}
}

// lastLog returns the end of what the process logged.
func (p *process) lastLog() string {
	text, err := os.ReadFile(p.log)
	if err != nil {
		return err.Error()
	}
	lines := strings.Split(strings.TrimSpace(string(text)), "\n")
	return strings.Join(lines[max(0, len(lines)-8):], "\n")
}

// ticksPerSecond is the unit of times in /proc, the same on all platforms of Linux that Go runs on.
const ticksPerSecond = 100

// usage returns the CPU time that the process has spent, user+sys, and the peak of its resident memory.
func (p *process) usage() (cpu time.Duration, peak int64, err error) {
	dir := fmt.Sprintf("/proc/%d/", p.cmd.Process.Pid)
	stat, err := os.ReadFile(dir + "stat")
	if err != nil {
		return 0, 0, err
	}
	// The name, in parentheses, may hold anything; utime and stime are the 12th and 13th field behind it.
	fields := strings.Fields(string(stat[bytes.LastIndexByte(stat, ')')+1:]))
	var ticks int64
	for _, field := range fields[11:13] {
		n, err := strconv.ParseInt(field, 10, 64)
		if err != nil {
			return 0, 0, err
		}
		ticks += n
	}
	status, err := os.ReadFile(dir + "status")
	if err != nil {
		return 0, 0, err
	}
	for line := range strings.Lines(string(status)) {
		if kib, ok := strings.CutPrefix(line, "VmHWM:"); ok {
			n, err := strconv.ParseInt(strings.Fields(kib)[0], 10, 64)
			return time.Duration(ticks) * time.Second / ticksPerSecond, n << 10, err
		}
	}
	return 0, 0, errors.New("no VmHWM in " + dir + "status")
}

// finish adds what p has used to f and stops p.
func (p *process) finish(f figures, err error) (figures, error) {
	var used error
	f.cpu, f.rss, used = p.usage()
	return f, errors.Join(err, used, p.stop())
}

// freeAddr returns an address of this machine that nobody listens on, for now.
func freeAddr() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	defer func() { _ = l.Close() }()
	return l.Addr().String(), nil
}

// poll calls done every so often until it is true or fails, or ctx ends.
func poll(ctx context.Context, every time.Duration, done func() (bool, error)) error {
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		if ok, err := done(); ok || err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-tick.C:
		}
	}
}
