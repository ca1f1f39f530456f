package main

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
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

// documents returns every Markdown file of the repository.
func documents(t *testing.T) (files []string) {
	t.Helper()
	err := filepath.WalkDir(repository, func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && slices.Contains([]string{".git", "bin", "node_modules", "data"}, d.Name()): // not in the repository
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
