package api

import (
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/telltale-iot/telltale/pkg/iot"
)

// What is wrong with a field, in the words of Django REST framework.
const (
	msgRequired  = "This field is required."
	msgNull      = "This field may not be null."
	msgBlank     = "This field may not be blank."
	msgString    = "Not a valid string."
	msgInteger   = "A valid integer is required."
	msgEmail     = "Enter a valid email address."
	msgNullChar  = "Null characters are not allowed."
	msgSurrogate = "Surrogate characters are not allowed: U+%04X."
	msgTooLong   = "Ensure this field has no more than %d characters."
	msgAtLeast   = "Ensure this value is greater than or equal to %d."
	msgAtMost    = "Ensure this value is less than or equal to %d."
	msgPkType    = "Incorrect type. Expected pk value, received %s."
	msgPayload   = "Expected an object, an array or a string."
	msgNoSuchPk  = "Invalid pk \"%d\" - object does not exist."
	msgDevice    = "A device has an id, or a key of 1 to 255 bytes of UTF-8 without control characters."
	msgNotSame   = "The id of this key is %d."
	msgFixed     = "This field cannot be changed."
)

// member returns the value of a field that must be there, unless this is a PATCH, and must not be null.
func (f *form) member(field string) (json.RawMessage, bool) {
	value, ok := f.members[field]
	switch {
	case !ok && !f.partial:
		f.fail(field, msgRequired)
	case ok && value[0] == 'n':
		f.fail(field, msgNull)
		ok = false
	}
	return value, ok
}

// text reads a required text of 1 to maxLength characters. nil: it was not given, or is wrong.
func (f *form) text(field string, maxLength int) *string {
	value, ok := f.member(field)
	if !ok {
		return nil
	}
	s, ok := f.plain(field, value, maxLength)
	if ok && s == "" {
		f.fail(field, msgBlank)
		ok = false
	}
	if !ok {
		return nil
	}
	return &s
}

// optionalText reads a text that may be missing, null or empty; null and empty are the same.
func (f *form) optionalText(field string, maxLength int) *string {
	value, ok := f.members[field]
	if !ok {
		return nil
	}
	var s string
	if value[0] != 'n' {
		if s, ok = f.plain(field, value, maxLength); !ok {
			return nil
		}
	}
	return &s
}

// payload reads what a device might have sent: an object or array as it stands there, or a text that holds one.
// nil: none was given, or it is wrong.
func (f *form) payload(field string) []byte {
	value, ok := f.members[field]
	switch {
	case !ok || value[0] == 'n':
		return nil
	case value[0] == '{' || value[0] == '[':
		return value
	case value[0] != '"':
		f.fail(field, msgPayload)
		return nil
	}
	if code := loneSurrogate(value); code != 0 {
		f.fail(field, fmt.Sprintf(msgSurrogate, code))
		return nil
	}
	var s string
	_ = json.Unmarshal(value, &s) // its syntax was checked with the whole body
	return []byte(s)
}

// plain reads a JSON string, or a number as its text, without the spaces around it.
func (f *form) plain(field string, value json.RawMessage, maxLength int) (s string, ok bool) {
	if s, ok = f.raw(field, value); !ok {
		return "", false
	}
	s = strings.TrimSpace(s)
	if utf8.RuneCountInString(s) > maxLength {
		f.fail(field, fmt.Sprintf(msgTooLong, maxLength))
		ok = false
	}
	if strings.IndexByte(s, 0) >= 0 {
		f.fail(field, msgNullChar)
		ok = false
	}
	return s, ok
}

// raw reads a JSON string, or a number as the text it stands there as.
func (f *form) raw(field string, value json.RawMessage) (s string, ok bool) {
	switch pythonType(value) {
	case "str":
		if code := loneSurrogate(value); code != 0 {
			f.fail(field, fmt.Sprintf(msgSurrogate, code))
			return "", false
		}
		_ = json.Unmarshal(value, &s) // its syntax was checked with the whole body
	case "int", "float":
		s = string(value)
	default:
		f.fail(field, msgString)
		return "", false
	}
	return s, true
}

// loneSurrogate returns the first escape in a JSON string that is half a character, and which
// encoding/json would replace silently; 0 where there is none.
func loneSurrogate(value json.RawMessage) (code uint64) {
	var high uint64 // the first half of a pair, if the escape right before was one
	for i := 0; i < len(value); i++ {
		var unit uint64
		if value[i] == '\\' {
			i++
			if value[i] == 'u' {
				unit, _ = strconv.ParseUint(string(value[i+1:i+5]), 16, 16)
				i += 4
			}
		}
		low := 0xDC00 <= unit && unit <= 0xDFFF
		switch {
		case high != 0 && !low:
			return high
		case high == 0 && low:
			return unit
		}
		high = 0
		if 0xD800 <= unit && unit <= 0xDBFF {
			high = unit
		}
	}
	return 0 // a string ends with a quote, so high is 0
}

// email reads a required address.
func (f *form) email(field string) *string {
	s := f.text(field, iot.MaxEmail)
	if s != nil && !validEmail(*s) {
		f.fail(field, msgEmail)
		return nil
	}
	return s
}

var (
	emailLocal  = regexp.MustCompile(`^[A-Za-z0-9!#$%&'*+/=?^_{|}~\x60-]+(\.[A-Za-z0-9!#$%&'*+/=?^_{|}~\x60-]+)*$`)
	emailDomain = regexp.MustCompile(`^([\pL\pN]([\pL\pN\pM-]{0,61}[\pL\pN\pM])?\.)+[\pL\pN]([\pL\pN\pM-]{0,61}[\pL\pN\pM])$`)
)

// validEmail reports whether s is an address as people have them: before the last @ words of ASCII letters,
// digits and !#$%&'*+/=?^_`{|}~- with single dots between them, behind it a domain name of two or more
// labels, in any script, the last of two or more characters. What else RFC 5322 allows (comments, quoted
// words, addresses of hosts) is refused.
func validEmail(s string) bool {
	at := strings.LastIndexByte(s, '@')
	return at > 0 && emailLocal.MatchString(s[:at]) && emailDomain.MatchString(s[at+1:])
}

// newID reads the id of a new device. 0: none was given, or it is wrong.
func (f *form) newID(field string) iot.DeviceID {
	value, ok := f.members[field]
	if !ok || value[0] == 'n' {
		return 0
	}
	n, ok := integer(value)
	switch id := iot.DeviceID(n); {
	case !ok:
		f.fail(field, msgInteger)
	case id < 1:
		f.fail(field, fmt.Sprintf(msgAtLeast, 1))
	case id > iot.MaxDeviceID:
		f.fail(field, fmt.Sprintf(msgAtMost, iot.MaxDeviceID))
	default:
		return id
	}
	return 0
}

// newDevice reads who a new device is, by its id, its key, or both of the same device, and which field says so. The zero
// Identity: neither was given, or they are wrong.
func (f *form) newDevice() (device iot.Identity, field string) {
	device.ID, field = f.newID("id"), "id"
	value, ok := f.members["key"]
	if !ok || value[0] == 'n' {
		return device, field
	}
	name, ok := f.raw("key", value) // to the byte, with the spaces around it
	if !ok {
		return device, field
	}
	id, key, err := iot.ParseDevice(name)
	switch {
	case err != nil:
		f.fail("key", msgDevice)
		return device, field
	case device.ID != 0 && device.ID != id:
		f.fail("id", fmt.Sprintf(msgNotSame, id))
		f.fail("key", fmt.Sprintf(msgNotSame, id))
		return iot.Identity{}, ""
	}
	return iot.Identity{ID: id, Key: key}, "key"
}

// fixed refuses another value of a field than the one that it has and keeps.
func (f *form) fixed(field, value string) {
	given, ok := f.members[field]
	if !ok || given[0] == 'n' {
		return
	}
	if s, ok := f.raw(field, given); ok && s != value {
		f.fail(field, msgFixed)
	}
}

// userID reads the required id of a user, who may not exist. nil: it was not given, or is wrong.
func (f *form) userID(field string) *int64 {
	value, ok := f.member(field)
	if !ok {
		return nil
	}
	if string(value) == `""` {
		f.fail(field, msgNull)
		return nil
	}
	id, ok := integer(value)
	if !ok {
		f.fail(field, fmt.Sprintf(msgPkType, pythonType(value)))
		return nil
	}
	return &id
}

// offlineAfter reads after how many seconds a device counts as offline; 0, for null, is as the service is set. nil: it was
// not given, is wrong, or is what clients see now, which they may send back.
func (f *form) offlineAfter(field string, now time.Duration) *time.Duration {
	value, ok := f.members[field]
	if !ok || string(value) == string(appendSeconds(nil, now)) {
		return nil
	}
	if value[0] == 'n' {
		return new(time.Duration)
	}
	const most = int64(iot.MaxOfflineAfter / time.Second)
	n, ok := integer(value)
	switch {
	case !ok:
		f.fail(field, msgInteger)
	case n < 1:
		f.fail(field, fmt.Sprintf(msgAtLeast, 1))
	case n > most:
		f.fail(field, fmt.Sprintf(msgAtMost, most))
	default:
		after := time.Duration(n) * time.Second
		return &after
	}
	return nil
}

// integer reads a JSON number without a fraction, or a string of one. What int64 cannot hold becomes the
// nearest number that it can.
func integer(value json.RawMessage) (n int64, ok bool) {
	text := string(value)
	if value[0] == '"' {
		_ = json.Unmarshal(value, &text)
	}
	n, err := strconv.ParseInt(strings.TrimSpace(text), 10, 64)
	return n, err == nil || errors.Is(err, strconv.ErrRange)
}
