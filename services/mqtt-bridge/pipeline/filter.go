package pipeline

import (
	"errors"
	"fmt"
	"strings"
)

// Filter is an MQTT topic filter, by level. Its first + is where a topic names the device.
type Filter []string

// Filters select the topics of readings.
type Filters []Filter

// ParseFilters parses MQTT topic filters.
func ParseFilters(list []string) (Filters, error) {
	var fs Filters
	for _, s := range list {
		f, err := parseFilter(strings.TrimSpace(s))
		if err != nil {
			return nil, fmt.Errorf("filter %q: %w", s, err)
		}
		fs = append(fs, f)
	}
	if len(fs) == 0 {
		return nil, errors.New("names no topic")
	}
	return fs, nil
}

func parseFilter(s string) (Filter, error) {
	switch {
	case s == "":
		return nil, errors.New("is empty")
	case len(s) > 65535 || strings.IndexByte(s, 0) >= 0:
		return nil, errors.New("is no MQTT topic filter")
	case strings.HasPrefix(s, "$share/"):
		return nil, errors.New("must not share by itself: set MQTT_SHARED")
	}
	f := SplitFilter(s)
	for i, level := range f {
		if len(level) > 1 && strings.ContainsAny(level, "+#") {
			return nil, errors.New("+ and # must be whole levels")
		}
		if level == "#" && i < len(f)-1 {
			return nil, errors.New("# must be the last level")
		}
	}
	return f, nil
}

// SplitFilter returns s, which must be a valid filter.
func SplitFilter(s string) Filter { return strings.Split(s, "/") }

// String returns f as MQTT writes it.
func (f Filter) String() string { return strings.Join(f, "/") }

// Match reports whether topic is one that f selects.
func (f Filter) Match(topic string) bool {
	_, ok := f.match(topic)
	return ok
}

// match reports whether topic is one that f selects, and what stands in it for the first +.
func (f Filter) match(topic string) (device string, ok bool) {
	if strings.HasPrefix(topic, "$") && (f[0] == "+" || f[0] == "#") {
		return "", false // topics of the broker itself, which wildcards leave out
	}
	rest, more, seen := topic, true, false
	for _, want := range f {
		if want == "#" {
			return device, true // also the parent level: sport/# is for sport too
		}
		if !more {
			return "", false
		}
		var level string
		level, rest, more = strings.Cut(rest, "/")
		switch {
		case want == "+" && !seen:
			device, seen = level, true
		case want != "+" && want != level:
			return "", false
		}
	}
	return device, !more
}

// match reports whether topic is one of readings, and the device id that it names: "" for none. A filter
// that names the device goes before one that does not.
func (fs Filters) match(topic string) (device string, ok bool) {
	for _, f := range fs {
		id, matches := f.match(topic)
		if matches && id != "" {
			return id, true
		}
		ok = ok || matches
	}
	return "", ok
}
