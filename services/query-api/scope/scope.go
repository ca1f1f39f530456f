package scope

import (
	"errors"
	"slices"

	"github.com/telltale-iot/telltale/pkg/iot"
	"github.com/telltale-iot/telltale/services/query-api/access"
)

// MaxDevices is how many devices may be in a scope: as many as a query may name.
const MaxDevices = 1000

var (
	// ErrForbidden is of what is there, and who asks may not do.
	ErrForbidden = errors.New("not for who sees some devices alone")
	// ErrKnown is of a device that is to be created, and of which something is stored.
	ErrKnown = errors.New("something of this device is stored")
	// ErrTooMany is of a scope of more than MaxDevices.
	ErrTooMany = errors.New("more devices than a scope may have")
)

// Scope is which devices somebody sees.
type Scope struct {
	user    int64          // who he is
	owner   int64          // whose devices they are; 0: anybody's
	named   []iot.DeviceID // they are of these alone; nil: of all
	devices []iot.DeviceID // all of them, ascending, each once
}

// of returns what p sees, who owns the devices owned where it is those of an owner.
func of(p *access.Principal, owned []iot.DeviceID) (*Scope, error) {
	s := &Scope{user: p.User.ID, owner: p.Owner, named: p.Devices, devices: owned}
	if p.Devices != nil {
		s.devices = append([]iot.DeviceID{}, p.Devices...)
		slices.Sort(s.devices)
		s.devices = slices.Compact(s.devices)
		if p.Owner != 0 {
			s.devices = slices.DeleteFunc(s.devices, func(id iot.DeviceID) bool { return !contains(owned, id) })
		}
	}
	if len(s.devices) > MaxDevices {
		return nil, ErrTooMany
	}
	return s, nil
}

func contains(ascending []iot.DeviceID, id iot.DeviceID) bool {
	_, ok := slices.BinarySearch(ascending, id)
	return ok
}

// Has reports whether a device is in s.
func (s *Scope) Has(id iot.DeviceID) bool { return contains(s.devices, id) }

// Differs reports whether another scope has other devices.
func (s *Scope) Differs(other *Scope) bool { return !slices.Equal(s.devices, other.devices) }

// Exceeds reports whether s has a device that another scope lacks.
func (s *Scope) Exceeds(other *Scope) bool {
	return slices.ContainsFunc(s.devices, func(id iot.DeviceID) bool { return !other.Has(id) })
}

// Devices returns those of s, or of the asked ones of them where any are. Unlike in a query, none are none.
func (s *Scope) Devices(asked []iot.DeviceID) []iot.DeviceID {
	if asked == nil {
		return s.devices
	}
	return slices.DeleteFunc(slices.Clone(asked), func(id iot.DeviceID) bool { return !s.Has(id) })
}
