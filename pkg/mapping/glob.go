package mapping

import (
	"errors"
	"strings"
)

// glob is a pattern in which each * stands for any text, also none: the texts between them. One without is a name.
type glob []string

// maxStars bounds how often a text may have to be looked through for one pattern.
const maxStars = 4

func parseGlob(s string) (glob, error) {
	g := glob(strings.Split(s, "*"))
	switch {
	case s == "":
		return nil, errors.New("an empty pattern")
	case len(g)-1 > maxStars:
		return nil, errors.New("a pattern has at most 4 *")
	}
	return g, nil
}

// match reports whether text is one that g stands for, and what its first * stands for.
func (g glob) match(text string) (star string, ok bool) {
	switch len(g) {
	case 0:
		return "", false
	case 1:
		return "", text == g[0]
	}
	rest, ok := strings.CutPrefix(text, g[0])
	if !ok {
		return "", false
	}
	last := len(g) - 1
	for i, part := range g[1:last] {
		at := strings.Index(rest, part)
		if at < 0 {
			return "", false
		}
		if i == 0 {
			star = rest[:at]
		}
		rest = rest[at+len(part):]
	}
	if rest, ok = strings.CutSuffix(rest, g[last]); ok && last == 1 {
		star = rest
	}
	return star, ok
}

// takes reports whether text is one that g stands for; no glob takes all.
func (g glob) takes(text string) bool {
	_, ok := g.match(text)
	return ok || g == nil
}

// globs are patterns of which one is enough.
type globs []glob

func (gs globs) match(text string) bool {
	for _, g := range gs {
		if g.takes(text) {
			return true
		}
	}
	return false
}
