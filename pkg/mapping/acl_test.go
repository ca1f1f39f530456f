package mapping_test

import (
	"os"
	"slices"
	"strings"
	"testing"
)

// TestACL: Mosquitto as it is shipped lets devices publish what the presets read, and the bridge subscribe to that and no
// more.
func TestACL(t *testing.T) {
	text, err := os.ReadFile("../../deploy/mosquitto/acl")
	if err != nil {
		t.Fatal(err)
	}
	topics := map[string][]string{} // by user and access
	user := ""
	for line := range strings.Lines(string(text)) {
		switch fields := strings.Fields(line); {
		case len(fields) == 2 && fields[0] == "user":
			user = fields[1]
		case len(fields) == 3 && fields[0] == "topic":
			topics[user+" "+fields[1]] = append(topics[user+" "+fields[1]], fields[2])
		}
	}
	want := []string{"sensors/#"} // also for filters of a user's own
	for _, f := range load(t).Filters() {
		if !strings.HasPrefix(f, "sensors/") {
			want = append(want, f)
		}
	}
	for _, access := range []string{"device write", "bridge read"} {
		if got := topics[access]; !slices.Equal(got, want) {
			t.Errorf("%s:\n%s\nwant\n%s", access, strings.Join(got, "\n"), strings.Join(want, "\n"))
		}
	}
	for _, access := range []string{"device read", "bridge write"} { // the requests of mapping.Result
		if got := topics[access]; !slices.Equal(got, []string{"spBv1.0/+/NCMD/+"}) {
			t.Errorf("%s: %v", access, got)
		}
	}
	for _, access := range []string{"device readwrite", "bridge readwrite"} {
		if got := topics[access]; len(got) > 0 {
			t.Errorf("%s: %v", access, got)
		}
	}
}
