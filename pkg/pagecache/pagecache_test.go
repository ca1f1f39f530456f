package pagecache_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/telltale-iot/telltale/pkg/pagecache"
)

// TestDrop has a healthy disk: nothing changes. One that loses writes is in deploy/acceptance/faults.
func TestDrop(t *testing.T) {
	path := filepath.Join(t.TempDir(), "file")
	if err := pagecache.Drop(path); err != nil {
		t.Errorf("of a file that is not there: %v", err)
	}
	if err := os.WriteFile(path, []byte("content"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := pagecache.Drop(path); err != nil {
		t.Error(err)
	}
	if got, err := os.ReadFile(path); err != nil || string(got) != "content" {
		t.Errorf("the file has %q, %v", got, err)
	}
}
