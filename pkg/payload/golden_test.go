package payload_test

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

	"github.com/telltale-iot/telltale/pkg/payload"
)

var update = flag.Bool("update", false, "write what Decode returns into testdata")

// TestGolden decodes the messages in testdata/*.txtar. In each section, a line at the margin is a message
// (a Go string literal behind "go:" where it is no line of text), and the lines indented below it are what
// becomes of it. The section's name is how the messages arrived: "device=42 retained". The device may be a Go string
// literal too.
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
			for i := range archive.Files {
				section := &archive.Files[i]
				got := decodeSection(t, section.Name, section.Data)
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

// decodeSection returns a section's messages with what Decode makes of each.
func decodeSection(t *testing.T, name string, section []byte) []byte {
	t.Helper()
	m := payload.Message{Received: time.Date(2026, 1, 2, 3, 4, 6, 0, time.UTC)}
	for _, setting := range strings.Fields(name) {
		switch key, value, _ := strings.Cut(setting, "="); key {
		case "device":
			if m.DeviceID = value; strings.HasPrefix(value, `"`) {
				m.DeviceID, _ = strconv.Unquote(value)
			}
		case "retained":
			m.Retained = true
		}
	}
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
		writeDecoded(&b, m)
	}
	return b.Bytes()
}

func writeDecoded(b *bytes.Buffer, m payload.Message) {
	readings, rejections := payload.Decode(m, nil)
	for _, r := range readings {
		fmt.Fprintf(b, "\t%d", r.Device)
		if r.Key != "" {
			fmt.Fprintf(b, " %q", r.Key)
		}
		fmt.Fprintf(b, " at %s by %s", r.At.Format("2006-01-02T15:04:05.000Z07:00"), r.Stamped)
		if r.Said != "" {
			fmt.Fprintf(b, " for %q", r.Said)
		}
		fmt.Fprint(b, ":")
		for _, metric := range r.Metrics {
			fmt.Fprintf(b, " %s=%v", printable(metric.Name), metric.Value)
		}
		for _, a := range r.Attributes {
			fmt.Fprintf(b, " %s=%q", printable(a.Name), a.Value)
		}
		fmt.Fprintln(b)
	}
	for _, r := range rejections {
		fmt.Fprintf(b, "\t%s", r.Reason)
		if r.Device != 0 {
			fmt.Fprintf(b, " of %d", r.Device)
		}
		fmt.Fprintf(b, ": %s", r.Detail)
		if !bytes.Equal(r.Bytes, m.Payload) {
			fmt.Fprintf(b, "  <- %s", strings.ToValidUTF8(string(r.Bytes), "?"))
		}
		fmt.Fprintln(b)
	}
}

// printable quotes a name that would be hard to read.
func printable(name string) string {
	if quoted := strconv.Quote(name); quoted != `"`+name+`"` || strings.ContainsAny(name, " =:") {
		return quoted
	}
	return name
}
