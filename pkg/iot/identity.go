package iot

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// DeviceID identifies a device: an integer from 1 to MaxDeviceID, which the device itself reports or which is made
// of its key. It is also the id of the device's row in the metadata store.
type DeviceID int64

// MaxDeviceID is the greatest integer that every JSON reader keeps exactly, 2^53-1.
const MaxDeviceID DeviceID = 1<<53 - 1

// Valid reports whether id is in the range of device ids.
func (id DeviceID) Valid() bool { return id >= 1 && id <= MaxDeviceID }

// String returns id in decimal ASCII, as it stands in topics, keys and paths.
func (id DeviceID) String() string { return strconv.FormatInt(int64(id), 10) }

// ParseDeviceID reads a device id in decimal ASCII digits. Anything else, a sign and spaces included,
// is ErrInvalid.
func ParseDeviceID(s string) (DeviceID, error) {
	n, err := strconv.ParseUint(s, 10, 63)
	if err != nil || !DeviceID(n).Valid() {
		return 0, fmt.Errorf("device id %.32q: %w", s, ErrInvalid)
	}
	return DeviceID(n), nil
}

// ParseDevice reads what a topic, a path, a filter or a member of a payload names a device by. What DeviceID.String
// returns for a valid id is that id, and key is empty. Anything else, "0042" too, is the key of a device, whose
// id is KeyID(key). What is no key either is ErrInvalid.
func ParseDevice(s string) (id DeviceID, key string, err error) {
	if n, ok := canonicalID(s); ok {
		return n, "", nil
	}
	if err := ValidateKey(s); err != nil {
		return 0, "", err
	}
	return KeyID(s), s, nil
}

// canonicalID returns the valid id whose decimal form s is.
func canonicalID(s string) (DeviceID, bool) {
	if s == "" || s[0] < '1' || s[0] > '9' {
		return 0, false
	}
	n, err := strconv.ParseUint(s, 10, 63) // without a sign and a leading zero, no two texts are the same number
	return DeviceID(n), err == nil && DeviceID(n).Valid()
}

// MaxKeyBytes bounds the key of a device.
const MaxKeyBytes = 255

// ValidateKey reports, as ErrInvalid, a text that cannot be the key of a device: one that is empty, longer than
// MaxKeyBytes, not UTF-8, or has control characters.
func ValidateKey(key string) error {
	if key == "" || len(key) > MaxKeyBytes || !utf8.ValidString(key) || strings.ContainsFunc(key, unicode.IsControl) {
		return fmt.Errorf("device key %.32q is not 1 to %d bytes of UTF-8 without control characters: %w", key, MaxKeyBytes, ErrInvalid)
	}
	return nil
}

// keyDomain is hashed in front of a key. It must never change: stored readings have ids that were made with it.
const keyDomain = "telltale-key-v1\x00"

// FirstKeyID is the least id that is made of a key: others are below.
const FirstKeyID DeviceID = 1 << 52

// KeyID returns the id of the device with a key: 2^52 plus the first 52 bits of a SHA-256 of the key. It is the same
// on every replica and in every replay without a look-up, and exact as a number in JSON. Ids that devices count
// up to themselves are far below; that two of 100,000 keys have one id has a chance of 10^-6.
func KeyID(key string) DeviceID {
	var room [len(keyDomain) + MaxKeyBytes]byte
	hash := sha256.Sum256(append(append(room[:0], keyDomain...), key...))
	return FirstKeyID + DeviceID(binary.BigEndian.Uint64(hash[:])>>12)
}
