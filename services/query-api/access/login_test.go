package access

import (
	"fmt"
	"testing"
)

// One network leaves room for the log-ins of others.
func TestLogins(t *testing.T) {
	var l logins
	began := 0
	for range maxLogins {
		if l.begin(Network("192.0.2.1:1")) {
			began++
		}
	}
	if began != maxFromOne || !l.begin(Network("192.0.2.2:1")) {
		t.Errorf("%d of one network, and none of another", began)
	}
	l.end(Network("192.0.2.2:1"))
	l.end(Network("192.0.2.1:1"))
	if !l.begin(Network("192.0.2.1:1")) || len(l.from) != 1 {
		t.Errorf("after one has ended: %+v", l.from)
	}
	for i := range maxLogins {
		l.begin(Network(fmt.Sprintf("198.51.100.%d:1", i)))
	}
	if l.total != maxLogins {
		t.Errorf("%d are under way", l.total)
	}
}

func TestAdminToken(t *testing.T) {
	for _, tt := range []struct {
		given AdminToken
		valid bool
	}{
		{AdminToken{}, true},
		{AdminToken{Token: "0123456789abcdef0123456789abcdef"}, true},
		{AdminToken{Token: "S3cr3t789abcdef0123456789abcdef"}, false},
		{AdminToken{Token: "S3cr3t 789abcdef0123456789abcdef0123456789abcdef"}, false},
	} {
		token, err := tt.given.Load()
		if (err == nil) != tt.valid || tt.valid && token != tt.given.Token {
			t.Errorf("%+v: %q, %v", tt.given, token, err)
		}
		if err != nil && tt.given.Token != "" && containsPart(err.Error(), tt.given.Token) {
			t.Errorf("the error shows the token: %v", err)
		}
	}
}

// containsPart reports whether a text has 6 characters of a secret.
func containsPart(text, secret string) bool {
	for i := range len(secret) - 5 {
		for j := range len(text) - 5 {
			if text[j:j+6] == secret[i:i+6] {
				return true
			}
		}
	}
	return false
}
