package main

import (
	"log"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
)

// binDir takes the programs that tests run as processes of their own.
var binDir string

func TestMain(m *testing.M) {
	var err error
	if binDir, err = os.MkdirTemp("", "telltale-test-"); err != nil {
		log.Fatal(err)
	}
	code := m.Run()
	_ = os.RemoveAll(binDir)
	os.Exit(code)
}

var build = sync.OnceValue(func() error {
	cmd := exec.Command("go", "build", "-o", binDir, root+"services/...")
	cmd.Stderr = os.Stderr
	return cmd.Run()
})

// binary returns the path of the program that service builds. All are built once.
func binary(t *testing.T, service string) string {
	t.Helper()
	if err := build(); err != nil {
		t.Fatalf("build the services: %v", err)
	}
	return filepath.Join(binDir, service)
}
