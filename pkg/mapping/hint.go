package mapping

import (
	"fmt"
	"strings"

	"github.com/telltale-iot/telltale/pkg/typo"
)

// Hint says what may be wrong with a topic that s does not read; "" where nothing is near.
func (s *Set) Hint(topic string) string {
	if s.selected != nil {
		if p := s.topics.find(topic, true, 0, -1); p != nil {
			return fmt.Sprintf("rule %s is for it, but MQTT_TOPICS does not select it", p.rule.name)
		}
	}
	if meant := strings.Trim(topic, "/"); meant != topic && s.reads(meant) {
		return didYouMean(meant)
	}
	if near := s.nearest(strings.Split(strings.Trim(topic, "/"), "/")); near != "" {
		return didYouMean(near)
	}
	return ""
}

func didYouMean(topic string) string { return "did you mean " + topic + "?" }

func (s *Set) reads(topic string) bool {
	_, ok := s.Match(topic)
	return ok
}

// nearest returns a topic that s reads, and that differs from one in the case or in a letter or two of the texts in a
// pattern; "" where there is none. Of several it is the one with the fewest mistakes, and of these the one of the pattern
// with the most text.
func (s *Set) nearest(topic []string) string {
	best, fewest, most := "", typo.Most+1, 0
	for _, p := range s.patterns {
		meant, mistakes, text := p.correct(topic)
		if mistakes > fewest || mistakes == fewest && text <= most {
			continue
		}
		if name := strings.Join(meant, "/"); meant != nil && s.reads(name) {
			best, fewest, most = name, mistakes, text
		}
	}
	return best
}

// correct returns the topic of p that one is nearest to, nil for none, how many letters were wrong, and how long the texts
// in p are that were right.
func (p *pattern) correct(topic []string) (meant []string, mistakes, text int) {
	for i, l := range p.levels {
		switch {
		case i >= len(topic):
			return nil, 0, 0
		case l.kind == multi:
			return append(meant, topic[i:]...), mistakes, text
		case l.kind == single:
			meant = append(meant, topic[i])
		default:
			n := typo.Distance(strings.ToLower(topic[i]), strings.ToLower(l.text))
			if n > min(typo.Most, len(l.text)/3) {
				return nil, 0, 0
			}
			meant, mistakes, text = append(meant, l.text), mistakes+n, text+len(l.text)-n
		}
	}
	if len(topic) > len(p.levels) || mistakes > typo.Most {
		return nil, 0, 0
	}
	return meant, mistakes, text
}
