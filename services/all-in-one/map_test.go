package main

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestMap runs `mqtt-bridge map`, with the rules that it is given.
func TestMap(t *testing.T) {
	rules := filepath.Join(t.TempDir(), "plant.yaml")
	if err := os.WriteFile(rules, []byte("- name: plant\n  topic: plant/{device}\n  time: at\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		promise, mappings, topic, message string
		code                              int
		stdout, stderr                    string // parts
	}{
		{"a message is shown as readings", rules, "plant/pump", `{"at":"2026-01-02 12:00","x":1}`, 0,
			`"rule": "plant",` + "\n" + `  "file": "plant.yaml",`, ""},
		{"in the zone of the installation", rules, "plant/pump", `{"at":"2026-01-02 12:00","x":1}`, 0, `"2026-01-02T11:00:00.000Z"`, ""},
		{"and what is none says why", "", "plant/pump", `{"x":1}`, 1, `"detail": "no rule is for this topic"`, "the message becomes no reading"},
		{"a rule that is wrong is a line, and 2", rules + ",nothing", "plant/pump", `{"x":1}`, 2, "", `no preset "nothing"`},
		{"so is no topic", "", "", `{"x":1}`, 2, "", "--topic"},
	} {
		t.Run(tt.promise, func(t *testing.T) {
			cmd := exec.CommandContext(t.Context(), binary(t, "mqtt-bridge"), "map", "--topic="+tt.topic)
			cmd.Env = append(os.Environ(), "MAPPINGS="+tt.mappings, "DEVICE_TIME_ZONE=Europe/Berlin")
			cmd.Stdin = strings.NewReader(tt.message)
			var stderr strings.Builder
			cmd.Stderr = &stderr
			out, err := cmd.Output()
			var failed *exec.ExitError
			if err != nil && !errors.As(err, &failed) {
				t.Fatal(err)
			}
			if code := cmd.ProcessState.ExitCode(); code != tt.code || !strings.Contains(string(out), tt.stdout) || !strings.Contains(stderr.String(), tt.stderr) {
				t.Errorf("it exits with %d\n%s\n%s", code, out, stderr.String())
			}
			if tt.code == 0 && stderr.Len() > 0 {
				t.Errorf("stderr: %s", stderr.String())
			}
		})
	}
}
