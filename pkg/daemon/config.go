package daemon

import "github.com/telltale-iot/telltale/pkg/settings"

// ConfigError is a setting that cannot work, whatever happens: a Run that returns one ends the process
// with 2.
type ConfigError = settings.Error
