//go:build unix

package main

import (
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"github.com/telltale-iot/telltale/deploy/acceptance/process"
)

// TestDataIsClosed: no other user reads the data, whatever the umask is, also where the folder was there for all, with the data of a
// version that let them. What is not Telltale's stays as it is.
func TestDataIsClosed(t *testing.T) {
	t.Parallel()
	s, dir := freeAddrs(t), t.TempDir()
	foreign, before := filepath.Join(dir, "notes.txt"), filepath.Join(dir, "kafka", "before")
	for _, file := range []string{foreign, before} {
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, nil, 0o644); err != nil {
			t.Fatal(err)
		}
		for open := file; open != filepath.Dir(dir); open = filepath.Dir(open) {
			if err := os.Chmod(open, 0o755); err != nil { // whatever the umask of the test is
				t.Fatal(err)
			}
		}
	}
	spec := process.Spec{
		Binary: "/bin/sh", Flags: []string{"-c", `umask 0; exec "$0"`, binary(t, "all-in-one")},
		Settings: []string{"DATA_DIR=" + dir, "TLS=self"}, Log: filepath.Join(t.TempDir(), "log"),
	}
	for k, v := range s {
		spec.Settings = append(spec.Settings, k+"="+v)
	}
	p, err := process.Start(spec)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = p.Kill() })
	if err := p.WaitReady(t.Context()); err != nil {
		t.Fatal(err, p.LogEnd(40))
	}
	wantClosed(t, dir, foreign) // with files that there are while it runs
	if err := p.Stop(); err != nil {
		t.Error(err)
	}
	wantClosed(t, dir, foreign)
}

// wantClosed checks all that is in dir, but for one file.
func wantClosed(t *testing.T, dir, foreign string) {
	t.Helper()
	seen := 0
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || path == dir {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		seen++
		if others := info.Mode().Perm() & othersMay; (others != 0) != (path == foreign) {
			t.Errorf("%s is %v", path, info.Mode())
		}
		return nil
	})
	if err != nil || seen < 10 {
		t.Errorf("%d are there, %v", seen, err)
	}
}
