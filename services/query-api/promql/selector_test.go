package promql

import (
	"strings"
	"testing"
)

// TestLargePatterns: a short regular expression that stands for a very long one is refused before it takes memory for that.
func TestLargePatterns(t *testing.T) {
	for name, pattern := range map[string]string{
		"repeats":           strings.Repeat("(?:[a-z]?){1000}", 1200),
		"is long":           strings.Repeat("a", maxPattern+1),
		"has many branches": strings.Repeat("a|b.|", maxPattern/2),
	} {
		if _, err := ParseSelector(`t{name=~"` + pattern + `"}`); err == nil || !strings.Contains(err.Error(), "a shorter regular expression") {
			t.Errorf("a pattern that %s: %.200v", name, err)
		}
	}
	ids := strings.TrimSuffix(strings.Repeat("123456|", 1000), "|") // as Grafana has them of a choice of many
	for _, pattern := range []string{ids, ".*", "(?:lab|hall)-[0-9]{1,3}"} {
		if _, err := ParseSelector(`t{device_id=~"` + pattern + `"}`); err != nil {
			t.Errorf("%.50s: %v", pattern, err)
		}
	}
}
