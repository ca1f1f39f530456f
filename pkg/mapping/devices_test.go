package mapping_test

import (
	"bytes"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/telltale-iot/telltale/pkg/internal/decode/decodetest"
	"github.com/telltale-iot/telltale/pkg/mapping"
)

const devicesPage = "../../docs/devices.md"

// TestDevicesPage: docs/devices.md has the presets and their topics, and its messages become what it says. A block of text
// is a topic with its messages, as in testdata; they are read by all presets, and behind a rule by that one.
func TestDevicesPage(t *testing.T) {
	text, err := os.ReadFile(devicesPage)
	if err != nil {
		t.Fatal(err)
	}
	t.Run("presets", func(t *testing.T) {
		var names []string
		for _, row := range regexp.MustCompile("(?m)^\\| `([^`]+)` \\| .* \\| (.*) \\|$").FindAllSubmatch(text, -1) {
			name := string(row[1])
			names = append(names, name)
			var topics []string
			for _, m := range regexp.MustCompile("`([^`]+)`").FindAllSubmatch(row[2], -1) {
				topics = append(topics, string(m[1]))
			}
			if diff := cmp.Diff(filtersOf(t, name), topics); diff != "" {
				t.Errorf("topics of %s (-preset +page):\n%s", name, diff)
			}
		}
		if diff := cmp.Diff(mapping.Presets, names); diff != "" {
			t.Errorf("presets (-program +page):\n%s", diff)
		}
	})
	set, err := mapping.Load(nil, time.UTC)
	if err != nil {
		t.Fatal(err)
	}
	tried := map[string]bool{} // presets, by their examples
	for _, block := range regexp.MustCompile("(?ms)^```(text|yaml)\n(.*?)^```$").FindAllSubmatch(text, -1) {
		if string(block[1]) == "yaml" {
			if bytes.HasPrefix(block[2], []byte("- name:")) {
				set = loadText(t, string(block[2]))
			}
			continue
		}
		topic, messages, _ := strings.Cut(string(block[2]), "\n")
		route, ok := set.Match(topic)
		if !ok {
			t.Errorf("no rule reads %s", topic)
			continue
		}
		for _, name := range mapping.Presets {
			if strings.HasPrefix(route.Rule(), name) {
				tried[name] = true
			}
		}
		section := decodetest.Section{Name: topic, Text: []byte(messages)}
		got := section.Decode(t, func(b *bytes.Buffer, message []byte) {
			writeDecoded(b, set, topic, mapping.Message{Payload: message, Received: received, Ordered: true})
		})
		if diff := cmp.Diff(messages, string(got)); diff != "" {
			t.Errorf("%s (-page +program):\n%s", topic, diff)
		}
	}
	for _, name := range mapping.Presets {
		if !tried[name] {
			t.Errorf("no message of %s", name)
		}
	}
}

// filtersOf returns the filters of a preset, those of shellies/ as one.
func filtersOf(t *testing.T, name string) []string {
	filters := load(t, name).Filters()
	for i, f := range filters {
		if strings.HasPrefix(f, "shellies/") {
			filters[i] = "shellies/…"
		}
	}
	return slices.Compact(filters)
}
