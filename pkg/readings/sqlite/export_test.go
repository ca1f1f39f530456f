package sqlite

import (
	"context"
	"math"
)

// SealAll seals whatever there is.
func (s *Store) SealAll(ctx context.Context) error { return s.sealBefore(ctx, math.MaxInt64) }
