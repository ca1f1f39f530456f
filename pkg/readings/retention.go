package readings

import (
	"errors"
	"fmt"
	"time"

	"github.com/telltale-iot/telltale/pkg/settings"
)

// Retention are the settings of how long a store keeps what it has.
type Retention struct {
	Readings time.Duration `env:"RETENTION_READINGS" default:"0s" help:"How long readings are kept, by their timestamps, such as 365d; what comes later than that is a dead letter. 0s: for ever."`
	Rollups  time.Duration `env:"RETENTION_ROLLUPS" default:"0s" help:"How long what charts over long times are made of is kept; at least as long as the readings. 0s: for ever."`
}

// minRetention is the shortest time that readings are kept: what is computed of them takes hours, where a service is away.
const minRetention = 24 * time.Hour

// Validate is called when the settings are read.
func (r Retention) Validate() error {
	switch {
	case r.Readings != 0 && r.Readings < minRetention:
		return &settings.Error{Variable: "RETENTION_READINGS", Value: r.Readings.String(), Err: fmt.Errorf("must be %v at least, or 0s", minRetention)}
	case r.Rollups != 0 && r.Readings == 0:
		return &settings.Error{Variable: "RETENTION_ROLLUPS", Value: r.Rollups.String(), Err: errors.New("is of no use without RETENTION_READINGS: rollups go after the readings that they are made of")}
	case r.Rollups != 0 && r.Rollups < r.Readings:
		return &settings.Error{Variable: "RETENTION_ROLLUPS", Value: r.Rollups.String(), Err: errors.New("must not be shorter than RETENTION_READINGS, or 0s")}
	}
	return nil
}
