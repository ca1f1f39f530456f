package main

import (
	"bytes"
	"net"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"testing"
	"time"
)

// runDoctor runs `SERVICE doctor` in an empty folder, and returns what it prints and how it ends.
func runDoctor(t *testing.T, service string, s environment) (printed, logged string, exit int) {
	t.Helper()
	var out, log bytes.Buffer
	command := exec.CommandContext(t.Context(), binary(t, service), "doctor")
	command.Dir, command.Stdout, command.Stderr = t.TempDir(), &out, &log
	for k, v := range s {
		command.Env = append(command.Env, k+"="+v)
	}
	start := time.Now()
	_ = command.Run() // how it ends is below
	if took := time.Since(start); took > 15*time.Second {
		t.Errorf("%s doctor took %v", service, took)
	}
	if left, err := os.ReadDir(command.Dir); err != nil || len(left) > 0 {
		t.Errorf("%s doctor leaves %v, %v", service, left, err)
	}
	return out.String(), log.String(), command.ProcessState.ExitCode()
}

// deadServers are settings of servers that are not there, with passwords.
func deadServers(t *testing.T) environment {
	t.Helper()
	s := freeAddrs(t)
	delete(s, "MQTT_LISTEN_ADDR")
	const nobody = "127.0.0.1:1"
	s["KAFKA_BROKERS"], s["KAFKA_USERNAME"], s["KAFKA_PASSWORD"] = nobody, "iot", secret
	s["MQTT_URL"] = "tcp://iot:" + secret + "@" + nobody
	s["MONGODB_URI"] = "mongodb://iot:" + secret + "@" + nobody + "/iot"
	s["DATABASE_URL"] = "postgres://iot:" + secret + "@" + nobody + "/iot"
	s["REDIS_URL"] = "redis://:" + secret + "@" + nobody
	return s
}

// TestDoctorOfDeadServers: each service's doctor says of each of its servers, in a line, that it is not there, and what to do.
func TestDoctorOfDeadServers(t *testing.T) {
	t.Parallel()
	for service, servers := range map[string][]string{
		"mqtt-bridge":   {"KAFKA_BROKERS", "MQTT_URL"},
		"ingest-writer": {"KAFKA_BROKERS", "MONGODB_URI"},
		"cache-updater": {"KAFKA_BROKERS", "REDIS_URL"},
		"query-api":     {"KAFKA_BROKERS", "DATABASE_URL", "MONGODB_URI", "REDIS_URL"},
		"all-in-one":    {"MQTT_URL", "KAFKA_BROKERS", "MONGODB_URI", "DATABASE_URL", "REDIS_URL"},
	} {
		t.Run(service, func(t *testing.T) {
			t.Parallel()
			out, log, exit := runDoctor(t, service, deadServers(t))
			if exit != 1 || log != "" {
				t.Errorf("it ends with %d: %s", exit, log)
			}
			failed := regexp.MustCompile(`(?m)^fail  (\S+) +\S.*: .*connection refused.*; start it, or correct (\S+): nothing listens there$`).FindAllStringSubmatch(out, -1)
			if len(failed) != len(servers) || strings.Count(out, "fail  ") != len(servers) {
				t.Fatalf("%d lines of %d:\n%s", len(failed), len(servers), out)
			}
			for i, f := range failed {
				if f[1] != servers[i] || f[2] != servers[i] {
					t.Errorf("of %s: %s", servers[i], f[0])
				}
			}
			if strings.Contains(out, secret) {
				t.Errorf("it shows a password:\n%s", out)
			}
		})
	}
}

// TestDoctorOfAllInOne looks before the start, while it runs, and while another program has a port.
func TestDoctorOfAllInOne(t *testing.T) {
	t.Parallel()
	s, dir := freeAddrs(t), privateDir(t)
	s["DATA_DIR"] = dir
	shown := func(out string) string {
		for name, addr := range s {
			out = strings.ReplaceAll(out, addr, "$"+name)
		}
		for pattern, instead := range map[string]string{
			`clock( +)\S+`: "clock${1}NOW", `process \d+`: "process N", `version \S+,`: "version V,", `\S+ GB left`: "N GB left",
		} {
			out = regexp.MustCompile(pattern).ReplaceAllString(out, instead)
		}
		return out
	}
	out, log, exit := runDoctor(t, "all-in-one", s)
	const before = `ok    settings           they can be read
ok    clock              NOW
ok    service            does not run: nothing answers on OPS_ADDR="$OPS_ADDR"
ok    OPS_ADDR           $OPS_ADDR is free
ok    DATA_DIR           $DATA_DIR can be written
ok    DATA_DIR           its disk has N GB left
ok    HTTP_ADDR          $HTTP_ADDR is free
ok    MQTT_LISTEN_ADDR   $MQTT_LISTEN_ADDR is free
ok    KAFKA_LISTEN_ADDR  $KAFKA_LISTEN_ADDR is free
ok    AUTH               auto: credentials are needed by no listener, by HTTP_ADDR, MQTT_LISTEN_ADDR, KAFKA_LISTEN_ADDR none: this machine alone gets in

10 ok, 0 warn, 0 fail
`
	if got := shown(out); got != before || exit != 0 {
		t.Errorf("before the start it ends with %d, %s:\n%s", exit, log, got)
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
		t.Errorf("in DATA_DIR there are now %v, %v", left, err)
	}

	p := start(t, dir, s)
	if err := p.WaitReady(t.Context()); err != nil {
		t.Fatal(err)
	}
	out, log, exit = runDoctor(t, "all-in-one", s)
	const running = `ok    settings           they can be read
ok    clock              NOW
ok    service            runs, version V, and is ready
ok    OPS_ADDR           $OPS_ADDR is in use by all-in-one (process N): it runs
ok    DATA_DIR           $DATA_DIR can be written, and all-in-one (process N) has it: it runs
ok    DATA_DIR           its disk has N GB left
ok    HTTP_ADDR          $HTTP_ADDR is in use by all-in-one (process N): it runs
ok    MQTT_LISTEN_ADDR   $MQTT_LISTEN_ADDR is in use by all-in-one (process N): it runs
ok    KAFKA_LISTEN_ADDR  $KAFKA_LISTEN_ADDR is in use by all-in-one (process N): it runs
ok    AUTH               auto: credentials are needed by no listener, by HTTP_ADDR, MQTT_LISTEN_ADDR, KAFKA_LISTEN_ADDR none: this machine alone gets in

10 ok, 0 warn, 0 fail
`
	if got := shown(out); got != running || exit != 0 {
		t.Errorf("while it runs it ends with %d, %s:\n%s", exit, log, got)
	}
	if err := p.Kill(); err != nil {
		t.Fatal(err)
	}

	l, err := net.Listen("tcp", s["HTTP_ADDR"])
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	out, _, exit = runDoctor(t, "all-in-one", s)
	taken := regexp.MustCompile(`(?m)^fail  HTTP_ADDR          \S+ is in use by \S+ \(process \d+\); stop that, or set HTTP_ADDR to another address$`)
	if exit != 1 || len(taken.FindAllString(out, -1)) != 1 || !strings.Contains(out, "9 ok, 0 warn, 1 fail") {
		t.Errorf("with a port taken it ends with %d:\n%s", exit, out)
	}
}

// TestDoctorOfBadSettings: settings that no service starts with end it with 2, and a line.
func TestDoctorOfBadSettings(t *testing.T) {
	t.Parallel()
	for _, service := range []string{"mqtt-bridge", "ingest-writer", "cache-updater", "query-api", "all-in-one"} {
		out, log, exit := runDoctor(t, service, environment{"KAFKA_BROKERS": "kafka.example"})
		if exit != 2 || out != "" || !strings.HasPrefix(log, service+" doctor: KAFKA_BROKERS: each must be host:port") || strings.Count(log, "\n") != 1 {
			t.Errorf("%s ends with %d: %s%s", service, exit, out, log)
		}
	}
	for _, service := range []string{"mqtt-bridge", "query-api", "all-in-one"} {
		out, log, exit := runDoctor(t, service, environment{"MAPPINGS": "tasmotta"})
		if exit != 2 || out != "" || !strings.Contains(log, "MAPPINGS") {
			t.Errorf("%s, with a preset that there is not, ends with %d: %s%s", service, exit, out, log)
		}
	}
}

// privateDir is a folder as all-in-one makes it.
func privateDir(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	if err := os.Chmod(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	return dir
}

// TestDoctorOfAccess: where credentials are asked for, it says whether somebody can make them.
func TestDoctorOfAccess(t *testing.T) {
	t.Parallel()
	s, dir := freeAddrs(t), privateDir(t)
	s["DATA_DIR"], s["AUTH"] = dir, "off"
	p := start(t, dir, s)
	if err := p.WaitReady(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := p.Stop(); err != nil {
		t.Fatal(err)
	}
	say := func(want string) {
		t.Helper()
		if out, log, exit := runDoctor(t, "all-in-one", s); exit != 0 || !strings.Contains(out, want) {
			t.Errorf("it ends with %d, without %q: %s%s", exit, want, log, out)
		}
	}
	const nobody = "warn  AUTH               no admin has a password or a token, so that nobody can make either; all-in-one token create --role=admin makes a token\n"
	s["AUTH"] = "on"
	say("ok    AUTH               on: credentials are needed by HTTP_ADDR, MQTT_LISTEN_ADDR, KAFKA_LISTEN_ADDR\n")
	say(nobody)
	if _, log, exit := createToken(t, dir, "create", "--role=viewer", "--user=admin"); exit != 1 {
		t.Errorf("a token of nobody: %d, %s", exit, log)
	}
	if _, log, exit := createToken(t, dir, "create", "--role=viewer"); exit != 0 {
		t.Errorf("%d, %s", exit, log)
	}
	say(nobody) // the admin has a token by which he reads
	if _, log, exit := createToken(t, dir, "create", "--role=admin"); exit != 0 {
		t.Errorf("%d, %s", exit, log)
	}
	say("ok    AUTH               an admin can get in\n")
	s["AUTH"], s["HTTP_ADDR"] = "off", "0.0.0.0:0"
	say("warn  AUTH               off: other machines get in by HTTP_ADDR without credentials; set AUTH=on, or have it listen on 127.0.0.1\n")
}
