package credentials

import (
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/telltale-iot/telltale/pkg/iot"
)

// Principal is who showed a credential. It does not change, but for its end.
type Principal struct {
	ID     int64  // of the credential
	Name   string // the user name
	Viewer bool   // it looks on, and publishes nothing

	certificate bool
	ended       atomic.Bool
	expires     int64 // Unix ms; 0 is never
	secret      iot.Secret
	devices     []iot.DeviceID // ascending
}

// NewPrincipal returns who shows c.
func NewPrincipal(c iot.Credential) *Principal {
	p := &Principal{
		ID: c.ID, Name: c.Name, Viewer: c.Viewer, certificate: c.Type == iot.CredentialCertificate, secret: c.Secret, devices: c.Devices,
	}
	if !slices.IsSorted(p.devices) {
		p.devices = slices.Sorted(slices.Values(p.devices))
	}
	if !c.ExpiresAt.IsZero() {
		p.expires = c.ExpiresAt.UnixMilli()
	}
	return p
}

// May reports whether p speaks for that device.
func (p *Principal) May(device iot.DeviceID) bool {
	_, found := slices.BinarySearch(p.devices, device)
	return found
}

// Device returns the device that is meant where a message of p names none: the only one for which it speaks.
func (p *Principal) Device() (device iot.Identity, ok bool) {
	if len(p.devices) != 1 {
		return iot.Identity{}, false
	}
	if id, key, err := iot.ParseDevice(p.Name); err == nil && id == p.devices[0] {
		return iot.Identity{ID: id, Key: key}, true
	}
	return iot.Identity{ID: p.devices[0]}, true // the only one of a gateway
}

// Devices returns those for which p speaks, ascending. They are not to be changed.
func (p *Principal) Devices() []iot.DeviceID { return p.devices }

// Ended reports whether the credential does not count any more: it was deleted, or has expired.
func (p *Principal) Ended() bool { return p.ended.Load() }

func (p *Principal) expired(now time.Time) bool {
	return p.expires != 0 && now.UnixMilli() >= p.expires
}

// is reports whether p is who shows c.
func (p *Principal) is(c *Principal) bool {
	return p.ID == c.ID && p.Name == c.Name && p.Viewer == c.Viewer && p.certificate == c.certificate && p.expires == c.expires &&
		p.secret == c.secret && slices.Equal(p.devices, c.devices)
}

// named reports whether p's name is what finds it, and not the fingerprint of its certificate.
func (p *Principal) named() bool { return !p.certificate || p.secret == (iot.Secret{}) }

// principalBytes is about what a principal takes beside its name and devices, with its places in the maps of a state.
const principalBytes = 160

func (p *Principal) bytes() int { return principalBytes + len(p.Name) + 8*len(p.devices) }

// urn begins the name of a device in its certificate, as a URI (RFC 8141).
const urn = "telltale:device:"

// deviceOfURN returns the key of the device that a URI's opaque part names.
func deviceOfURN(opaque string) (name string, ok bool) { return strings.CutPrefix(opaque, urn) }
