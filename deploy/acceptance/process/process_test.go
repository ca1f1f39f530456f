package process

import (
	"crypto/sha256"
	"os"
	"os/exec"
	"path/filepath"
	"runtime/debug"
	"strings"
	"testing"
	"time"
)

func TestProcess(t *testing.T) {
	t.Setenv("FOREIGN", " is seen")
	dir := t.TempDir()
	binary := filepath.Join(dir, "service")
	script := "#!/bin/sh\ntrap 'echo drained >&2; exit $CODE' TERM\necho '\"ops_addr\":\"'$OPS_ADDR$FOREIGN'\"' >&2\nwhile :; do sleep 0.01; done\n"
	if err := os.WriteFile(binary, []byte(script), 0o755); err != nil {
		t.Fatal(err)
	}
	start := func(settings ...string) *Process {
		p, err := Start(Spec{Binary: binary, Settings: settings, Log: filepath.Join(dir, "log")})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = p.Kill() })
		for deadline := time.Now().Add(10 * time.Second); p.OpsAddr() == "" && time.Now().Before(deadline); {
			time.Sleep(time.Millisecond)
		}
		return p
	}
	first := start("CODE=0", "OPS_ADDR=first")
	if err := first.Stop(); err != nil {
		t.Error(err)
	}
	second := start("CODE=3", "OPS_ADDR=second")
	if first.OpsAddr() != "first" || second.OpsAddr() != "second" || !strings.HasPrefix(first.LogEnd(2), "drained\n") {
		t.Errorf("the log is\n%s\nand its second part\n%s", first.Log(), second.Log())
	}
	for _, end := range []func() error{second.Stop, second.Stop, second.Kill, func() error { return second.WaitReady(t.Context()) }} {
		if err := end(); err == nil || !strings.Contains(err.Error(), "exit status 3") || !strings.Contains(err.Error(), "drained") {
			t.Errorf("after exit code 3: %v", err)
		}
	}
	third := start()
	if err := third.Kill(); err != nil || third.ExitCode() != -1 {
		t.Errorf("killed: %v, exit code %d", err, third.ExitCode())
	}
}

func TestUsage(t *testing.T) {
	p := &Process{cmd: &exec.Cmd{Process: &os.Process{Pid: os.Getpid()}}}
	before, _, err := p.Usage()
	if err != nil {
		t.Fatal(err)
	}
	var sum [sha256.Size]byte
	for range 1_000_000 { // of about 50 ns
		sum = sha256.Sum256(sum[:])
	}
	big := make([]byte, 64<<20)
	for i := 0; i < len(big); i += 1024 {
		big[i] = 1
	}
	after, high, err := p.Usage()
	if spent := after - before; err != nil || spent < tick || spent > time.Minute {
		t.Errorf("%v of CPU time spent, %v", spent, err)
	}
	if high < int64(len(big)) || high > 4<<30 {
		t.Errorf("with 64 MiB in use a peak of %d bytes", high)
	}
	if now, err := p.AnonymousMemory(); err != nil || now < int64(len(big)) || now > high {
		t.Errorf("with 64 MiB in use, and a peak of %d bytes, %d are anonymous now, %v", high, now, err)
	}
	written, err := p.Written()
	if err == nil {
		err = os.WriteFile(filepath.Join(t.TempDir(), "file"), big[:4<<20], 0o600)
	}
	if more, err2 := p.Written(); err != nil || err2 != nil || more < written {
		t.Errorf("%d bytes written, and then %d: %v, %v", written, more, err, err2)
	}
	debug.FreeOSMemory() // big is used no more
	if err := p.ResetPeak(); err != nil {
		t.Fatal(err)
	}
	if _, low, err := p.Usage(); err != nil || low > high-32<<20 {
		t.Errorf("a peak of %d bytes after one of %d, %v", low, high, err)
	}
}
