package settings

import (
	"fmt"
	"net/url"
	"regexp"
)

// Error is a setting that cannot work, whatever happens.
type Error struct {
	Variable string // the environment variable, or the flag
	Value    string // as it was given; the message does not show a password in it
	Err      error
}

func (e *Error) Error() string {
	return fmt.Sprintf("%s=%q: %s", e.Variable, Redact(e.Value), Redact(e.Err.Error()))
}

func (e *Error) Unwrap() error { return e.Err }

// Passwords in URLs, also in those that net/url cannot parse, and there may be an @ or a / in one.
var (
	password  = regexp.MustCompile(`(://[^:/@\s]*:).*@`)
	parameter = regexp.MustCompile(`(?i)(pass(?:word|wd)?=)[^&\s"]*`)
)

// Redact returns s, a URL or a text with URLs in it, without the passwords.
func Redact(s string) string {
	if u, err := url.Parse(s); err == nil && u.User != nil {
		s = u.Redacted()
	} else {
		s = password.ReplaceAllString(s, "${1}xxxxx@")
	}
	return parameter.ReplaceAllString(s, "${1}xxxxx")
}
