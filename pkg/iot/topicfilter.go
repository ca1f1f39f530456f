package iot

import (
	"fmt"
	"strings"
)

// MaxTopic is how many bytes an MQTT topic, or a filter for topics, has at most.
const MaxTopic = 65535

// TopicFilter selects MQTT topics: + stands for one level, and # at the end for all that follow, also where a topic begins
// with $. "" selects none.
type TopicFilter string

// ParseTopicFilter returns s as a filter, or ErrInvalid.
func ParseTopicFilter(s string) (TopicFilter, error) {
	levels := strings.Split(s, "/")
	for i, level := range levels {
		if strings.ContainsAny(level, "+#") && level != "+" && (level != "#" || i < len(levels)-1) {
			return "", fmt.Errorf("filter %.40q: %w", s, ErrInvalid)
		}
	}
	if s == "" || len(s) > MaxTopic || strings.IndexByte(s, 0) >= 0 {
		return "", fmt.Errorf("filter %.40q: %w", s, ErrInvalid)
	}
	return TopicFilter(s), nil
}

// Selects reports whether topic is one of those.
func (f TopicFilter) Selects(topic string) bool {
	filter := string(f)
	for {
		want, wants, goesOn := strings.Cut(filter, "/")
		if want == "#" {
			return true
		}
		level, levels, more := strings.Cut(topic, "/")
		switch {
		case f == "" || want != "+" && want != level:
			return false
		case !more:
			return !goesOn || wants == "#"
		case !goesOn:
			return false
		}
		filter, topic = wants, levels
	}
}
