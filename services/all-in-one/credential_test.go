package main

import (
	"bytes"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/telltale-iot/telltale/pkg/iot"
	sqlitemetadata "github.com/telltale-iot/telltale/pkg/metadata/sqlite"
)

// runCredential runs the program `all-in-one credential` on a folder, and returns what it prints and how it ends.
func runCredential(t *testing.T, dir string, s environment, args ...string) (printed, logged string, exit int) {
	t.Helper()
	var out, log bytes.Buffer
	command := exec.CommandContext(t.Context(), binary(t, "all-in-one"), append([]string{"credential"}, args...)...)
	command.Env, command.Stdout, command.Stderr = append(os.Environ(), "DATA_DIR="+dir), &out, &log
	for k, v := range s {
		command.Env = append(command.Env, k+"="+v)
	}
	_ = command.Run() // how it ends is below
	return out.String(), log.String(), command.ProcessState.ExitCode()
}

func TestCredentialUsage(t *testing.T) {
	t.Parallel()
	const which = "say which: credential create --device=DEVICE"
	for want, all := range map[string][][]string{
		which: {
			{}, {"revoke"}, {"create"}, {"create", "--device=a", "--gateway=b"}, {"create", "--gateway=b"}, {"list", "--device=a"},
			{"delete"}, {"delete", "--device=a"}, {"create", "--devices=a"},
		},
		"unexpected argument":             {{"delete", "all"}, {"list", "1"}},
		"a gateway may not be called 42,": {{"create", "--gateway=42", "--devices=1"}},
		"invalid":                         {{"create", "--device=a\nb"}, {"create", "--gateway=b", "--devices=a\nb"}},
		"DATA_DIR":                        {{"list"}, {"create", "--device=a"}}, // nothing is there yet
	} {
		for _, args := range all {
			printed, log, exit := runCredential(t, t.TempDir(), nil, args...)
			if exit != 2 || printed != "" || !strings.Contains(log, want) || strings.Count(log, "\n") != 1 {
				t.Errorf("%q ends with %d: %s%s", args, exit, printed, log)
			}
		}
	}
}

// TestCredentialCommand lets devices in, and shuts one out, from the command line: while the service is away and while it runs.
func TestCredentialCommand(t *testing.T) {
	t.Parallel()
	if _, err := exec.LookPath("mosquitto_pub"); err != nil {
		t.Skip("it takes mosquitto_pub: ", err)
	}
	s, dir := freeAddrs(t), t.TempDir()
	s["AUTH"], s["TLS"] = "on", "self"
	run := func() (stop func()) {
		t.Helper()
		p := start(t, dir, s)
		if err := p.WaitReady(t.Context()); err != nil {
			t.Fatal(err)
		}
		return func() {
			t.Helper()
			if err := p.Stop(); err != nil {
				t.Fatal(err)
			}
		}
	}
	create := func(args ...string) (id, publish string) {
		t.Helper()
		printed, log, exit := runCredential(t, dir, s, append([]string{"create"}, args...)...)
		m := regexp.MustCompile(`^username  \S+\npassword  (\S{43})\npublish   (mosquitto_pub .*)\n$`).FindStringSubmatch(printed)
		made := regexp.MustCompile(`"id":(\d+)`).FindStringSubmatch(log)
		if exit != 0 || m == nil || made == nil || strings.Contains(log, m[1]) || !strings.Contains(m[2], m[1]) {
			t.Fatalf("%v ends with %d: %s%s", args, exit, printed, log)
		}
		return made[1], m[2]
	}
	getsIn := func(publish string) bool {
		return exec.CommandContext(t.Context(), "sh", "-c", publish).Run() == nil
	}
	run()() // DATA_DIR is there

	kitchen, publishKitchen := create("--device=kitchen-1")
	_, publishHall := create("--gateway", "hall", "--devices", "kitchen-1,42")
	for why, args := range map[string][]string{
		"as a device is":           {"create", "--gateway=kitchen-1", "--devices=42"},
		"there is no credential 9": {"delete", "999"},
	} {
		if _, log, exit := runCredential(t, dir, s, args...); exit != 1 || !strings.Contains(log, why) {
			t.Errorf("%q ends with %d: %s", args, exit, log)
		}
	}
	stop := run()
	if !getsIn(publishKitchen) || !getsIn(publishHall) {
		t.Errorf("at the start nobody gets in by %s, or %s", publishKitchen, publishHall)
	}
	if getsIn(strings.Replace(publishKitchen, " -P ", " -P x", 1)) {
		t.Error("a wrong password lets in")
	}

	_, publishAttic := create("--device=attic")
	if _, log, exit := runCredential(t, dir, s, "delete", kitchen); exit != 0 {
		t.Fatalf("delete ends with %d: %s", exit, log)
	}
	eventually(t, 3*time.Minute, "the new device is let in", func() bool { return getsIn(publishAttic) })
	eventually(t, 3*time.Minute, "the deleted one is shut out", func() bool { return !getsIn(publishKitchen) })
	printed, _, _ := runCredential(t, dir, s, "list")
	if got := regexp.MustCompile(`(?m)^\d+ +(\S+) +password`).FindAllStringSubmatch(printed, -1); len(got) != 2 || got[0][1] != "hall" || got[1][1] != "attic" {
		t.Errorf("it lists\n%s", printed)
	}
	stop()

	store, err := sqlitemetadata.Open(dir + "/metadata.db")
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := store.Close(); err != nil {
			t.Error(err)
		}
	}()
	entries, err := store.Audit(t.Context(), iot.AuditQuery{Actor: "system", Limit: 99})
	if err != nil {
		t.Fatal(err)
	}
	var acts []string
	for _, e := range entries {
		if strings.HasPrefix(e.Action, "credential.") {
			acts = append(acts, e.Action)
		}
	}
	slices.Sort(acts)
	if want := []string{"credential.create", "credential.create", "credential.create", "credential.delete"}; !slices.Equal(acts, want) {
		t.Errorf("the audit has %v", acts)
	}
}
