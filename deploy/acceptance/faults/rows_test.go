package main

import (
	"os/exec"
	"regexp"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestRows(t *testing.T) {
	plain := regexp.MustCompile(`^[a-z-]+$`)
	seen := map[string]bool{}
	for _, r := range rows {
		switch {
		case !plain.MatchString(r.name):
			t.Errorf("row %q: a name is of small letters and hyphens", r.name)
		case seen[r.name]:
			t.Errorf("two rows are named %s", r.name)
		case r.inject == nil:
			t.Errorf("%s injects nothing", r.name)
		}
		seen[r.name] = true
	}
}

// What `make faults-red` does to the sources has to go with them.
func TestPatchApplies(t *testing.T) {
	cmd := exec.Command("git", "apply", "--check", "deploy/acceptance/faults/ack-before-write.patch")
	cmd.Dir = "../../.."
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}

func TestLinksOf(t *testing.T) {
	for service, want := range map[string][]string{
		"bridge": {"device-bridge", "bridge-mosquitto", "bridge-kafka"},
		"api":    {"api-kafka", "api-mongo", "api-redis", "api-mysql"},
	} {
		if d := cmp.Diff(want, proxiesOf(service)); d != "" {
			t.Errorf("%s (-want +got):\n%s", service, d)
		}
	}
}

func TestMerge(t *testing.T) {
	got := merge([]outcome{
		{mode: subscribe, acknowledged: 1, lost: 1, recovery: time.Second}, {mode: listen, acknowledged: 2},
		{mode: subscribe, acknowledged: 3, recovery: time.Second},
	})
	want := []outcome{{mode: subscribe, acknowledged: 4, lost: 1, recovery: time.Second}, {mode: listen, acknowledged: 2}}
	if d := cmp.Diff(want, got, cmp.AllowUnexported(outcome{})); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
}
