package main

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// TestNamedTests looks for each test that docs/security.md names, and for each attack, in the folder that it says.
func TestNamedTests(t *testing.T) {
	page := read(t, repository+"/docs/security.md")
	folder := regexp.MustCompile("((?:[a-z-]+/)*[a-z-]+) ((?:`Test\\w+`(?:, )?)+)")
	name := regexp.MustCompile("`(\\w+)`")
	found := 0
	for _, m := range folder.FindAllStringSubmatch(page, -1) {
		var sources strings.Builder
		for _, dir := range []string{m[1], "services/" + m[1]} {
			files, err := filepath.Glob(filepath.Join(repository, dir, "*_test.go"))
			if err != nil {
				t.Fatal(err)
			}
			for _, file := range files {
				sources.WriteString(read(t, file))
			}
		}
		for _, test := range name.FindAllStringSubmatch(m[2], -1) {
			found++
			if !strings.Contains(sources.String(), "\nfunc "+test[1]+"(") {
				t.Errorf("%s has no %s", m[1], test[1])
			}
		}
	}
	attacks, err := os.ReadFile(repository + "/deploy/acceptance/attacks/rows.go")
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range regexp.MustCompile("`make attacks`: ((?:`[\\w-]+`(?:, )?)+)").FindAllStringSubmatch(page, -1) {
		for _, row := range regexp.MustCompile("`([\\w-]+)`").FindAllStringSubmatch(m[1], -1) {
			found++
			if !strings.Contains(string(attacks), `"`+row[1]+`"`) {
				t.Errorf("make attacks has no row %s", row[1])
			}
		}
	}
	if named := strings.Count(page, "`Test"); found < named {
		t.Errorf("%d tests and attacks were looked for, and %d tests are named", found, named)
	}
}
