package sqlstore

import (
	"fmt"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/telltale-iot/telltale/pkg/iot"
)

// checkText returns ErrInvalid for a text that not every database keeps as it is. They disagree about what
// they refuse, shorten or replace, so it is refused before they see it.
func checkText(field, s string, least, most int) error {
	if !utf8.ValidString(s) || strings.IndexByte(s, 0) >= 0 {
		return fmt.Errorf("%s %.40q is not UTF-8 without NUL: %w", field, s, iot.ErrInvalid)
	}
	if n := utf8.RuneCountInString(s); n < least || n > most {
		return fmt.Errorf("%s of %d characters, not %d to %d: %w", field, n, least, most, iot.ErrInvalid)
	}
	return nil
}

func checkUsername(s string) error { return checkText("username", s, 1, iot.MaxUsername) }
func checkEmail(s string) error    { return checkText("email", s, 0, iot.MaxEmail) }
func checkName(s string) error     { return checkText("name", s, 1, iot.MaxName) }
func checkLocation(s string) error { return checkText("location", s, 0, iot.MaxLocation) }

// checkIdentity returns ErrInvalid for an id that is none, or not that of its key.
func checkIdentity(i iot.Identity) error {
	if i.Key == "" && i.ID.Valid() {
		return nil
	}
	if id, key, err := iot.ParseDevice(i.Key); err != nil || id != i.ID || key != i.Key {
		return fmt.Errorf("device %d with key %.40q: %w", i.ID, i.Key, iot.ErrInvalid)
	}
	return nil
}

// checkOfflineAfter returns ErrInvalid for what the column does not keep as it is.
func checkOfflineAfter(d time.Duration) error {
	if d < 0 || d > iot.MaxOfflineAfter || d%time.Second != 0 {
		return fmt.Errorf("offline after %v: %w", d, iot.ErrInvalid)
	}
	return nil
}

// checkLimit returns ErrInvalid for a limit that databases understand differently.
func checkLimit(n int) error {
	if n < 1 {
		return fmt.Errorf("limit %d: %w", n, iot.ErrInvalid)
	}
	return nil
}
