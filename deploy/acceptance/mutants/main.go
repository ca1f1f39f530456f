// Command mutants checks that the tests would notice if a promise were broken. Each .patch file in this folder
// breaks one, by a line or two, and names the tests that must fail then:
//
//	Promise: an acknowledged record is on all in-sync replicas
//	Test: ./pkg/kafka/producer -run ^TestProducerDurability$
//
//	--- a/pkg/kafka/producer/request.go
//	…
//
// The tests first run on the sources as they are, and must pass. Then each mutant is laid over the sources (the
// go command's -overlay, so that no file is touched, and programs that a test builds have it too), and its
// tests must fail, by an assertion or by running out of time. A mutant that survives, does not compile, or no
// longer applies fails the run. docs/guarantees.md is the table of promises; TestGuarantees holds it
// against the patches.
package main

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"regexp"
	"strings"
	"time"
)

// testTime bounds one mutant's tests: an endless wait is how some broken promises show.
const testTime = 3 * time.Minute

func main() {
	pattern := flag.String("mutant", "", "only those whose names match this regular expression")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, *pattern); err != nil {
		fmt.Fprintln(os.Stderr, "mutants:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, pattern string) error {
	chosen, err := regexp.Compile(pattern)
	if err != nil {
		return fmt.Errorf("-mutant: %w", err)
	}
	root, err := repositoryRoot(ctx)
	if err != nil {
		return err
	}
	all, err := readMutants(filepath.Join(root, "deploy/acceptance/mutants"))
	if err != nil {
		return err
	}
	var bad []string
	ran := 0
	sound := map[string]error{} // by test: what it says of the sources as they are
	for _, m := range all {
		if !chosen.MatchString(m.name) {
			continue
		}
		ran++
		begin := time.Now()
		verdict := m.try(ctx, root, sound)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		word := "killed"
		if verdict != nil {
			word = "FAILED"
			bad = append(bad, m.name)
		}
		fmt.Printf("%s  %-40s %5.1f s  %s\n", word, m.name, time.Since(begin).Seconds(), m.promise)
		if verdict != nil {
			fmt.Println(verdict)
		}
	}
	fmt.Printf("%d passed, %d failed\n", ran-len(bad), len(bad))
	if ran == 0 {
		return errors.New("no mutant has such a name")
	}
	if len(bad) > 0 {
		return fmt.Errorf("not killed: %s", strings.Join(bad, ", "))
	}
	return nil
}

// try returns nil when m's tests pass without it and fail with it.
func (m mutant) try(ctx context.Context, root string, sound map[string]error) error {
	for _, test := range m.tests {
		if _, known := sound[test]; !known {
			sound[test] = m.checkSound(ctx, root, test)
		}
		if err := sound[test]; err != nil {
			return err
		}
	}
	dir, err := os.MkdirTemp("", "telltale-mutant-")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	overlay, err := m.overlay(ctx, root, dir)
	if err != nil {
		return err
	}
	for _, test := range m.tests {
		out, err := goTest(ctx, root, test, "GOFLAGS=-overlay="+overlay)
		switch {
		case bytes.Contains(out, []byte("[build failed]")) || bytes.Contains(out, []byte("[setup failed]")):
			return fmt.Errorf("the mutant does not compile:\n%s", out)
		case err == nil:
			return fmt.Errorf("it survives %q", test)
		}
	}
	return nil
}

func (m mutant) checkSound(ctx context.Context, root, test string) error {
	out, err := goTest(ctx, root, test)
	if err == nil && bytes.Contains(out, []byte("[no tests to run]")) {
		err = errors.New("no test has that name")
	}
	if err != nil {
		return fmt.Errorf("%q without the mutant: %w\n%s", test, err, out)
	}
	return nil
}

// goTest runs tests of this repository that need no server.
func goTest(ctx context.Context, root, test string, settings ...string) ([]byte, error) {
	args := append([]string{"test", "-count=1", "-timeout", testTime.String()}, strings.Fields(test)...)
	cmd := exec.CommandContext(ctx, "go", args...)
	cmd.Dir = root
	for _, variable := range os.Environ() {
		if !strings.HasPrefix(variable, "TEST_") {
			cmd.Env = append(cmd.Env, variable)
		}
	}
	cmd.Env = append(cmd.Env, settings...)
	return cmd.CombinedOutput()
}

func repositoryRoot(ctx context.Context) (string, error) {
	out, err := exec.CommandContext(ctx, "go", "env", "GOWORK").Output()
	file := strings.TrimSpace(string(out))
	if err != nil || file == "" || file == "off" {
		return "", errors.Join(errors.New("find the repository: run this from within it, with its go.work"), err)
	}
	return filepath.Dir(file), nil
}
