package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
)

// mutant is one .patch file.
type mutant struct {
	name    string // of the file, without its ending
	promise string
	tests   []string // arguments of go test; each line must fail
	diff    []byte   // unified, as git apply takes it
	files   []string // that it changes, from the root
}

// readMutants returns those in dir, by name.
func readMutants(dir string) ([]mutant, error) {
	paths, err := filepath.Glob(filepath.Join(dir, "*.patch"))
	if err != nil {
		return nil, err
	}
	var all []mutant
	for _, path := range paths {
		text, err := os.ReadFile(path)
		if err != nil {
			return nil, err
		}
		m, err := parseMutant(text)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", filepath.Base(path), err)
		}
		m.name = strings.TrimSuffix(filepath.Base(path), ".patch")
		all = append(all, m)
	}
	return all, nil
}

var changedFile = regexp.MustCompile(`(?m)^--- a/(\S+)$`)

func parseMutant(text []byte) (m mutant, err error) {
	header, diff, found := bytes.Cut(text, []byte("\n\n"))
	if !found {
		return m, errors.New("no empty line between the header and the diff")
	}
	m.diff = diff
	for line := range strings.Lines(string(header)) {
		key, value, _ := strings.Cut(strings.TrimSpace(line), ": ")
		switch key {
		case "Promise":
			m.promise = value
		case "Test":
			m.tests = append(m.tests, value)
		default:
			return m, fmt.Errorf("header %q is neither Promise nor Test", key)
		}
	}
	for _, match := range changedFile.FindAllSubmatch(diff, -1) {
		m.files = append(m.files, string(match[1]))
	}
	if m.promise == "" || len(m.tests) == 0 || len(m.files) == 0 {
		return m, errors.New("a promise, a test and a diff are needed")
	}
	return m, nil
}

// overlay makes the changed files in dir, which is empty, and returns the file that names them to the go command.
func (m mutant) overlay(ctx context.Context, root, dir string) (path string, err error) {
	replace := map[string]string{}
	for _, file := range m.files {
		source, err := os.ReadFile(filepath.Join(root, file))
		if err != nil {
			return "", err
		}
		copied := filepath.Join(dir, file)
		if err := os.MkdirAll(filepath.Dir(copied), 0o755); err != nil {
			return "", err
		}
		if err := os.WriteFile(copied, source, 0o644); err != nil {
			return "", err
		}
		replace[filepath.Join(root, file)] = copied
	}
	apply := exec.CommandContext(ctx, "git", "apply", "-")
	apply.Dir = dir
	apply.Env = append(os.Environ(), "GIT_CEILING_DIRECTORIES="+filepath.Dir(dir)) // no repository
	apply.Stdin = bytes.NewReader(m.diff)
	if out, err := apply.CombinedOutput(); err != nil {
		return "", fmt.Errorf("it does not apply to the sources any more: %w\n%s", err, out)
	}
	text, err := json.Marshal(map[string]any{"Replace": replace})
	if err != nil {
		return "", err
	}
	path = filepath.Join(dir, "overlay.json")
	return path, os.WriteFile(path, text, 0o644)
}
