package listen

import "strings"

// filter is an MQTT topic filter, by level.
type filter []string

// splitFilter returns s, which must be a valid filter.
func splitFilter(s string) filter { return strings.Split(s, "/") }

// String returns f as MQTT writes it.
func (f filter) String() string { return strings.Join(f, "/") }

// match reports whether topic is one that f selects.
func (f filter) match(topic string) bool {
	if strings.HasPrefix(topic, "$") && (f[0] == "+" || f[0] == "#") {
		return false // topics of the broker itself, which wildcards leave out
	}
	rest, more := topic, true
	for _, want := range f {
		if want == "#" {
			return true // also the parent level: sport/# is for sport too
		}
		if !more {
			return false
		}
		var level string
		if level, rest, more = strings.Cut(rest, "/"); want != "+" && want != level {
			return false
		}
	}
	return !more
}
