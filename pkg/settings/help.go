package settings

import (
	"cmp"
	"fmt"
	"io"
	"strings"
	"unicode/utf8"
)

const helpWidth = 100 // characters of a line, at most

const aboutFiles = "Each flag can also be set by the environment variable in parentheses. " +
	"NAME_FILE=path reads the value of NAME from a file."

// Help writes what --help of the program shows. The lines of description are wrapped, each with its
// indentation. The settings of targets are listed by their groups.
func Help(w io.Writer, program, description string, targets ...any) {
	text := new(strings.Builder)
	fmt.Fprintf(text, "Usage: %s [flags]\n\n", program)
	for line := range strings.SplitSeq(description+"\n\n"+aboutFiles, "\n") {
		words := strings.TrimLeft(line, " ")
		wrap(text, line[:len(line)-len(words)], words)
	}
	group, heading := "", "Flags" // of the settings in no group, where they come first
	for i, s := range settingsOf(targets) {
		if i == 0 || s.group != group {
			group = s.group
			fmt.Fprintf(text, "\n%s:\n", cmp.Or(group, heading))
			heading = "Other flags"
		}
		s.describe(text)
	}
	_, _ = io.WriteString(w, text.String())
}

func (s *setting) describe(text *strings.Builder) {
	fmt.Fprintf(text, "  --%s", s.flag)
	if !s.isBool() {
		fmt.Fprintf(text, "=%s", cmp.Or(s.preset, s.placeholder, "VALUE"))
	}
	fmt.Fprintln(text)
	about := s.help
	if s.env != "" {
		about += " ($" + s.env + ")"
	}
	wrap(text, "      ", about)
}

// wrap writes s in lines that begin with indent.
func wrap(text *strings.Builder, indent, s string) {
	line := indent
	for word := range strings.FieldsSeq(s) {
		if line != indent && utf8.RuneCountInString(line)+1+utf8.RuneCountInString(word) > helpWidth {
			fmt.Fprintln(text, line)
			line = indent
		}
		if line != indent {
			line += " "
		}
		line += word
	}
	fmt.Fprintln(text, line)
}
