package mongo

import (
	"context"

	"github.com/telltale-iot/telltale/pkg/iot"
)

// SetMaxStoredBytes has s keep less than usual in memory of what is stored.
func (s *Store) SetMaxStoredBytes(n int) { s.maxBytes = n }

// StoredBytes returns the size of what is kept in memory of what is stored where readings should go.
func (s *Store) StoredBytes(ctx context.Context, readings []iot.Reading) (n int, err error) {
	documents, _, err := s.findStored(ctx, firstRound(readings).insert)
	for _, document := range documents {
		n += len(document)
	}
	return n, err
}
