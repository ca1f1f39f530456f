package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"syscall"
)

// The system calls that make durable what was written, and those that write.
const (
	syncs  = "fsync,fdatasync"
	writes = "write,pwrite64,writev,pwritev,pwritev2"
)

// tracer is a strace that changes what system calls of a process do, for as long as it runs.
type tracer struct {
	cmd   *exec.Cmd
	ended chan struct{} // closed when it has
	seen  string        // the file with the calls that it saw
}

// tamper has strace change what system calls of p do: calls are their names, and how is what strace calls an
// injection. With files it concerns calls on these alone. It is in force when tamper returns.
func (p *service) tamper(calls, how string, files ...string) (*tracer, error) {
	if _, err := exec.LookPath("strace"); err != nil {
		return nil, fmt.Errorf("%w: %w", errNotHere, err)
	}
	t := &tracer{ended: make(chan struct{}), seen: p.log + ".strace"}
	said, err := os.Create(t.seen + ".err")
	if err != nil {
		return nil, err
	}
	defer said.Close()
	t.cmd = exec.Command("strace", "-f", "-y", "-e", "signal=none", "-e", "trace="+calls, "-e", "inject="+calls+":"+how,
		"-o", t.seen, "-p", strconv.Itoa(p.process.PID()))
	for _, file := range files {
		t.cmd.Args = append(t.cmd.Args, "-P", file)
	}
	t.cmd.Stderr = said
	t.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL} // it does not outlive this program
	if err := t.cmd.Start(); err != nil {
		return nil, err
	}
	go func() {
		_ = t.cmd.Wait() // it ends as the process does, or by a signal
		close(t.ended)
	}()
	err = eventually(context.Background(), brief, func() error {
		text, err := os.ReadFile(said.Name())
		if err == nil && !strings.Contains(string(text), " attached") {
			err = fmt.Errorf("strace is not attached: %s", text)
		}
		return err
	})
	if err != nil {
		t.stop()
		return nil, err
	}
	return t, nil
}

// stop has system calls do again what they always do. strace would end by itself at SIGINT, but for ever waits for
// a process that is just ending.
func (t *tracer) stop() {
	_ = t.cmd.Process.Kill() // it may have ended, with the process
	<-t.ended
}

// injected returns the files that calls were tampered with on, in that order.
func (t *tracer) injected() ([]string, error) {
	seen, err := os.ReadFile(t.seen)
	return injected(string(seen)), err
}

var ofFile = regexp.MustCompile(`^\w+\(\d+<(/[^>]*)>`)

// injected reads what strace has written. A call that it has seen begin and end on different lines names its file
// on the first of them.
func injected(seen string) (files []string) {
	began := map[string]string{} // by thread: the file of its last call
	for line := range strings.Lines(seen) {
		thread, call, _ := strings.Cut(line, " ")
		if m := ofFile.FindStringSubmatch(strings.TrimSpace(call)); m != nil {
			began[thread] = m[1]
		}
		if strings.HasSuffix(line, "(INJECTED)\n") {
			files = append(files, began[thread])
		}
	}
	return files
}
