package main

import (
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/telltale-iot/telltale/pkg/timeouts"
)

const repository = "../.."

var (
	// a link to another place, which is no address of the web
	link    = regexp.MustCompile(`\]\(([^)#:\s]*)(#[^)\s]*)?\)`)
	heading = regexp.MustCompile(`(?m)^#+ (.*)$`)
	// what a decision begins with, and its title
	decision = regexp.MustCompile(`^# \d{4}: (.+)`)
	code     = regexp.MustCompile("(?ms)^```.*?^```$|`[^`\n]*`")
)

// TestDocumentLinks follows the links between the documents, to headings too, and to the code.
func TestDocumentLinks(t *testing.T) {
	links := 0
	for _, file := range documents(t) {
		for _, m := range link.FindAllStringSubmatch(code.ReplaceAllString(read(t, file), ""), -1) {
			links++
			target := file
			if m[1] != "" {
				target = filepath.Join(filepath.Dir(file), m[1])
			}
			if _, err := os.Stat(target); err != nil {
				t.Errorf("%s: %v", file, err)
			} else if m[2] != "" && !hasHeading(read(t, target), m[2]) {
				t.Errorf("%s: %s has no heading %s", file, target, m[2])
			}
		}
	}
	if links < 50 {
		t.Errorf("only %d links were found", links)
	}
}

// hasHeading reports whether one of text's headings has the anchor that GitHub gives it.
func hasHeading(text, anchor string) bool {
	for _, m := range heading.FindAllStringSubmatch(text, -1) {
		words := regexp.MustCompile(`[^\p{L}\p{N} _-]`).ReplaceAllString(strings.ToLower(m[1]), "")
		if "#"+strings.ReplaceAll(words, " ", "-") == anchor {
			return true
		}
	}
	return false
}

// TestDecisions compares the list of the decisions with their files. With -update it is written.
func TestDecisions(t *testing.T) {
	const list = repository + "/docs/adr/README.md"
	have := read(t, list)
	intro, _, _ := strings.Cut(have, "\n- [")
	files, err := filepath.Glob(filepath.Dir(list) + "/[0-9]*.md")
	if err != nil {
		t.Fatal(err)
	}
	want := intro + "\n"
	for _, file := range files {
		name := filepath.Base(file)
		title := decision.FindStringSubmatch(read(t, file))
		if title == nil {
			t.Fatalf("%s does not begin with # NNNN: and a title", name)
		}
		want += "- [" + name[:4] + "](" + name + ") " + title[1] + "\n"
	}
	if *update {
		if err := os.WriteFile(list, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
	} else if have != want {
		t.Errorf("go test ./services/all-in-one -run TestDecisions -update writes %s", list)
	}
}

// TestInstallTable compares the table of folders and ports in docs/install.md with the settings.
func TestInstallTable(t *testing.T) {
	text, rows := read(t, repository+"/docs/install.md"), 0
	for _, f := range reflect.VisibleFields(reflect.TypeFor[command]()) {
		name, preset := f.Tag.Get("env"), f.Tag.Get("default")
		if !strings.HasSuffix(name, "_DIR") && !strings.HasSuffix(name, "_ADDR") || preset == "" {
			continue
		}
		rows++
		if row := "\n| `" + name + "` | `" + preset + "` | "; strings.Count(text, row) != 1 {
			t.Errorf("docs/install.md has no row%s", row)
		}
	}
	if n := strings.Count(text, "\n| `"); n != rows {
		t.Errorf("docs/install.md has %d rows, and there are %d settings", n, rows)
	}
}

// TestImageNames: whoever has a registry of his own names it once, in deploy/images/images.env or by a variable.
func TestImageNames(t *testing.T) {
	names := map[string]string{}
	for line := range strings.Lines(read(t, repository+"/deploy/images/images.env")) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), "=")
		names[name] = value
	}
	registry, tag := names["IMAGE_REGISTRY"], names["IMAGE_TAG"]
	ours := regexp.MustCompile(`(?m)image: (\S*/(?:mqtt-bridge|ingest-writer|cache-updater|query-api|simulator|all-in-one)):(\S+)`)
	manifests, err := filepath.Glob(repository + "/k8s/*/*.yaml")
	if err != nil {
		t.Fatal(err)
	}
	found := 0
	for _, file := range append(manifests, repository+"/docker-compose.yml") {
		prefix, version := registry+"/", tag
		if filepath.Base(file) == "docker-compose.yml" {
			prefix, version = "${IMAGE_REGISTRY:-"+registry+"}/", "${IMAGE_TAG:-"+tag+"}"
		}
		for _, m := range ours.FindAllStringSubmatch(read(t, file), -1) {
			if found++; !strings.HasPrefix(m[1], prefix) || m[2] != version {
				t.Errorf("%s names the image %s:%s, and not by %s and %s", file, m[1], m[2], prefix, version)
			}
		}
	}
	if found < 9 {
		t.Errorf("only %d names were found", found)
	}
	if !strings.Contains(read(t, repository+"/Makefile"), "-registry '$(IMAGE_REGISTRY)'") {
		t.Error("make release names the image of all-in-one otherwise")
	}
}

// TestUnit has systemd look at its unit, and compares the time it gives with the one that is needed.
func TestUnit(t *testing.T) {
	const unit = repository + "/deploy/systemd/telltale.service"
	text := read(t, unit)
	m := regexp.MustCompile(`(?m)^TimeoutStopSec=(\d+)$`).FindStringSubmatch(text)
	if m == nil {
		t.Fatal("the unit does not say how long a stop may take")
	}
	if seconds, err := strconv.Atoi(m[1]); err != nil || time.Duration(seconds)*time.Second <= timeouts.Stop {
		t.Errorf("it gives %s s, and %v are needed", m[1], timeouts.Stop)
	}
	analyze, err := exec.LookPath("systemd-analyze")
	if err != nil {
		t.Skip("systemd is not here")
	}
	const program = "/usr/local/bin/all-in-one" // which need not be here
	copied := filepath.Join(t.TempDir(), "telltale.service")
	if err := os.WriteFile(copied, []byte(strings.Replace(text, program, os.Args[0], 1)), 0o600); err != nil {
		t.Fatal(err)
	}
	out, err := exec.CommandContext(t.Context(), analyze, "verify", "--man=no", copied).CombinedOutput()
	for line := range strings.Lines(string(out)) {
		if strings.Contains(line, "telltale.service") {
			t.Error(line)
		}
	}
	if err != nil && len(out) == 0 {
		t.Error(err)
	}
}

// documents returns every Markdown file of the repository.
func documents(t *testing.T) (files []string) {
	t.Helper()
	err := filepath.WalkDir(repository, func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && slices.Contains([]string{".git", "bin", "dist", "node_modules", "data"}, d.Name()): // not in the repository
			return fs.SkipDir
		case filepath.Ext(path) == ".md":
			files = append(files, path)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

func read(t *testing.T, file string) string {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}
