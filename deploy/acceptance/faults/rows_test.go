package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
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

// Those of `make faults-red-history` also name a row, and what it must say.
func TestRedPatches(t *testing.T) {
	patches, err := filepath.Glob("red/*.patch")
	if err != nil || len(patches) == 0 {
		t.Fatalf("%d patches, %v", len(patches), err)
	}
	header := regexp.MustCompile(`\ABreaks: .+\nRow: (.+)\nSays: .+\n\n--- a/`)
	for _, patch := range patches {
		cmd := exec.Command("git", "apply", "--check", "deploy/acceptance/faults/"+patch)
		cmd.Dir = "../../.."
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Errorf("%s: %v\n%s", patch, err, out)
		}
		text, err := os.ReadFile(patch)
		if err != nil {
			t.Fatal(err)
		}
		named := header.FindSubmatch(text)
		if named == nil || !slices.ContainsFunc(rows, func(r row) bool { return r.name == string(named[1]) }) {
			t.Errorf("%s does not name a row: %q", patch, named)
		}
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
