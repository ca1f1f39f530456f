package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestApply applies the patches to the sources, so that whoever changes those sees it at once.
func TestApply(t *testing.T) {
	root, err := repositoryRoot(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	all, err := readMutants(".")
	if err != nil || len(all) == 0 {
		t.Fatalf("%d mutants: %v", len(all), err)
	}
	for _, m := range all {
		t.Run(m.name, func(t *testing.T) {
			path, err := m.overlay(t.Context(), root, t.TempDir())
			if err != nil {
				t.Fatal(err)
			}
			for _, file := range m.files {
				before, err := os.ReadFile(filepath.Join(root, file))
				if err != nil {
					t.Fatal(err)
				}
				after, err := os.ReadFile(filepath.Join(filepath.Dir(path), file))
				if err != nil || string(after) == string(before) {
					t.Errorf("%s is not changed: %v", file, err)
				}
			}
		})
	}
}

func TestParseMutant(t *testing.T) {
	const diff = "--- a/x.go\n+++ b/x.go\n@@ -1 +1 @@\n-a\n+b\n"
	for name, text := range map[string]string{
		"no promise":        "Test: ./x\n\n" + diff,
		"no test":           "Promise: p\n\n" + diff,
		"no diff":           "Promise: p\nTest: ./x\n\n",
		"an unknown header": "Promise: p\nTest: ./x\nTests: ./y\n\n" + diff,
		"no empty line":     "Promise: p\nTest: ./x\n" + diff,
	} {
		if m, err := parseMutant([]byte(text)); err == nil {
			t.Errorf("%s: %+v", name, m)
		}
	}
	m, err := parseMutant([]byte("Promise: p: q\nTest: ./x -run ^A$\nTest: ./y\n\n" + diff))
	if err != nil || m.promise != "p: q" || strings.Join(m.tests, "|") != "./x -run ^A$|./y" || len(m.files) != 1 {
		t.Errorf("%+v, %v", m, err)
	}
}

// TestGuarantees compares docs/guarantees.md with the mutants: it names each of them, and no others.
func TestGuarantees(t *testing.T) {
	root, err := repositoryRoot(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	page, err := os.ReadFile(filepath.Join(root, "docs/guarantees.md"))
	if err != nil {
		t.Fatal(err)
	}
	all, err := readMutants(".")
	if err != nil {
		t.Fatal(err)
	}
	named := map[string]bool{}
	for line := range strings.Lines(string(page)) {
		cells := strings.Split(strings.TrimSpace(line), "|")
		if len(cells) != 5 { // no line of a table of three columns
			continue
		}
		for _, name := range strings.Split(cells[3], ",") {
			if name = strings.TrimSpace(name); strings.HasPrefix(name, "`") {
				named[strings.Trim(name, "`")] = true
			}
		}
	}
	for _, m := range all {
		if !named[m.name] {
			t.Errorf("docs/guarantees.md does not name %s", m.name)
		}
		delete(named, m.name)
	}
	for name := range named {
		t.Errorf("docs/guarantees.md names %s, and there is no such mutant", name)
	}
}
