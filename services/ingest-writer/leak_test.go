package main

import (
	"os"
	"testing"

	"go.uber.org/goleak"
)

// TestMain runs the tests, or is a process of one of them.
func TestMain(m *testing.M) {
	if os.Getenv(asProcess) == "1" {
		main()
	}
	goleak.VerifyTestMain(m)
}
