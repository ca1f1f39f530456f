package auth

import "regexp"

// maxStranger is how long a user name that is nobody's may be for people to see it.
const maxStranger = 64

var (
	secret   = regexp.MustCompile(`(tt[sp]?_)[A-Za-z0-9_-]{40,}`)
	unspaced = regexp.MustCompile(`[A-Za-z0-9_+/=-]{40,}`)
)

// Masked is a text of a stranger's as logs and operators may see it. Of Telltale's secrets it has the prefixes alone: people
// write them into the wrong fields.
func Masked(text string) string { return secret.ReplaceAllString(text, "$1…") }

// MaskedName is Masked of a user name that is nobody's. It may be a secret that shows no prefix: a password, or another program's
// token. So one that is longer than 64 bytes, or has 40 characters of base64 or hex in a row, is not shown at all.
func MaskedName(name string) string {
	if masked := Masked(name); masked != name {
		return masked
	}
	if len(name) > maxStranger || unspaced.MatchString(name) {
		return "…"
	}
	return name
}
