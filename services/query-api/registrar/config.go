package registrar

import (
	"errors"
	"fmt"
	"strconv"

	"github.com/telltale-iot/telltale/pkg/iot"
	"github.com/telltale-iot/telltale/pkg/settings"
)

// Config says which devices register themselves. The tags are for package settings.
type Config struct {
	Devices    Devices `env:"DEVICES" default:"auto" help:"Which devices register themselves with their first reading: auto (all), or known (none: somebody creates them before, else each reading is a dead letter, too)."`
	MaxDevices int     `env:"MAX_DEVICES" default:"100000" help:"How many devices register themselves at most, with those that are there. Each reading of a further one is a dead letter, too. 0: as many as come."`
}

// Validate is called when the settings are read.
func (c Config) Validate() error {
	if c.MaxDevices < 0 {
		return &settings.Error{Variable: "MAX_DEVICES", Value: strconv.Itoa(c.MaxDevices), Err: errors.New("must not be less than 0")}
	}
	return nil
}

func (c Config) admission() iot.Admission {
	return iot.Admission{KnownOnly: c.Devices == DevicesKnown, Most: c.MaxDevices}
}

// Devices is the setting DEVICES.
type Devices string

const (
	DevicesAuto  Devices = "auto"  // all register themselves
	DevicesKnown Devices = "known" // none does
)

// UnmarshalText reads a setting.
func (d *Devices) UnmarshalText(text []byte) error {
	switch devices := Devices(text); devices {
	case DevicesAuto, DevicesKnown:
		*d = devices
		return nil
	}
	return fmt.Errorf("must be %s or %s", DevicesAuto, DevicesKnown)
}
