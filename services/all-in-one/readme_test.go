package main

import (
	"flag"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/telltale-iot/telltale/pkg/settings"
)

var update = flag.Bool("update", false, "write the tables and lists that the documents have of what is there")

// services are the first of programs, for which the table has one word.
var services = programs[:4]

// TestReadmeSettings compares the table in services/SETTINGS.md with what the programs say of themselves: it is
// the one that is made of every program's --help. With -update it is written.
func TestReadmeSettings(t *testing.T) {
	const file = "../SETTINGS.md"
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	const head = "| variable | default | read by | what |\n|---|---|---|---|\n"
	before, after, ok := strings.Cut(string(text), head)
	if !ok {
		t.Fatalf("%s has no table with the head\n%s", file, head)
	}
	have, rest, ok := strings.Cut(after, "\n\n")
	if !ok {
		have, rest = strings.TrimSuffix(after, "\n"), ""
	}
	want := strings.Join(settingsTable(t), "\n")
	if have == want {
		return
	}
	if *update {
		text := before + head + want + "\n"
		if rest != "" {
			text += "\n" + rest
		}
		if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	haveRows, wantRows := strings.Split(have, "\n"), strings.Split(want, "\n")
	for _, row := range haveRows {
		if !slices.Contains(wantRows, row) {
			t.Errorf("not what --help says: %s", row)
		}
	}
	for _, row := range wantRows {
		if !slices.Contains(haveRows, row) {
			t.Errorf("missing:              %s", row)
		}
	}
	t.Errorf("go test ./services/all-in-one -run TestReadmeSettings -update writes the table of %s", file)
}

// TestVariables compares the list of package settings, by which a mistyped variable is known, with what the programs
// say of themselves. With -update it is written.
func TestVariables(t *testing.T) {
	const file = "../../pkg/settings/variables.txt"
	var all []*aSetting
	for _, program := range programs {
		all = addSettings(all, program, helpOf(t, program))
	}
	names := []string{"TELLTALE_URL", "TELLTALE_TOKEN", "TELLTALE_CA_FILE"} // of the program telltale, whose other settings are flags
	for _, s := range all {
		names = append(names, s.variable)
	}
	slices.Sort(names)
	want := strings.Join(slices.Compact(names), "\n") + "\n"
	if *update {
		if err := os.WriteFile(file, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if have, err := os.ReadFile(file); err != nil || string(have) != want {
		t.Errorf("%v; go test ./services/all-in-one -run TestVariables -update writes %s", err, file)
	}
}

// ofCompose are variables that docker compose and its scripts read, and hand to no program under that name.
var ofCompose = map[string]bool{"TELLTALE_ADMIN_TOKEN": true, "TELLTALE_DEVICE_SECRET": true, "TELLTALE_GRAFANA_TOKEN": true}

// TestNoFalseAlarms takes every name in capitals from the files that set variables for one program or another.
func TestNoFalseAlarms(t *testing.T) {
	name := regexp.MustCompile(`\b[A-Z][A-Z0-9]*(?:_[A-Z0-9]+)+\b`)
	files := []string{"../../docker-compose.yml", "../../.env.example", "../../Makefile"}
	for _, pattern := range []string{"../../k8s/*/*", "../../k8s/*/*/*", "../../deploy/*", "../../deploy/*/*"} {
		more, err := filepath.Glob(pattern)
		if err != nil {
			t.Fatal(err)
		}
		files = append(files, more...)
	}
	environ := map[string]bool{}
	for _, file := range files {
		if info, err := os.Stat(file); err != nil || info.IsDir() || filepath.Ext(file) == ".json" {
			continue
		}
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, variable := range name.FindAllString(string(text), -1) {
			if !ofCompose[variable] {
				environ[variable+"=x"] = true
			}
		}
	}
	if strays := settings.Strays(slices.Collect(maps.Keys(environ))); len(strays) > 0 || len(environ) < 50 {
		t.Errorf("of %d variables, taken for mistakes: %+v", len(environ), strays)
	}
}

// helpOf returns what program --help prints.
func helpOf(t *testing.T, program string) string {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), binary(t, program), "--help").Output()
	if err != nil {
		t.Fatalf("%s --help: %v", program, err)
	}
	return string(out)
}

// aSetting is what the programs say of a variable. Where they say different things, each is one of its own.
type aSetting struct {
	variable, what string
	defaults       map[string]string // by program
}

// settingsTable returns the rows of the table.
func settingsTable(t *testing.T) []string {
	t.Helper()
	var all []*aSetting
	for _, program := range programs {
		all = addSettings(all, program, helpOf(t, program))
		if !slices.ContainsFunc(all, func(s *aSetting) bool { _, ok := s.defaults[program]; return ok }) {
			t.Fatalf("%s --help names no variables", program)
		}
	}
	var rows []string
	likeIt := map[string]string{} // readers → the first variable that has them
	for len(all) > 0 {
		first := all[0]
		suffix := tlsFile.FindString(first.variable)
		var row []*aSetting // those that the next row is for
		for _, s := range all {
			if s == first || suffix != "" && strings.HasSuffix(s.variable, suffix) && s.what == first.what {
				row = append(row, s)
			}
		}
		rows = append(rows, rowOf(row, suffix, likeIt))
		all = slices.DeleteFunc(all, func(s *aSetting) bool { return slices.Contains(row, s) })
	}
	return rows
}

// tlsFile matches the end of variables that several servers have, each with its own name before it.
var tlsFile = regexp.MustCompile(`_(CA|CERT|KEY)_FILE$`)

var (
	flagBegins = regexp.MustCompile(`(?m)^  --`)
	// name, its =value where it takes one, what it means, its variable; in one line
	flagWithVariable = regexp.MustCompile(`^[a-z-]+(=\S+)? (.*) \(\$([A-Z_]+)\)`)
	placeholder      = regexp.MustCompile(`^=(VALUE|FILE|N)$`)
)

// addSettings adds to all what help, of program, says of each flag that has a variable. Those of a variable
// stay together.
func addSettings(all []*aSetting, program, help string) []*aSetting {
	for _, text := range flagBegins.Split(help, -1)[1:] {
		m := flagWithVariable.FindStringSubmatch(strings.Join(strings.Fields(text), " "))
		if m == nil {
			continue // a flag alone
		}
		value, what, variable := m[1], strings.TrimSuffix(m[2], "."), m[3]
		switch {
		case value == "":
			value = "`false`"
		case placeholder.MatchString(value):
			value = "none"
		default:
			value = "`" + value[1:] + "`"
		}
		at := len(all)
		for i, s := range all {
			if s.variable != variable {
				continue
			}
			if at = i + 1; s.what == what {
				break
			}
		}
		if at == 0 || all[at-1].variable != variable || all[at-1].what != what {
			all = slices.Insert(all, at, &aSetting{variable, what, map[string]string{}})
			at++
		}
		all[at-1].defaults[program] = value
	}
	return all
}

// rowOf returns the row of one setting, or of those that are alike but for what is before suffix. Who reads
// these is said once: likeIt is the rows that have said it.
func rowOf(row []*aSetting, suffix string, likeIt map[string]string) string {
	if len(row) == 1 {
		s := row[0]
		return tableRow("`"+s.variable+"`", defaultsOf(s.defaults), readers(s.defaults), s.what)
	}
	all, by := map[string]string{}, []string(nil)
	for _, s := range row {
		by = append(by, fmt.Sprintf("`%s`: %s", strings.TrimSuffix(s.variable, suffix), readers(s.defaults)))
		maps.Copy(all, s.defaults) // they are files, and have none
	}
	variable, readBy := "`…"+suffix+"`", strings.Join(by, "; ")
	if first, ok := likeIt[readBy]; ok {
		readBy = "as " + first
	} else {
		likeIt[readBy] = variable
	}
	return tableRow(variable, defaultsOf(all), readBy, row[0].what)
}

func tableRow(cells ...string) string {
	return "| " + strings.NewReplacer("<", "&lt;").Replace(strings.Join(cells, " | ")) + " |"
}

// readers names the programs that have a default.
func readers(defaults map[string]string) string {
	var names []string
	for _, program := range programs {
		if _, ok := defaults[program]; ok {
			names = append(names, program)
		}
	}
	switch {
	case len(names) == len(programs):
		return "all"
	case len(names) >= len(services) && slices.Equal(names[:len(services)], services):
		names = append([]string{"services"}, names[len(services):]...)
	}
	return strings.Join(names, ", ")
}

// defaultsOf is the default that the programs have, or each with those that have it.
func defaultsOf(defaults map[string]string) string {
	by := map[string]map[string]string{} // value → the programs with it
	var order []string
	for _, program := range programs {
		value, ok := defaults[program]
		if !ok {
			continue
		}
		if by[value] == nil {
			by[value] = map[string]string{}
			order = append(order, value)
		}
		by[value][program] = value
	}
	cell := order[0]
	for _, value := range order[1:] {
		cell += "; " + readers(by[value]) + ": " + value
	}
	return cell
}
