package api

import (
	"bytes"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/telltale-iot/telltale/pkg/iot"
)

const (
	msgPast          = "Must be later than now."
	msgFieldChoice   = "\"%s\" is not a valid choice. They are %s."
	msgList          = "Expected a list of items."
	msgEmptyList     = "This list may not be empty."
	msgFingerprint   = "Expected the SHA-256 of a certificate: 64 hexadecimal digits, with or without colons."
	msgCertificate   = "Expected a certificate in PEM, which begins with -----BEGIN CERTIFICATE-----."
	msgPrivateKey    = "This is a private key, which nobody but its owner may have. Send the certificate."
	msgOtherPrint    = "This is not the fingerprint of the certificate."
	msgOnlyOf        = "Only a credential of the type certificate has this."
	msgGatewayName   = "A name has 1 to 255 bytes of UTF-8 without control characters."
	msgDeviceName    = "This is the name of a device, whose credentials are under /api/devices/%s/credentials/."
	msgRoleOrDevices = "Give devices, for a gateway, or the role viewer."
)

// choiceOf reads one of choices. "": it was not given, though it must be, or is wrong.
func choiceOf[T ~string](f *form, field string, choices ...T) T {
	value, ok := f.member(field)
	if !ok {
		return ""
	}
	s, ok := f.raw(field, value)
	if !ok {
		return ""
	}
	if !slices.Contains(choices, T(s)) {
		var texts []string
		for _, c := range choices {
			texts = append(texts, string(c))
		}
		f.fail(field, fmt.Sprintf(msgFieldChoice, s[:min(len(s), 100)], strings.Join(texts, ", ")))
		return ""
	}
	return T(s)
}

// given returns the value of a field that is there and not null.
func (f *form) given(field string) (json.RawMessage, bool) {
	value, ok := f.members[field]
	return value, ok && value[0] != 'n'
}

// expiry reads a moment that is to come; zero for null, and otherwise where none is given.
func (f *form) expiry(field string, now, otherwise time.Time) time.Time {
	value, ok := f.given(field)
	if !ok {
		if f.members[field] != nil {
			return time.Time{}
		}
		return otherwise
	}
	s, ok := f.raw(field, value)
	if !ok {
		return time.Time{}
	}
	t, ok := parseTime(s, time.UTC)
	switch {
	case !ok:
		f.fail(field, msgTime)
	case !t.After(now):
		f.fail(field, msgPast)
	case t.After(lastTime):
		t = lastTime
	}
	return iot.CeilMillis(t)
}

// deviceList reads the ids or keys of 1 to maxDevices devices, and returns the ids, ascending; nil where there is none, or it
// is wrong.
func (f *form) deviceList(field string) []iot.DeviceID {
	value, ok := f.given(field)
	if !ok {
		return nil
	}
	var names []json.RawMessage
	switch err := json.Unmarshal(value, &names); {
	case err != nil:
		f.fail(field, msgList)
		return nil
	case len(names) == 0:
		f.fail(field, msgEmptyList)
		return nil
	case len(names) > maxDevices:
		f.fail(field, fmt.Sprintf(msgTooMany, maxDevices))
		return nil
	}
	ids := make([]iot.DeviceID, len(names))
	for i, name := range names {
		device, ok := f.identity(field, bytes.TrimSpace(name))
		if !ok {
			return nil
		}
		ids[i] = device.ID
	}
	slices.Sort(ids)
	return slices.Compact(ids)
}

// identity reads the id or the key of a device.
func (f *form) identity(field string, value json.RawMessage) (iot.Identity, bool) {
	s, ok := f.raw(field, value)
	if !ok {
		return iot.Identity{}, false
	}
	id, key, err := iot.ParseDevice(s)
	if err != nil {
		f.fail(field, msgDevice)
		return iot.Identity{}, false
	}
	return iot.Identity{ID: id, Key: key}, true
}

// certificate reads which certificate lets in, by its fingerprint or as it is; zero where any does that has the name.
func (f *form) certificate() (fingerprint iot.Secret) {
	if value, ok := f.given("fingerprint"); ok {
		if s, ok := f.raw("fingerprint", value); ok {
			b, err := hex.DecodeString(strings.ReplaceAll(strings.TrimSpace(s), ":", ""))
			if err != nil || len(b) != len(fingerprint) {
				f.fail("fingerprint", msgFingerprint)
			}
			copy(fingerprint[:], b)
		}
	}
	value, ok := f.given("certificate")
	if !ok {
		return fingerprint
	}
	s, ok := f.raw("certificate", value)
	if !ok {
		return fingerprint
	}
	block, _ := pem.Decode([]byte(s))
	switch {
	case block != nil && strings.HasSuffix(block.Type, "PRIVATE KEY"):
		f.fail("certificate", msgPrivateKey)
		return fingerprint
	case block == nil || block.Type != "CERTIFICATE":
		f.fail("certificate", msgCertificate)
		return fingerprint
	}
	if _, err := x509.ParseCertificate(block.Bytes); err != nil {
		f.fail("certificate", msgCertificate)
		return fingerprint
	}
	sum := sha256.Sum256(block.Bytes)
	if fingerprint != (iot.Secret{}) && fingerprint != sum {
		f.fail("fingerprint", msgOtherPrint)
	}
	return sum
}
