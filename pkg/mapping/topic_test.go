package mapping

import (
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
)

// matches says by the letter whether a topic is one of a pattern, and what its parts are.
func matches(levels []level, topic []string) (parts []string, ok bool) {
	if len(levels) == 0 {
		return nil, len(topic) == 0
	}
	l := levels[0]
	from, to := 1, 1
	if l.kind == multi {
		from, to = l.min, len(topic)
	}
	for n := from; n <= to && n <= len(topic); n++ {
		text := strings.Join(topic[:n], "/")
		if l.kind == literal && l.text != text || !l.glob.takes(text) {
			continue
		}
		if rest, ok := matches(levels[1:], topic[n:]); ok {
			if l.part >= 0 {
				rest = append([]string{text}, rest...)
			}
			return rest, true
		}
	}
	return nil, false
}

// TestTopics compares the tree of patterns, what it finds in topics, and the filters with what each says by the letter.
func TestTopics(t *testing.T) {
	words := []string{"a", "b", "ab", "", "+", "{x}", "{y}", "{z:a*}", "{w:b}", "{m...}", "#", "$s"}
	seed := rand.Uint64()
	r := rand.New(rand.NewPCG(seed, 0))
	pick := func(n int) string {
		levels := make([]string, 1+r.IntN(4))
		for i := range levels {
			levels[i] = words[r.IntN(n)]
		}
		return strings.Join(levels, "/")
	}
	found := 0
	for range 2000 {
		s := &Set{memory: new(memory)}
		for range 1 + r.IntN(8) {
			one := new(rule)
			if p, err := parsePattern(pick(len(words)), one); err == nil {
				p.order = len(s.patterns)
				s.patterns = append(s.patterns, p)
				s.topics.add(p, 0)
			}
		}
		plain := &Set{memory: new(memory)}
		for i, f := range s.Filters() {
			p, err := parsePattern(f, new(rule))
			if err != nil {
				t.Fatal(err)
			}
			p.order = i
			plain.patterns = append(plain.patterns, p)
			plain.topics.add(p, 0)
		}
		for range 20 {
			topic := pick(4)
			if r.IntN(5) == 0 {
				topic = "$s/" + topic
			}
			levels := strings.Split(topic, "/")
			want := -1
			var wantParts []string
			for i, p := range s.patterns {
				parts, ok := matches(p.levels, levels)
				if ok && want < 0 && (topic[0:min(1, len(topic))] != "$" || p.levels[0].kind == literal) {
					want, wantParts = i, parts
				}
			}
			for _, p := range s.patterns {
				for _, q := range s.patterns {
					_, ofP := matches(p.levels, levels)
					if _, ofQ := matches(q.levels, levels); ofQ && !ofP && p.covers(q) {
						t.Fatalf("seed %d: %+v covers %+v, but not %q", seed, p.levels, q.levels, topic)
					}
				}
			}
			route, ok := s.Match(topic)
			if want < 0 {
				if ok {
					t.Fatalf("seed %d: %q is taken for %q", seed, topic, route.pattern.filter())
				}
				continue
			}
			found++
			if !ok || route.pattern.order != want {
				t.Fatalf("seed %d: %q is not taken for %q", seed, topic, s.patterns[want].filter())
			}
			var parts [maxParts]string
			route.pattern.split(topic, &parts)
			if got := parts[:len(wantParts)]; !slices.Equal(got, wantParts) {
				t.Fatalf("seed %d: the parts of %q by %q are %q, want %q", seed, topic, route.pattern.filter(), got, wantParts)
			}
			if _, ok := plain.Match(topic); !ok {
				t.Fatalf("seed %d: no filter of %q selects %q", seed, s.Filters(), topic)
			}
		}
		for i, f := range plain.patterns {
			for j, g := range plain.patterns {
				if i != j && f.covers(g) {
					t.Fatalf("seed %d: %q contains %q", seed, f.filter(), g.filter())
				}
			}
		}
	}
	if found < 1000 {
		t.Errorf("only %d topics matched", found)
	}
}

func TestGlob(t *testing.T) {
	for _, tt := range []struct {
		pattern, text, star string
		ok                  bool
	}{
		{"a", "a", "", true},
		{"a", "b", "", false},
		{"*", "", "", true},
		{"*", "x", "x", true},
		{"*_T", "A_T", "A", true},
		{"*_T", "_T", "", true},
		{"*_T", "T", "", false},
		{"A*B", "AB", "", true},
		{"A*A", "A", "", false},
		{"a*b*c", "a1b2c", "1", true},
		{"a*b*c", "acb", "", false},
		{"*b*", "abc", "a", true},
		{"**", "abc", "", true},
	} {
		g, err := parseGlob(tt.pattern)
		if err != nil {
			t.Fatal(err)
		}
		if star, ok := g.match(tt.text); ok != tt.ok || ok && star != tt.star {
			t.Errorf("%q of %q: %q, %v", tt.pattern, tt.text, star, ok)
		}
	}
}
