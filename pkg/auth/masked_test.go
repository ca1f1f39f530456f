package auth

import (
	"strings"
	"testing"
)

func TestMasked(t *testing.T) {
	for _, prefix := range []string{TokenPrefix, SessionPrefix, ProvisioningPrefix} {
		secret := NewSecret(prefix)
		for text, want := range map[string]string{
			secret:                            prefix + "…",
			"GET /api/" + secret + "/?x=y":    "GET /api/" + prefix + "…/?x=y",
			"a " + secret + " and " + secret:  "a " + prefix + "… and " + prefix + "…",
			strings.Repeat("a", 100) + secret: strings.Repeat("a", 100) + prefix + "…",
			prefix + "short":                  prefix + "short",
		} {
			if got := Masked(text); got != want {
				t.Errorf("%q is shown as %q, want %q", text, got, want)
			}
		}
	}
}

func TestMaskedName(t *testing.T) {
	for name, want := range map[string]string{
		NewSecret(TokenPrefix):         TokenPrefix + "…",
		NewSecret(""):                  "…",
		strings.Repeat("0f", 20):       "…",
		strings.Repeat("long ", 13):    "…",
		"":                             "",
		"ada":                          "ada",
		"greenhouse/north-7":           "greenhouse/north-7",
		"ada.lovelace@example.com":     "ada.lovelace@example.com",
		strings.Repeat("12345678 ", 7): strings.Repeat("12345678 ", 7),
	} {
		if got := MaskedName(name); got != want {
			t.Errorf("%q is shown as %q, want %q", name, got, want)
		}
	}
}
