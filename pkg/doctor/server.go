package doctor

import (
	"cmp"
	"context"
	"fmt"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// Server is what a server says of itself.
type Server struct {
	Version string
	Clock   time.Time // zero where it does not say
}

// Clocks may differ by that much. Which device is online is known to a few seconds; a reading that is dated ahead by more than
// five minutes gets another time.
const (
	warnSkew = 2 * time.Second
	failSkew = 5 * time.Minute
)

// AskServer asks a server what it is. at is where it is, without a password, and variable the setting that says so; least is the
// oldest version that does.
func AskServer(ctx context.Context, variable, at, least string, ask func(context.Context) (Server, error)) []Finding {
	before := time.Now()
	s, err := ask(ctx)
	after := time.Now()
	if err != nil {
		return Fail(at+": "+err.Error(), Advice(err, variable))
	}
	what := fmt.Sprintf("%s answers, version %s", at, cmp.Or(s.Version, "unknown"))
	if isOlder(s.Version, least) {
		return Fail(what, "it must be "+least+" or newer")
	}
	findings := Fine("%s", what)
	if s.Clock.IsZero() {
		return findings
	}
	return append(findings, compareClock(s.Clock, before, after)...)
}

// compareClock compares the clock of a server, which was read between before and after.
func compareClock(clock, before, after time.Time) []Finding {
	skew, side := clock.Sub(after), "ahead of"
	if behind := before.Sub(clock); behind > skew {
		skew, side = behind, "behind"
	}
	if skew < warnSkew {
		return nil
	}
	level := Warned
	if skew >= failSkew {
		level = Failed
	}
	return []Finding{{level, fmt.Sprintf("its clock is %v %s this machine's", skew.Round(time.Second), side), "set both by NTP"}}
}

// isOlder reports whether version is before least; one that says no numbers is not.
func isOlder(version, least string) bool {
	has := numbers(version)
	if len(has) == 0 {
		return false
	}
	for i, n := range numbers(least) {
		if i == len(has) {
			has = append(has, 0)
		}
		if has[i] != n {
			return has[i] < n
		}
	}
	return false
}

// numbers returns the leading numbers of a version: 8, 0 and 36 of 8.0.36-log.
func numbers(version string) (all []int) {
	for part := range strings.SplitSeq(version, ".") {
		end := strings.IndexFunc(part, func(r rune) bool { return r < '0' || r > '9' })
		if end < 0 {
			end = len(part)
		}
		n, err := strconv.Atoi(part[:end])
		if err != nil {
			return all
		}
		if all = append(all, n); end < len(part) {
			return all
		}
	}
	return all
}

// advices tell by the words of an error what to do about it. Drivers wrap what went wrong each in its own way, and some keep
// nothing of it but the text. The first that fits is taken.
var advices = []struct {
	texts []string // in lower case
	do    string   // %s is the variable
}{
	{[]string{"unknown authority", "certificate is not trusted"}, "name the authority that signed its certificate with the setting …_CA_FILE"},
	{[]string{"certificate is valid for", "doesn't contain any ip sans", "not valid for any names"}, "use a name in %s that its certificate has"},
	{[]string{"expired or is not yet valid"}, "renew its certificate, or set this machine's clock"},
	{[]string{"does not look like a tls handshake"}, "it speaks no TLS there: correct the port, or ask for no TLS, in %s"},
	{[]string{"certificate required", "bad certificate"}, "it demands a client certificate: …_CERT_FILE and …_KEY_FILE"},
	{[]string{"access denied", "authentication failed", "requires authentication", "auth error", "wrongpass", "noauth", "not authorized",
		"bad user name or password", "sasl", "password"}, "correct the user and password of %s"},
	{[]string{"unknown database", "does not exist"}, "make the database, or correct its name in %s"},
	{[]string{"no such host", "server misbehaving"}, "correct the host in %s, or look at DNS"},
	{[]string{"refused"}, "start it, or correct %s: nothing listens there"},
	{[]string{"tls to "}, "look whether it speaks TLS there; correct the port, or ask for no TLS, in %s"},
	{[]string{"no route to host", "network is unreachable"}, "look at the network, or correct %s"},
	{[]string{"timeout", "deadline exceeded", "no answer"}, "look whether it hangs, or whether a firewall is in between; or correct %s"},
	{[]string{"eof", "connection reset", "broken pipe", "closed"}, "it hung up: look whether it demands TLS, or another password, and at its log"},
}

// Advice says what to do about an error of the server that variable names.
func Advice(err error, variable string) string {
	text := strings.ToLower(err.Error())
	for _, a := range advices {
		for _, t := range a.texts {
			if strings.Contains(text, t) {
				return strings.ReplaceAll(a.do, "%s", variable)
			}
		}
	}
	return "look at its log, and at " + variable
}

// Place is where a URL of a server leads: its scheme, host and path, or the scheme alone where it is not certain that none of
// these is part of a password. It looks like no URL: in one, all before an @ of the error that follows would be taken for a password.
func Place(rawURL string) string {
	scheme, _, _ := strings.Cut(rawURL, "://")
	u, err := url.Parse(rawURL)
	if err != nil || strings.Contains(u.Path+u.Fragment, "@") || u.User == nil && strings.Contains(rawURL, "@") {
		return scheme
	}
	return u.Scheme + " at " + u.Host + u.Path
}
