package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"
)

// process is all-in-one running as a process of its own.
type process struct {
	t    *testing.T
	cmd  *exec.Cmd
	done chan struct{} // closed when it has ended and its log was read
	log  lines

	api string // http://host:port
	ops string
}

// lines is what a process logged.
type lines []string

// settings are environment variables of a process.
type settings map[string]string

// freeAddrs are the settings of addresses that nothing listens on, so that a restart finds them again.
func freeAddrs(t *testing.T) settings {
	t.Helper()
	s := settings{}
	for _, variable := range []string{"MQTT_LISTEN_ADDR", "KAFKA_LISTEN_ADDR", "HTTP_ADDR", "OPS_ADDR"} {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		s[variable] = l.Addr().String()
	}
	return s
}

// start starts all-in-one with s on dir.
func start(t *testing.T, dir string, s settings, args ...string) *process {
	t.Helper()
	cmd := exec.Command(binary(t, "all-in-one"), args...)
	cmd.Env = append(os.Environ(), "DATA_DIR="+dir)
	for k, v := range s {
		cmd.Env = append(cmd.Env, k+"="+v)
	}
	stderr, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	p := &process{
		t: t, cmd: cmd, done: make(chan struct{}),
		api: "http://" + s["HTTP_ADDR"], ops: "http://" + s["OPS_ADDR"],
	}
	go func() {
		defer close(p.done)
		scanner := bufio.NewScanner(stderr)
		for scanner.Scan() {
			p.log = append(p.log, scanner.Text())
		}
		_ = cmd.Wait()
	}()
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		<-p.done
		if t.Failed() {
			t.Logf("the log of process %d:\n%s", cmd.Process.Pid, strings.Join(tail(p.log, 40), "\n"))
		}
	})
	return p
}

func tail(log lines, n int) lines { return log[max(0, len(log)-n):] }

// end sends a signal and waits until the process has ended. It returns the exit code, -1 for a kill.
func (p *process) end(signal syscall.Signal) int {
	p.t.Helper()
	if err := p.cmd.Process.Signal(signal); err != nil {
		p.t.Fatalf("signal process %d: %v", p.cmd.Process.Pid, err)
	}
	return p.wait()
}

// wait waits until the process has ended by itself.
func (p *process) wait() int {
	p.t.Helper()
	select {
	case <-p.done:
		return p.cmd.ProcessState.ExitCode()
	case <-time.After(15 * time.Second):
		p.t.Fatalf("process %d is still there after 15 s", p.cmd.Process.Pid)
		return 0
	}
}

// get decodes the answer to GET path into v, and returns its status.
func (p *process) get(path string, v any) (int, error) {
	res, err := http.Get(p.api + path)
	if err != nil {
		return 0, err
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		return 0, err
	}
	if err := json.Unmarshal(body, v); err != nil {
		return 0, fmt.Errorf("GET %s: %d %.200q: %w", path, res.StatusCode, body, err)
	}
	return res.StatusCode, nil
}

// eventually waits until ok is true.
func eventually(t *testing.T, within time.Duration, what string, ok func() bool) {
	t.Helper()
	deadline := time.Now().Add(within)
	for !ok() {
		if time.Now().After(deadline) {
			t.Fatalf("not within %v: %s", within, what)
		}
		time.Sleep(10 * time.Millisecond)
	}
}
