package live

import (
	"slices"

	"github.com/telltale-iot/telltale/pkg/iot"
)

// Filter selects what a client is told of. Its zero value selects everything.
type Filter struct {
	Devices map[iot.DeviceID]bool // only what is of them; nil: of all
	Metrics map[string]bool       // only readings that have one of them; nil: all
}

// all reports whether f selects everything.
func (f *Filter) all() bool { return f.Devices == nil && f.Metrics == nil }

func (f *Filter) device(id iot.DeviceID) bool { return f.Devices == nil || f.Devices[id] }

// selects reports whether f selects an event.
func (f *Filter) selects(e *update) bool {
	switch {
	case !f.device(e.device):
		return false
	case f.Metrics == nil || e.kind != kindReading:
		return true
	}
	return slices.ContainsFunc(e.metrics, func(m iot.Metric) bool { return f.Metrics[m.Name] })
}
