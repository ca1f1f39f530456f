package main

import (
	"os"
	"os/exec"
	"regexp"
	"strings"
	"testing"
)

// TestReadmeSettings holds the README's tables of settings against what the programs say themselves: for
// each program the same variables, with defaults that stand in --help.
func TestReadmeSettings(t *testing.T) {
	text, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, service := range programs {
		t.Run(service, func(t *testing.T) {
			out, err := exec.CommandContext(t.Context(), binary(t, service), "--help").Output()
			if err != nil {
				t.Fatal(err)
			}
			help, rows := settingsOf(string(out)), rowsOf(t, string(text), service)
			if len(help) == 0 {
				t.Fatal("--help names no variables")
			}
			for variable, flag := range help {
				if _, ok := rows[variable]; !ok {
					t.Errorf("%s is not in the README; --help says:\n%s", variable, flag)
				}
			}
			for variable, value := range rows {
				flag, ok := help[variable]
				if !ok {
					t.Errorf("%s is in the README and not in --help", variable)
				} else if value != "none" && !strings.Contains(flag, strings.Trim(value, "`")) {
					t.Errorf("%s: the README says %s, --help says:\n%s", variable, value, flag)
				}
			}
		})
	}
}

var (
	flagBegins = regexp.MustCompile(`(?m)^ +(-\w, )?--`)
	variableOf = regexp.MustCompile(`\(\$([A-Z_]+)\)`)
)

// settingsOf returns what help says of each flag that has a variable, by variable, in one line.
func settingsOf(help string) map[string]string {
	settings := map[string]string{}
	for _, flag := range flagBegins.Split(help, -1) {
		flag = strings.Join(strings.Fields(flag), " ")
		if m := variableOf.FindStringSubmatch(flag); m != nil {
			settings[m[1]] = flag
		}
	}
	return settings
}

// rowsOf returns the defaults in the table behind the heading of service: | `VARIABLE` | default | …
func rowsOf(t *testing.T, readme, service string) map[string]string {
	t.Helper()
	_, section, ok := strings.Cut(readme, "\n### "+service+"\n")
	if !ok {
		t.Fatalf("the README has no section of settings for %s", service)
	}
	section, _, _ = strings.Cut(section, "\n#")
	rows := map[string]string{}
	for line := range strings.Lines(section) {
		if cells := strings.Split(line, "|"); len(cells) > 3 && strings.Contains(cells[1], "`") {
			rows[strings.Trim(cells[1], " `")] = strings.TrimSpace(cells[2])
		}
	}
	return rows
}
