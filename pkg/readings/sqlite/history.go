package sqlite

import (
	"context"
	"fmt"
	"os"

	"github.com/telltale-iot/telltale/pkg/iot"
)

// Maintain implements readings.Store: there is nothing to do.
func (s *Store) Maintain(ctx context.Context) error {
	<-ctx.Done()
	return nil
}

// Usage implements readings.Store.
func (s *Store) Usage(context.Context) (iot.Usage, error) {
	s.state.RLock()
	l := s.layout
	s.state.RUnlock()
	u := iot.Usage{Free: -1, PerDay: -1}
	seen := map[*part]bool{}
	for _, owner := range l {
		if seen[owner.part] {
			continue
		}
		seen[owner.part] = true
		file, err := os.Stat(owner.path)
		if err != nil {
			return iot.Usage{}, fmt.Errorf("size of the readings: %w", err)
		}
		u.Readings += file.Size()
	}
	return u, nil
}
