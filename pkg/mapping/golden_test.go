package mapping_test

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/tools/txtar"

	"github.com/telltale-iot/telltale/pkg/mapping"
)

var update = flag.Bool("update", false, "write what messages become into testdata")

var received = time.Date(2026, 11, 27, 2, 0, 0, 0, time.UTC)

// TestGolden decodes the messages in testdata/*.txtar, with the rules in a file's section rules.yaml, and otherwise with
// all presets; a section "load" and a file's name loads that. The name of any other section is a topic and how the messages arrived: "tele/x/SENSOR retained". In it, a
// line at the margin is a message (a Go string literal behind "go:" where it is no line of text), and the lines indented
// below it are what becomes of it.
func TestGolden(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txtar")
	if err != nil || len(files) == 0 {
		t.Fatalf("no golden files: %v", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txtar"), func(t *testing.T) {
			archive, err := txtar.ParseFile(file)
			if err != nil {
				t.Fatal(err)
			}
			set := load(t)
			for i := range archive.Files {
				section := &archive.Files[i]
				if section.Name == "rules.yaml" {
					set = loadText(t, string(section.Data))
					continue
				}
				if name, ok := strings.CutPrefix(section.Name, "load "); ok {
					set = load(t, name)
					continue
				}
				got := decodeSection(t, set, section.Name, section.Data)
				if *update {
					section.Data = got
				} else if diff := cmp.Diff(string(section.Data), string(got)); diff != "" {
					t.Errorf("section %q (-want +got):\n%s", section.Name, diff)
				}
			}
			if *update {
				if err := os.WriteFile(file, txtar.Format(archive), 0o644); err != nil {
					t.Fatal(err)
				}
			}
		})
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

// decodeSection returns a section's messages with what becomes of each.
func decodeSection(t *testing.T, set *mapping.Set, name string, section []byte) []byte {
	t.Helper()
	topic, flags, _ := strings.Cut(name, " ")
	m := mapping.Message{Received: received, Retained: flags == "retained"}
	var b bytes.Buffer
	for line := range strings.Lines(string(section)) {
		if line = strings.TrimSuffix(line, "\n"); strings.HasPrefix(line, "\t") {
			continue
		}
		fmt.Fprintln(&b, line)
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		m.Payload = []byte(line)
		if literal, ok := strings.CutPrefix(line, "go:"); ok {
			text, err := strconv.Unquote(literal)
			if err != nil {
				t.Fatalf("%s: %v", line, err)
			}
			m.Payload = []byte(text)
		}
		writeDecoded(&b, set, topic, m)
	}
	return b.Bytes()
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
	for _, r := range result.Readings {
		device := r.Device.String()
		if r.Key != "" {
			device = r.Key
		}
		fmt.Fprintf(b, "\t%s at %s by %s:", printable(device), r.At.Format("2006-01-02T15:04:05.000Z07:00"), r.Stamped)
		if r.Said != "" {
			fmt.Fprintf(b, " (it said %q)", r.Said)
		}
		for _, metric := range r.Metrics {
			fmt.Fprintf(b, " %s=%v", printable(metric.Name), metric.Value)
		}
		for _, a := range r.Attributes {
			fmt.Fprintf(b, " %s=%q", printable(a.Name), a.Value)
		}
		fmt.Fprintln(b)
	}
	for _, r := range result.Rejected {
		fmt.Fprintf(b, "\t%s: %s", r.Reason, r.Detail)
		if !bytes.Equal(r.Bytes, m.Payload) {
			fmt.Fprintf(b, "  <- %s", strings.ToValidUTF8(string(r.Bytes), "?"))
		}
		fmt.Fprintln(b)
	}
	for _, o := range result.Omitted {
		fmt.Fprintf(b, "\twithout %s: %s: %s\n", printable(o.Member), o.Why, o.Example)
	}
}

// printable quotes a name that would be hard to read.
func printable(name string) string {
	if quoted := strconv.Quote(name); quoted != `"`+name+`"` || name == "" || strings.ContainsAny(name, " =") {
		return quoted
	}
	return name
}
