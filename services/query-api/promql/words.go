package promql

import (
	"math"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/telltale-iot/telltale/pkg/iot"
)

// quoted reads a text in quotes.
func (p *parser) quoted() (string, error) {
	at := p.at
	literal, err := strconv.QuotedPrefix(p.text[p.at:])
	if err != nil && p.next() == '\'' { // of which Go knows one character alone
		return p.apostrophes()
	}
	if err != nil || literal[0] == '\'' && utf8.RuneCountInString(literal) != 3 {
		return "", p.expectedAt(at, "a text in quotes")
	}
	text, err := strconv.Unquote(literal)
	if err != nil {
		return "", p.expectedAt(at, "a text in quotes")
	}
	p.at += len(literal)
	p.space()
	return text, nil
}

func (p *parser) apostrophes() (string, error) {
	at := p.at
	p.at++
	var b strings.Builder
	for rest := p.text[p.at:]; rest != ""; {
		if rest[0] == '\'' {
			p.at = len(p.text) - len(rest) + 1
			p.space()
			return b.String(), nil
		}
		c, _, tail, err := strconv.UnquoteChar(rest, '\'')
		if err != nil {
			break
		}
		b.WriteRune(c)
		rest = tail
	}
	return "", p.expectedAt(at, "a text in quotes")
}

var units = []struct {
	name   string
	length time.Duration
}{
	{"ms", time.Millisecond}, {"s", time.Second}, {"m", time.Minute}, {"h", time.Hour},
	{"d", iot.Day}, {"w", 7 * iot.Day}, {"y", 365 * iot.Day},
}

// ParseDuration reads a time as Prometheus writes it: 1h30m, or seconds.
func ParseDuration(s string) (time.Duration, bool) {
	if n, err := strconv.ParseFloat(s, 64); err == nil {
		return seconds(n)
	}
	var sum time.Duration
	for s != "" {
		rest := strings.TrimLeft(s, digits)
		n, err := strconv.ParseInt(s[:len(s)-len(rest)], 10, 64)
		name := rest[:len(rest)-len(strings.TrimLeft(rest, letters))]
		i := slices.IndexFunc(units, func(u struct {
			name   string
			length time.Duration
		}) bool {
			return u.name == name
		})
		if err != nil || i < 0 || n > int64(maxLength/units[i].length) {
			return 0, false
		}
		sum += time.Duration(n) * units[i].length
		s = rest[len(name):]
	}
	return sum, sum <= maxLength
}

// maxLength bounds windows and steps.
const maxLength = 100 * 365 * iot.Day

func seconds(n float64) (time.Duration, bool) {
	if math.IsNaN(n) || n < 0 || n > maxLength.Seconds() {
		return 0, false
	}
	return time.Duration(n*1000) * time.Millisecond, true
}
