// Package decodetest runs the golden cases of decoders of messages: files testdata/*.txtar, in whose sections a line at
// the margin is a message (a Go string literal behind "go:" where it is no line of text), and the lines indented below
// it are what becomes of it.
package decodetest

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/tools/txtar"

	"github.com/telltale-iot/telltale/pkg/iot"
)

var update = flag.Bool("update", false, "write what messages become into testdata")

// Section is a section of a file: its name, and its text as the file has it.
type Section struct {
	Name string
	Text []byte
}

// Golden compares each section of each file with what a decoder of that file makes of it, as text; nil stands for a
// section without messages. With -update it writes that into the file instead.
func Golden(t *testing.T, decoder func(*testing.T) func(*testing.T, Section) []byte) {
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
			decode := decoder(t)
			for i := range archive.Files {
				section := &archive.Files[i]
				got := decode(t, Section{section.Name, section.Data})
				switch {
				case got == nil:
				case *update:
					section.Data = got
				default:
					if diff := cmp.Diff(string(section.Data), string(got)); diff != "" {
						t.Errorf("section %q (-want +got):\n%s", section.Name, diff)
					}
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

// Decode returns the messages of s, each with what write says became of it, and the comments and empty lines between
// them.
func (s Section) Decode(t *testing.T, write func(b *bytes.Buffer, message []byte)) []byte {
	t.Helper()
	b := bytes.NewBuffer([]byte{})
	for line := range strings.Lines(string(s.Text)) {
		if line = strings.TrimSuffix(line, "\n"); strings.HasPrefix(line, "\t") {
			continue
		}
		fmt.Fprintln(b, line)
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		message := []byte(line)
		if literal, ok := strings.CutPrefix(line, "go:"); ok {
			text, err := strconv.Unquote(literal)
			if err != nil {
				t.Fatalf("%s: %v", line, err)
			}
			message = []byte(text)
		}
		write(b, message)
	}
	return b.Bytes()
}

// TimeFormat is how times are written.
const TimeFormat = "2006-01-02T15:04:05.000Z07:00"

// WriteMembers ends a line with the members of r. What has one of the bytes in special is quoted.
func WriteMembers(b *bytes.Buffer, r iot.Reading, special string) {
	for _, metric := range r.Metrics {
		fmt.Fprintf(b, " %s=%v", Printable(metric.Name, special), metric.Value)
	}
	for _, a := range r.Attributes {
		fmt.Fprintf(b, " %s=%q", Printable(a.Name, special), a.Value)
	}
	fmt.Fprintln(b)
}

// WriteRejection ends a line with why r is rejected and, where that is not all of message, what of it.
func WriteRejection(b *bytes.Buffer, r iot.Rejection, message []byte) {
	fmt.Fprintf(b, ": %s", r.Detail)
	if !bytes.Equal(r.Bytes, message) {
		fmt.Fprintf(b, "  <- %s", strings.ToValidUTF8(string(r.Bytes), "?"))
	}
	fmt.Fprintln(b)
}

// WriteOmitted writes what readings are kept without.
func WriteOmitted(b *bytes.Buffer, omitted []iot.Omitted, special string) {
	for _, o := range omitted {
		fmt.Fprintf(b, "\twithout %s: %s: %s\n", Printable(o.Member, special), o.Why, o.Example)
	}
}

// Printable quotes a name that would be hard to read: one with a byte in special, too.
func Printable(name, special string) string {
	if quoted := strconv.Quote(name); quoted != `"`+name+`"` || name == "" || strings.ContainsAny(name, special) {
		return quoted
	}
	return name
}
