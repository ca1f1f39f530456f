package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
)

// describe writes the licenses and the bill of materials of each program in dir. They have no time in them: an image of the same
// program is the same again.
func (r *release) describe(ctx context.Context, dir string) error {
	if len(r.platforms) != 1 {
		return errors.New("-platforms must name the one platform of the programs")
	}
	license, err := os.ReadFile(filepath.Join(r.repository, "LICENSE"))
	if err != nil {
		return err
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if e.IsDir() {
			continue
		}
		linked, err := r.linked(ctx, r.platforms[0], dir, e.Name())
		if err != nil {
			return fmt.Errorf("%s: %w", e.Name(), err)
		}
		bom, err := r.bomOf(linked)
		if err != nil {
			return err
		}
		beside := filepath.Join(dir, "licenses", e.Name())
		err = errors.Join(
			os.MkdirAll(beside, 0o755),
			os.WriteFile(filepath.Join(beside, "LICENSE"), license, 0o644),
			os.WriteFile(filepath.Join(beside, "THIRD_PARTY_NOTICES"), []byte(notices(linked)), 0o644),
			os.WriteFile(filepath.Join(beside, "sbom.cdx.json"), bom, 0o644))
		if err != nil {
			return err
		}
	}
	return nil
}
