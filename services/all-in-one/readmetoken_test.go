package main

import (
	"net"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"testing"
	"time"
)

// TestReadmeWithToken pastes the README's line for sites that ask for credentials, and then its commands that read, which are written
// for sites that do not.
func TestReadmeWithToken(t *testing.T) {
	t.Parallel()
	if _, err := exec.LookPath("mosquitto_pub"); err != nil {
		t.Skip("it takes mosquitto_pub: ", err)
	}
	readme := read(t, repository+"/README.md")
	line := regexp.MustCompile(`(?m)^    (export TELLTALE_TOKEN=)tt_…(;.*)$`).FindStringSubmatch(readme)
	commands := regexp.MustCompile(`(?m)^    curl (?:-sf |'|-fo |-G ).*$`).FindAllString(readme, -1)
	publishes := regexp.MustCompile(`(?m)^    mosquitto_pub (.* -t sensors/42/data .*)$`).FindStringSubmatch(readme)
	if line == nil || publishes == nil || len(commands) < 6 {
		t.Fatalf("README.md has %q, %q, %q", line, publishes, commands)
	}
	s, dir := freeAddrs(t), t.TempDir()
	s["AUTH"] = "on"
	p := start(t, dir, s)
	if err := p.WaitReady(t.Context()); err != nil {
		t.Fatal(err)
	}
	token, _, exit := createToken(t, dir, "create", "--role=operator")
	if exit != 0 {
		t.Fatal("no token")
	}
	work := t.TempDir()
	paste := func(command string) (string, error) {
		cmd := exec.CommandContext(t.Context(), "sh", "-c", strings.ReplaceAll(command, "127.0.0.1:8000", s["HTTP_ADDR"]))
		cmd.Dir, cmd.Env = work, []string{"PATH=" + os.Getenv("PATH")}
		out, err := cmd.CombinedOutput()
		return string(out), err
	}
	withToken := line[1] + strings.TrimSpace(token) + line[2] + "\n"
	made, err := paste(withToken + `curl -sf -X POST -H 'Content-Type: application/json' -d '{"id": 42, "name": "42", "user": 1}' http://127.0.0.1:8000/api/devices/ &&
		curl -sf -X POST -H 'Content-Type: application/json' -d '{"type": "password"}' http://127.0.0.1:8000/api/devices/42/credentials/`)
	password := regexp.MustCompile(`"password":"([^"]+)"`).FindStringSubmatch(made)
	if err != nil || password == nil {
		t.Fatalf("%v: %s", err, made)
	}
	_, port, _ := net.SplitHostPort(s["MQTT_LISTEN_ADDR"])
	publish := "mosquitto_pub -p " + port + " -u 42 -P " + password[1] + " " + publishes[1]
	eventually(t, time.Minute, "the device publishes", func() bool {
		_, err := paste(publish)
		return err == nil
	})
	if out, err := paste(strings.ReplaceAll(publish, password[1], "wrong")); err == nil {
		t.Errorf("a wrong password publishes: %s", out)
	}
	for _, command := range commands {
		if strings.Contains(command, "/900001/") || strings.Contains(command, "export") {
			command = strings.NewReplacer("/900001/", "/42/", "&since=2026-01-01", "").Replace(command)
		}
		out, err := paste(withToken + command)
		if err != nil || strings.Contains(out, `"detail"`) {
			t.Errorf("%v: %s from %s", err, out, command)
		}
		if out, err := paste(strings.NewReplacer("curl -sf", "curl -s", "curl -fo", "curl -o").Replace(command)); err == nil && !strings.Contains(command, " -o") &&
			!strings.Contains(command, "-fo") && !strings.Contains(out, "Authentication credentials were not provided.") {
			t.Errorf("without a token: %s from %s", out, command)
		}
	}
}
