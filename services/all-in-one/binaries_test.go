package main

import (
	"context"
	"log"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"go.uber.org/goleak"

	"github.com/telltale-iot/telltale/deploy/acceptance/process"
)

// binDir takes the programs that tests run as processes of their own.
var binDir string

func TestMain(m *testing.M) {
	var err error
	if binDir, err = os.MkdirTemp("", "telltale-test-"); err != nil {
		log.Fatal(err)
	}
	goleak.VerifyTestMain(m, goleak.Cleanup(func(code int) {
		_ = os.RemoveAll(binDir)
		os.Exit(code)
	}))
}

var programs = []string{"mqtt-bridge", "ingest-writer", "cache-updater", "query-api", "all-in-one", "simulator"}

var build = sync.OnceValue(func() error { return process.Build(context.Background(), binDir, programs...) })

// binary returns the path of the program that service builds. All are built once.
func binary(t *testing.T, service string) string {
	t.Helper()
	if err := build(); err != nil {
		t.Fatal(err)
	}
	return filepath.Join(binDir, service)
}
