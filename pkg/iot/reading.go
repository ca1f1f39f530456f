package iot

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"
	"unicode/utf8"
)

// Names of the two metrics that every client knows.
const (
	Temperature = "temperature" // °C
	Humidity    = "humidity"    // % relative humidity
)

// Metric is one measured quantity: a finite number with a name.
type Metric struct {
	Name  string
	Value float64
}

// Attribute is a piece of text that a device sent beside its metrics.
type Attribute struct {
	Name  string
	Value string
}

// Stamp says whose clock a reading's At is from.
type Stamp uint8

const (
	StampUnknown Stamp = iota // not recorded: readings stored by the system before Telltale
	StampDevice               // the device sent it
	StampServer               // the device sent none that could be used: At is the time of receipt, or soon after
)

// String returns "device", "server", or "" for StampUnknown.
func (s Stamp) String() string {
	switch s {
	case StampDevice:
		return "device"
	case StampServer:
		return "server"
	default:
		return ""
	}
}

// ParseStamp is the inverse of String; anything else is StampUnknown.
func ParseStamp(s string) Stamp {
	switch s {
	case "device":
		return StampDevice
	case "server":
		return StampServer
	default:
		return StampUnknown
	}
}

// Reading is what one device measured at one moment. (Device, At) identifies it; where a server set At, the
// Origin does together with them, and At may change once more in the store.
type Reading struct {
	Device     DeviceID
	Key        string      // the key that Device is made of, KeyID(Key); "" where Device is what the device reports
	At         time.Time   // when it was measured: UTC, whole milliseconds
	Received   time.Time   // when Telltale received it: UTC, whole milliseconds
	Stamped    Stamp       // whose clock At is from
	Again      bool        // it comes from a dead letter or a file: its device has not reported with it. No store keeps it
	Said       string      // where a server replaced the time that the device gave: that; at most MaxSaidBytes
	Origin     uint64      // where a server stamped it: the one message that it is from; 0: not known
	Metrics    []Metric    // at least one; ascending by name, each name once
	Attributes []Attribute // ascending by name, each name once

	// Times is for latest values, which are made of several readings: it names the metrics and attributes
	// that are from an older one than At says, ascending by name. No store of readings keeps it.
	Times []MemberTime
}

// MemberTime says when a metric or an attribute was measured.
type MemberTime struct {
	Name string
	At   time.Time
}

// MaxSaidBytes bounds what is kept of a time that a device gave and nobody could use.
const MaxSaidBytes = 64

// MaxNameBytes bounds the name of a metric or an attribute.
const MaxNameBytes = 255

// MaxContentBytes bounds the ContentBytes of a reading. What devices send over MQTT stays below it; MongoDB
// takes no document over 16 MiB.
const MaxContentBytes = 4 << 20

// Timestamps that a device may send: not before MinTime, not more than MaxAhead after the receipt.
var MinTime = time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)

// MaxAhead is how far a device's clock may be ahead of the time of receipt.
const MaxAhead = 5 * time.Minute

// Metric returns the value of the metric called name, and whether there is one.
func (r Reading) Metric(name string) (float64, bool) {
	for _, m := range r.Metrics { // a handful: no search tree beats looking at each
		if m.Name == name {
			return m.Value, true
		}
	}
	return 0, false
}

// SameContent reports whether r and o carry the same metrics and attributes. By which name the device is known, and
// what became of its time, is no content.
func (r Reading) SameContent(o Reading) bool {
	return slices.Equal(r.Metrics, o.Metrics) && slices.Equal(r.Attributes, o.Attributes)
}

// ContentOrigin returns the origin of a reading that a server stamped and that comes from a copy of what was stored: which
// message it is from is not known any more, so it is made of what the reading is. It is never 0.
func (r Reading) ContentOrigin() uint64 {
	h := sha256.New()
	var b []byte // a hash never fails
	b = binary.BigEndian.AppendUint64(b, uint64(r.Device))
	b = binary.BigEndian.AppendUint64(b, uint64(r.At.UnixMilli()))
	for _, m := range r.Metrics {
		b = append(append(b, m.Name...), 0)
		b = binary.BigEndian.AppendUint64(b, math.Float64bits(m.Value))
	}
	b = append(b, 0)
	for _, a := range r.Attributes {
		b = append(append(b, a.Name...), 0)
		b = append(binary.BigEndian.AppendUint64(b, uint64(len(a.Value))), a.Value...)
	}
	_, _ = h.Write(b)
	return max(1, binary.BigEndian.Uint64(h.Sum(nil)))
}

// Restores reports whether r and there, which is stored at r's time, are one reading that a server stamped, of which one
// is from a copy, whichever came first.
func (r Reading) Restores(there Reading) bool {
	if r.Origin == 0 || there.Origin == 0 || !r.SameContent(there) {
		return false
	}
	origin := r.ContentOrigin()
	return r.Origin == origin || there.Origin == origin
}

// ContentBytes is the length of r's names and values together, with 8 bytes for a number.
func (r Reading) ContentBytes() (n int) {
	for _, m := range r.Metrics {
		n += len(m.Name) + 8
	}
	for _, a := range r.Attributes {
		n += len(a.Name) + len(a.Value)
	}
	return n
}

// Validate reports, as ErrInvalid with what is wrong, whether r can be stored: what Reading's fields
// promise holds. Decoders call it; stores rely on it.
func (r Reading) Validate() error {
	if !r.Device.Valid() {
		return fmt.Errorf("device id %d: %w", r.Device, ErrInvalid)
	}
	if r.Key != "" {
		if id, key, err := ParseDevice(r.Key); err != nil {
			return err
		} else if id != r.Device || key != r.Key {
			return fmt.Errorf("device id %d is not that of the key %.32q: %w", r.Device, r.Key, ErrInvalid)
		}
	}
	if len(r.Said) > MaxSaidBytes || !utf8.ValidString(r.Said) {
		return fmt.Errorf("device timestamp %.32q is not up to %d bytes of UTF-8: %w", r.Said, MaxSaidBytes, ErrInvalid)
	}
	for _, t := range []time.Time{r.At, r.Received} {
		if ms := t.UnixMilli(); ms < 0 || ms > maxMillis || t.Nanosecond()%int(time.Millisecond) != 0 {
			return fmt.Errorf("time %v: %w", t, ErrInvalid)
		}
	}
	if len(r.Metrics) == 0 {
		return fmt.Errorf("no metrics: %w", ErrInvalid)
	}
	for i, m := range r.Metrics {
		if err := ValidateName(m.Name); err != nil {
			return err
		}
		if math.IsNaN(m.Value) || math.IsInf(m.Value, 0) {
			return fmt.Errorf("metric %q is %v: %w", m.Name, m.Value, ErrInvalid)
		}
		if i > 0 && m.Name <= r.Metrics[i-1].Name {
			return fmt.Errorf("metric %q out of order: %w", m.Name, ErrInvalid)
		}
	}
	for i, a := range r.Attributes {
		if err := ValidateName(a.Name); err != nil {
			return err
		}
		if !utf8.ValidString(a.Value) {
			return fmt.Errorf("attribute %q is not UTF-8: %w", a.Name, ErrInvalid)
		}
		if i > 0 && a.Name <= r.Attributes[i-1].Name {
			return fmt.Errorf("attribute %q out of order: %w", a.Name, ErrInvalid)
		}
	}
	if size := r.ContentBytes(); size > MaxContentBytes {
		return fmt.Errorf("%d bytes of names and values: %w", size, ErrInvalid)
	}
	return nil
}

// The first millisecond of the year 1, and the last of the year 9999: RFC 3339 can write what is between.
const (
	minMillis = -62135596800000
	maxMillis = 253402300799999
)

// CeilMillis returns the first whole millisecond that is not before t. Readings and dead letters are at whole
// milliseconds, so that at >= t and at < t mean the same of it as of t.
func CeilMillis(t time.Time) time.Time { return Ceil(t, time.Millisecond) }

// Ceil returns the first multiple of width in UTC that is not before t, as t.Truncate is the last that is not after it.
func Ceil(t time.Time, width time.Duration) time.Time {
	return t.UTC().Add(width - 1).Truncate(width)
}

var errName = errors.New("1 to 255 bytes of UTF-8 without NUL")

// ValidateName reports, as ErrInvalid, a name that no metric or attribute can have: every store must be
// able to keep it as a key.
func ValidateName(name string) error {
	if name == "" || len(name) > MaxNameBytes || !utf8.ValidString(name) || strings.IndexByte(name, 0) >= 0 {
		return fmt.Errorf("name %.32q is not %w: %w", name, errName, ErrInvalid)
	}
	return nil
}
