package main

import (
	"bytes"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/telltale-iot/telltale/pkg/iot"
	sqlitemetadata "github.com/telltale-iot/telltale/pkg/metadata/sqlite"
)

// createToken runs the program `all-in-one token` on a folder, and returns what it prints and how it ends.
func createToken(t *testing.T, dir string, args ...string) (printed, logged string, exit int) {
	t.Helper()
	var out, log bytes.Buffer
	command := exec.CommandContext(t.Context(), binary(t, "all-in-one"), append([]string{"token"}, args...)...)
	command.Env, command.Stdout, command.Stderr = append(os.Environ(), "DATA_DIR="+dir), &out, &log
	_ = command.Run() // how it ends is below
	return out.String(), log.String(), command.ProcessState.ExitCode()
}

// TestTokenCreate gets in with tokens that are made beside the service, and while it is away.
func TestTokenCreate(t *testing.T) {
	t.Parallel()
	s, dir := freeAddrs(t), t.TempDir()
	s["AUTH"] = "on"
	for want, args := range map[string][]string{
		"DATA_DIR":                         {"create", "--role=admin"}, // nothing is there yet
		"viewer|operator|admin|member":     {"create"},
		"say which: token create":          {},
		"say which: token create --role=v": {"delete"},
		"unknown flag --roll":              {"create", "--roll=admin"},
		"--days must be 0 to":              {"create", "--role=admin", "--days=-1"},
	} {
		if printed, log, exit := createToken(t, dir, args...); exit != 2 || printed != "" || !strings.Contains(log, want) || strings.Count(log, "\n") != 1 {
			t.Errorf("%v ends with %d: %s%s", args, exit, printed, log)
		}
	}

	p := start(t, dir, s)
	if err := p.WaitReady(t.Context()); err != nil {
		t.Fatal(err)
	}
	status := func(token string) int {
		t.Helper()
		request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, p.api+"/api/users/", nil)
		if err != nil {
			t.Fatal(err)
		}
		request.Header.Set("Authorization", "Bearer "+token)
		answer, err := http.DefaultClient.Do(request)
		if err != nil {
			t.Fatal(err)
		}
		_ = answer.Body.Close()
		return answer.StatusCode
	}
	token := func(args ...string) string {
		t.Helper()
		printed, log, exit := createToken(t, dir, append([]string{"create"}, args...)...)
		if exit != 0 || !strings.HasPrefix(printed, "tt_") || strings.Count(printed, "\n") != 1 || strings.Contains(log, strings.TrimSpace(printed)) {
			t.Fatalf("%v ends with %d: %s%s", args, exit, printed, log)
		}
		return strings.TrimSpace(printed)
	}
	beside := token("--role=admin")
	if got := status("tt_guessed"); got != http.StatusUnauthorized {
		t.Errorf("GET with a guessed token: %d", got)
	}
	if got := status(beside); got != http.StatusOK {
		t.Errorf("GET with the token: %d", got)
	}
	if err := p.Stop(); err != nil {
		t.Fatal(err)
	}

	away := token("--role", "viewer", "--user", "admin", "--days=0", "--name=Grafana")
	for want, args := range map[string][]string{
		`there is no user \"bob\"`: {"create", "--role=viewer", "--user=bob"},
		"is a viewer":              {"create", "--role=admin", "--user=" + iot.DefaultUsername},
	} {
		if strings.Contains(want, "viewer") {
			registerDefaultUser(t, dir)
		}
		if printed, log, exit := createToken(t, dir, args...); exit != 1 || printed != "" || !strings.Contains(log, want) {
			t.Errorf("%v ends with %d: %s%s", args, exit, printed, log)
		}
	}
	store, err := sqlitemetadata.Open(dir + "/metadata.db")
	if err != nil {
		t.Fatal(err)
	}
	entries, err := store.Audit(t.Context(), iot.AuditQuery{Actor: "system", Action: "token.create", Limit: 9})
	if err := store.Close(); err != nil {
		t.Fatal(err)
	}
	if err != nil || len(entries) != 2 {
		t.Errorf("the audit has %d tokens, %v", len(entries), err)
	}

	p = start(t, dir, s)
	if err := p.WaitReady(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, known := range []string{beside, away} {
		if got := status(known); got == http.StatusUnauthorized {
			t.Errorf("GET after a restart: %d", got)
		}
	}
	if err := p.Stop(); err != nil {
		t.Error(err)
	}
}

// registerDefaultUser has a device register itself, whose owner is the default user.
func registerDefaultUser(t *testing.T, dir string) {
	t.Helper()
	store, err := sqlitemetadata.Open(dir + "/metadata.db")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := store.EnsureDevices(t.Context(), []iot.Identity{{ID: 7}}, iot.Admission{}); err != nil {
		t.Error(err)
	}
	if err := store.Close(); err != nil {
		t.Error(err)
	}
}
