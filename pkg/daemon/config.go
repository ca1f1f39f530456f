package daemon

import (
	"fmt"
	"net/url"
	"regexp"
)

// ConfigError is a setting that cannot work, whatever happens.
type ConfigError struct {
	Variable string // the environment variable
	Value    string // as it was given; the message does not show a password in it
	Err      error
}

// secret finds the password of a URL, also of one that net/url cannot parse.
var secret = regexp.MustCompile(`(://[^:/@]*:)[^@]*@`)

func (e *ConfigError) Error() string {
	return fmt.Sprintf("%s=%q: %s", e.Variable, redact(e.Value), redact(e.Err.Error()))
}

func (e *ConfigError) Unwrap() error { return e.Err }

func redact(s string) string {
	if u, err := url.Parse(s); err == nil && u.User != nil {
		return u.Redacted()
	}
	return secret.ReplaceAllString(s, "${1}xxxxx@")
}
