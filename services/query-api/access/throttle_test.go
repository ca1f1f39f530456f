package access

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"
)

func TestThrottle(t *testing.T) {
	ada, elsewhere := guess{Network("192.0.2.1:1"), "ada"}, guess{Network("192.0.2.2:1"), "ada"}
	fail := func(t *testing.T, tries *throttle, g guess, n int) {
		t.Helper()
		for i := range n {
			if wait := tries.begin(g, time.Now()); wait != 0 {
				t.Fatalf("number %d waits for %v", i, wait)
			}
		}
	}
	t.Run("after ten that fail none is taken for a minute, from there", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			var tries throttle
			fail(t, &tries, ada, maxFailures)
			time.Sleep(time.Second)
			if wait := tries.begin(ada, time.Now()); wait != throttledFor-time.Second {
				t.Errorf("the wait is %v", wait)
			}
			fail(t, &tries, elsewhere, 1)
			time.Sleep(throttledFor - time.Second)
			fail(t, &tries, ada, maxFailures)
		})
	})
	t.Run("what was right, or nobody knows of, does not count", func(t *testing.T) {
		var tries throttle
		fail(t, &tries, ada, maxFailures)
		tries.undo(ada)
		fail(t, &tries, ada, 1)
		tries.right(ada)
		fail(t, &tries, ada, maxFailures)
	})
	t.Run("those that nobody knows of take no room", func(t *testing.T) {
		var tries throttle
		for i := range maxGuesses {
			g := guess{ada.from, fmt.Sprint(i)}
			fail(t, &tries, g, 1)
			tries.undo(g)
		}
		if n := len(tries.guesses); n != 0 {
			t.Errorf("%d are there", n)
		}
	})
	t.Run("it is bounded", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			var tries throttle
			for i := range maxGuesses {
				fail(t, &tries, guess{ada.from, fmt.Sprint(i)}, 1)
			}
			if wait := tries.begin(ada, time.Now()); wait != 0 || len(tries.guesses) != maxGuesses {
				t.Errorf("beyond it the wait is %v, and there are %d", wait, len(tries.guesses))
			}
			time.Sleep(failuresIn)
			fail(t, &tries, elsewhere, 1)
			if len(tries.guesses) != 1 {
				t.Errorf("%d are there after a minute", len(tries.guesses))
			}
		})
	})
}

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
