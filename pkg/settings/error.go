package settings

import (
	"errors"
	"fmt"
	"net/url"
	"regexp"
	"strings"
)

// Error is a setting that cannot work, whatever happens.
type Error struct {
	Variable string // the environment variable, or the flag
	Value    string // as it was given; the message does not show a password in it
	Err      error
}

func (e *Error) Error() string {
	if hides(e.Variable, e.Value) {
		return fmt.Sprintf("%s: %s", e.Variable, Redact(e.Err.Error()))
	}
	return fmt.Sprintf("%s=%q: %s", e.Variable, Redact(e.Value), Redact(e.Err.Error()))
}

func (e *Error) Unwrap() error { return e.Err }

// hides reports whether no part of value is shown, since it may hold a password: where that begins and ends nobody
// knows of a URL that is malformed.
func hides(variable, value string) bool {
	name, isFile := strings.CutSuffix(strings.ToUpper(strings.ReplaceAll(variable, "-", "_")), "_FILE")
	for _, kind := range []string{"_URL", "_URI", "_BROKERS", "_PASSWORD", "_TOKEN"} {
		if strings.HasSuffix(name, kind) { // in the place of a file's name there may be what belongs into the file
			return !isFile || !strings.Contains(value, "/") || strings.ContainsAny(value, ":@")
		}
	}
	return false
}

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

// HideURL returns err, which came of reading rawURL, without what it quotes of that: for the errors of drivers, which
// quote what they do not understand.
func HideURL(err error, rawURL string) error {
	const shortest = 4 // that is hidden: less is in any text
	_, secret, isURL := strings.Cut(rawURL, "://")
	if !isURL {
		secret = rawURL
	}
	text, hidden := err.Error(), ""
	for text != "" {
		n := 0
		for n < len(text) && strings.Contains(secret, text[:n+1]) {
			n++
		}
		if n >= shortest {
			hidden, text = hidden+"xxxxx", text[n:]
		} else {
			hidden, text = hidden+text[:1], text[1:]
		}
	}
	return errors.New(hidden)
}
