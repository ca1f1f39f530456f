package examples

import (
	"os"
	"os/exec"
	"regexp"
	"strings"
	"testing"
	"time"
)

// checkExports runs what the README says of getting data out, and compares the files of all formats, as pandas, PyArrow and
// DuckDB read them: those before a moment, which are all stored.
func checkExports(t *testing.T, url string, until time.Time) {
	t.Helper()
	text, err := os.ReadFile("../../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	before := "&until=" + until.UTC().Format("2006-01-02T15:04:05.000Z")
	readme := strings.NewReplacer("http://127.0.0.1:8000", url, "&device_id=42", "",
		"format=csv", "format=csv"+before, "format=parquet", "format=parquet"+before).Replace(string(text))
	fenced := func(language string) string {
		block := regexp.MustCompile("(?s)```" + language + "\n(.*?)```").FindStringSubmatch(readme)
		if block == nil {
			t.Fatalf("README.md has no %s", language)
		}
		return block[1]
	}
	dir, python := t.TempDir(), absolute(t, ".venv/bin/python")
	commands := regexp.MustCompile(`(?m)^    curl .*/api/readings/export/.*$`).FindAllString(readme, -1)
	for _, command := range [][]string{
		{"sh", "-ec", strings.Join(commands, "\n")},
		{python, "-c", fenced("python")},
		{python, absolute(t, "testdata/exports.py"), url + "/api/readings/export/?format=ndjson" + before, fenced("sql")},
	} {
		cmd := exec.CommandContext(t.Context(), command[0], command[1:]...)
		cmd.Dir = dir
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Errorf("%q: %v\n%s", command, err, out)
		}
	}
}
