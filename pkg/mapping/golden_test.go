package mapping_test

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/telltale-iot/telltale/pkg/internal/decode/decodetest"
	"github.com/telltale-iot/telltale/pkg/mapping"
)

var received = time.Date(2026, 11, 27, 2, 0, 0, 0, time.UTC)

// TestGolden decodes the messages in testdata/*.txtar, as package decodetest says, with the rules in a file's section
// rules.yaml, and otherwise with all presets; a section "load" and a file's name loads that. The name of any other section
// is a topic and how the messages arrived: "tele/x/SENSOR retained".
func TestGolden(t *testing.T) {
	decodetest.Golden(t, func(t *testing.T) func(*testing.T, decodetest.Section) []byte {
		set := load(t)
		return func(t *testing.T, section decodetest.Section) []byte {
			t.Helper()
			if section.Name == "rules.yaml" {
				set = loadText(t, string(section.Text))
				return nil
			}
			if name, ok := strings.CutPrefix(section.Name, "load "); ok {
				set = load(t, name)
				return nil
			}
			topic, flags, _ := strings.Cut(section.Name, " ")
			return section.Decode(t, func(b *bytes.Buffer, message []byte) {
				writeDecoded(b, set, topic, mapping.Message{Payload: message, Received: received, Retained: flags == "retained"})
			})
		}
	})
}

// TestExamplesAreDecoded: each file in examples/mappings has messages in testdata/examples.txtar.
func TestExamplesAreDecoded(t *testing.T) {
	cases, err := os.ReadFile("testdata/examples.txtar")
	if err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob("../../examples/mappings/*")
	if err != nil || len(files) == 0 {
		t.Fatalf("examples %v, %v", files, err)
	}
	for _, file := range files {
		if !strings.Contains(string(cases), "-- load "+file+" --\n") {
			t.Errorf("%s is in no case", file)
		}
	}
}

func load(t testing.TB, names ...string) *mapping.Set {
	t.Helper()
	set, err := mapping.Load(names, berlin(t))
	if err != nil {
		t.Fatal(err)
	}
	return set
}

func loadText(t testing.TB, text string) *mapping.Set {
	t.Helper()
	set, err := mapping.Parse("rules.yaml", []byte(text), berlin(t))
	if err != nil {
		t.Fatal(err)
	}
	return set
}

func berlin(t testing.TB) *time.Location {
	t.Helper()
	zone, err := time.LoadLocation("Europe/Berlin")
	if err != nil {
		t.Fatal(err)
	}
	return zone
}

// decode returns what becomes of a message.
func decode(set *mapping.Set, topic string, m mapping.Message) (result mapping.Result, matched bool) {
	route, ok := set.Match(topic)
	if !ok {
		return result, false
	}
	var d mapping.Decoder
	for d.Start(route, m); d.More(); {
		d.Next(&result)
	}
	return result, true
}

func writeDecoded(b *bytes.Buffer, set *mapping.Set, topic string, m mapping.Message) {
	result, ok := decode(set, topic, m)
	switch {
	case !ok:
		fmt.Fprintln(b, "\tno rule for the topic")
	case len(result.Readings)+len(result.Rejected) == 0:
		fmt.Fprintln(b, "\tno reading")
	}
	const special = " ="
	for _, r := range result.Readings {
		device := r.Device.String()
		if r.Key != "" {
			device = r.Key
		}
		fmt.Fprintf(b, "\t%s at %s by %s:", decodetest.Printable(device, special), r.At.Format(decodetest.TimeFormat), r.Stamped)
		if r.Said != "" {
			fmt.Fprintf(b, " (it said %q)", r.Said)
		}
		decodetest.WriteMembers(b, r, special)
	}
	for _, r := range result.Rejected {
		fmt.Fprintf(b, "\t%s", r.Reason)
		decodetest.WriteRejection(b, r, m.Payload)
	}
	decodetest.WriteOmitted(b, result.Omitted, special)
}
