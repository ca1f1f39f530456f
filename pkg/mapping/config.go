package mapping

import (
	"errors"
	"strings"
	"time"

	"github.com/telltale-iot/telltale/pkg/settings"
)

// Config says which rules there are. Services that read the same messages have the same.
type Config struct {
	Mappings []string `env:"MAPPINGS" help:"Rules for what devices publish: presets, and files with names that end with .yaml, separated by commas; the first that fits counts. Without it, all presets."`
	Zone     string   `env:"DEVICE_TIME_ZONE" default:"UTC" help:"Time zone of the times that devices give without one, like Europe/Berlin."`
}

// Load returns the rules, or a *settings.Error.
func (c Config) Load() (*Set, error) {
	zone, err := time.LoadLocation(c.Zone)
	if err == nil && c.Zone == "Local" {
		err = errors.New("must be the name of a zone") // it is another one on each machine
	}
	if err != nil {
		return nil, &settings.Error{Variable: "DEVICE_TIME_ZONE", Value: c.Zone, Err: err}
	}
	set, err := Load(c.Mappings, zone)
	if err != nil {
		return nil, &settings.Error{Variable: "MAPPINGS", Value: strings.Join(c.Mappings, ","), Err: err}
	}
	return set, nil
}
