package iot_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/telltale-iot/telltale/pkg/iot"
)

func TestTopicFilter(t *testing.T) {
	for _, c := range []struct {
		filter   string
		selects  []string
		excludes []string
	}{
		{"a/b", []string{"a/b"}, []string{"a", "a/b/", "/a/b", "A/b", "a/bc", "a/b/c", ""}},
		{"+", []string{"a", "", "$SYS", "ä"}, []string{"a/", "/", "a/b"}},
		{"a/+/c", []string{"a/b/c", "a//c", "a/b.*\n/c"}, []string{"a/c", "a/b/b/c", "a/b/c/d"}},
		{"a/+", []string{"a/b", "a/"}, []string{"a", "a/b/c"}},
		{"#", []string{"", "a", "a/b", "/", "$SYS/x"}, nil},
		{"a/#", []string{"a", "a/", "a/b", "a/b/c"}, []string{"ab", "b/a"}},
		{"a/+/#", []string{"a/", "a/b", "a/b/c"}, []string{"a", "b/b"}},
		{"a.b/+", []string{"a.b/c"}, []string{"aXb/c"}},
		{`(\E[`, []string{`(\E[`}, []string{`\E[`}},
	} {
		f, err := iot.ParseTopicFilter(c.filter)
		if err != nil {
			t.Fatal(err)
		}
		for _, topic := range c.selects {
			if !f.Selects(topic) {
				t.Errorf("%q does not select %q", f, topic)
			}
		}
		for _, topic := range c.excludes {
			if f.Selects(topic) {
				t.Errorf("%q selects %q", f, topic)
			}
		}
	}
	if iot.TopicFilter("").Selects("") {
		t.Error("no filter selects a topic")
	}
	for _, wrong := range []string{"", "a+", "+a/b", "#/a", "a/#/b", "a#", "a\x00b", "++", strings.Repeat("a", iot.MaxTopic+1)} {
		if f, err := iot.ParseTopicFilter(wrong); !errors.Is(err, iot.ErrInvalid) || f != "" {
			t.Errorf("ParseTopicFilter(%.40q) = %q, %v; want ErrInvalid", wrong, f, err)
		}
	}
}
