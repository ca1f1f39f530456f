package main

import (
	"bufio"
	"bytes"
	"context"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/telltale-iot/telltale/pkg/sqlite"
)

// onAllAddresses are settings of listeners that other machines reach.
func onAllAddresses(t *testing.T) environment {
	t.Helper()
	s := freeAddrs(t)
	for _, variable := range []string{"HTTP_ADDR", "MQTT_LISTEN_ADDR"} {
		_, port, err := net.SplitHostPort(s[variable])
		if err != nil {
			t.Fatal(err)
		}
		s[variable] = "0.0.0.0:" + port
	}
	s["AUTH"] = "auto"
	return s
}

// shownBy starts all-in-one, and returns what it prints until it has said all, and what ends it and returns its log.
func shownBy(t *testing.T, dir string, s environment) (printed string, stop func() (log string)) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), binary(t, "all-in-one"))
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "DATA_DIR=" + dir}
	for k, v := range s {
		cmd.Env = append(cmd.Env, k+"="+v)
	}
	var log bytes.Buffer
	cmd.Stderr = &log
	out, err := cmd.StdoutPipe()
	if err != nil || cmd.Start() != nil {
		t.Fatal(err)
	}
	lines := bufio.NewReader(out)
	for {
		line, err := lines.ReadString('\n')
		printed += line
		if err != nil {
			_ = cmd.Wait()
			t.Fatalf("it ended; the log is %s", log.String())
		}
		if strings.Contains(line, "a device  ") {
			break
		}
	}
	return printed, func() string {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		if err := cmd.Wait(); err != nil {
			t.Error(err)
		}
		return log.String()
	}
}

// command returns the one that is printed behind a word.
func commandIn(t *testing.T, printed, word string) string {
	t.Helper()
	m := regexp.MustCompile(`(?m)^  ` + word + `\s+(.*)$`).FindStringSubmatch(printed)
	if m == nil {
		t.Fatalf("no command to %s in %s", word, printed)
	}
	return m[1]
}

// The first start on addresses that other machines reach is one command more than on this machine's own: those that it prints work as
// they are pasted, and without what it prints nobody gets in.
func TestFirstStart(t *testing.T) {
	t.Parallel()
	if _, err := exec.LookPath("mosquitto_pub"); err != nil {
		t.Skip("it takes mosquitto_pub: ", err)
	}
	dir, s := filepath.Join(t.TempDir(), "data of mine"), onAllAddresses(t)
	printed, stop := shownBy(t, dir, s)
	paste := func(command string) (string, error) {
		out, err := exec.CommandContext(t.Context(), "sh", "-c", command).CombinedOutput()
		return string(out), err
	}
	publish, read := commandIn(t, printed, "publish"), commandIn(t, printed, "read")
	if out, err := paste(publish); err != nil {
		t.Errorf("%v: %s from\n%s", err, out, publish)
	}
	if out, err := paste(read); err != nil || !strings.Contains(out, `"temperature":21.5`) {
		t.Errorf("%v: %s from\n%s", err, out, read)
	}
	if out, err := paste(regexp.MustCompile(` -H '[^']*'`).ReplaceAllString(strings.Replace(read, " -sf", " -s", 1), "")); err != nil || !strings.Contains(out, "Authentication credentials were not provided.") {
		t.Errorf("without the token: %v: %s", err, out)
	}
	for what, command := range map[string]string{
		"without a password": regexp.MustCompile(` -u \S+ -P \S+`).ReplaceAllString(publish, ""),
		"with another":       regexp.MustCompile(` -P \S+`).ReplaceAllString(publish, " -P wrong"),
	} {
		if out, err := paste(command); err == nil {
			t.Errorf("a device publishes %s: %s", what, out)
		}
	}
	logIn := regexp.MustCompile(`log in as (\S+) with the password (\S+)`).FindStringSubmatch(printed)
	if logIn == nil {
		t.Fatalf("nobody can log in: %s", printed)
	}
	// Shown once, and kept nowhere.
	secrets := []string{logIn[2], regexp.MustCompile(`Bearer ([^']+)'`).FindStringSubmatch(read)[1], regexp.MustCompile(` -P (\S+)`).FindStringSubmatch(publish)[1]}
	log := stop()
	again, stop := shownBy(t, dir, s)
	if !strings.Contains(again, "Bearer TOKEN'") || !strings.Contains(again, "-P PASSWORD ") || strings.Contains(again, "log in as") {
		t.Errorf("the next start prints\n%s", again)
	}
	if out, err := paste(read); err != nil {
		t.Errorf("after the next start: %v: %s", err, out)
	}
	log += stop()
	for _, secret := range secrets {
		if strings.Contains(log+again, secret) {
			t.Errorf("%s is shown again", secret)
		}
		if err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() {
				return err
			}
			content, err := os.ReadFile(path)
			if bytes.Contains(content, []byte(secret)) {
				t.Errorf("%s has %s", path, secret)
			}
			return err
		}); err != nil {
			t.Error(err)
		}
	}
}

// Where nobody reads what is printed nothing is made: it would be lost.
func TestFirstStartUnseen(t *testing.T) {
	t.Parallel()
	s := onAllAddresses(t)
	p := start(t, t.TempDir(), s) // its output goes nowhere
	eventually(t, 30*time.Second, "it says how to get in", func() bool { return strings.Contains(p.Log(), "token create --role=admin") })
	if err := p.Stop(); err != nil {
		t.Fatal(err)
	}
}

// Demo devices have a password of their own where devices need one, a new one at each start.
func TestDemoWithCredentials(t *testing.T) {
	t.Parallel()
	dir, s := t.TempDir(), freeAddrs(t)
	s["AUTH"], s["TLS"] = "on", "self"
	for range 2 {
		p := start(t, dir, s, "--demo=2")
		if err := p.WaitReady(t.Context()); err != nil {
			t.Fatal(err)
		}
		token, _, exit := createToken(t, dir, "create", "--role=viewer")
		if exit != 0 {
			t.Fatal("no token")
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		tail := exec.CommandContext(ctx, binary(t, "all-in-one"), "tail", "--json", "--device=900002", "--api=https://"+s["HTTP_ADDR"], "--ca-file="+filepath.Join(dir, "tls", "ca.crt"))
		tail.Env = append(os.Environ(), "TELLTALE_TOKEN="+strings.TrimSpace(token))
		out, err := tail.StdoutPipe()
		if err != nil || tail.Start() != nil {
			t.Fatal(err)
		}
		if lines := bufio.NewScanner(out); !lines.Scan() || !strings.Contains(lines.Text(), `"device_id":900002`) {
			t.Errorf("a tail with a token prints %q", lines.Text())
		}
		cancel()
		_ = tail.Wait()
		if err := p.Stop(); err != nil {
			t.Fatal(err)
		}
	}
}

// A site from before there were accounts goes on without TLS, and lets its devices and programs in.
func TestMovedSite(t *testing.T) {
	t.Parallel()
	dir, s := t.TempDir(), onAllAddresses(t)
	s["AUTH"] = "off"
	p := start(t, dir, s)
	if err := p.WaitReady(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := p.Stop(); err != nil {
		t.Fatal(err)
	}
	db, err := sqlite.Open(filepath.Join(dir, "metadata.db"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := db.Write.ExecContext(t.Context(), "UPDATE site SET moved = 1"); err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	s["AUTH"] = "auto"
	printed, stop := shownBy(t, dir, s)
	if strings.Contains(printed, "https") || strings.Contains(printed, "admin") {
		t.Errorf("it prints\n%s", printed)
	}
	for _, word := range []string{"publish", "read"} {
		if out, err := exec.CommandContext(t.Context(), "sh", "-c", commandIn(t, printed, word)).CombinedOutput(); err != nil {
			t.Errorf("%s: %v: %s", word, err, out)
		}
	}
	if log := stop(); !strings.Contains(log, "in the clear") {
		t.Errorf("nobody is warned: %s", log)
	}
	if _, err := os.Stat(filepath.Join(dir, "tls")); err == nil {
		t.Error("it has made certificates")
	}
}
