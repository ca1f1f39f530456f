package mapping

import (
	"strings"
	"sync"
	"time"

	"github.com/telltale-iot/telltale/pkg/internal/decode"
	"github.com/telltale-iot/telltale/pkg/mapping/internal/sparkplug"
	"github.com/telltale-iot/telltale/pkg/payload"
)

// form reads messages that the language of rules has no words for: those that are not JSON, or that make sense only
// together with earlier ones. A form is made for each rule of each set that names it, keeps what it has to remember
// in the set's memory, within a bound of its own, and is safe for concurrent use.
type form interface {
	// start begins to read m, which came by route. The steps append no more than an array of decode.MaxElements
	// readings would, each of them valid, and say of all of m what became of it.
	start(route Route, m Message) steps
}

// forms has a line for each form. A rule of one with names may also say rename, scale and attributes; what one with devices
// reads may name another device than the topic does.
var forms = map[string]struct {
	make    func(*Set, *rule) form
	names   bool
	devices bool
}{
	"telltale":                {make: func(_ *Set, r *rule) form { return telltale{r.clock.zone} }},
	"senml":                   {make: func(_ *Set, r *rule) form { return senMLForm{r} }, names: true, devices: true},
	"sparkplug":               {make: func(s *Set, r *rule) form { return sparkplugForm{r, s.memory} }, names: true},
	"homeassistant-discovery": {make: func(s *Set, r *rule) form { return discoveryForm{s, r} }, names: true, devices: true},
}

// handOut calls read with the parts of rest, of which each is one reading, until a step has handed out its share of the
// message, and returns what is left. Two neighbours are of one reading where same says so.
func handOut[T any](rest []T, same func(a, b *T) bool, read func(part []T)) []T {
	for n := 0; n < decode.StepElements && len(rest) > 0; {
		end := 1
		for end < len(rest) && same(&rest[0], &rest[end]) {
			end++
		}
		read(rest[:end])
		rest = rest[end:]
		n += end
	}
	return rest
}

// memory is what forms have to remember from one message to another. It is one for all rules of a set.
type memory struct {
	nodes      sparkplug.Nodes
	discovered discovered
}

// Missed tells that a message on a topic was missed: what earlier ones said need not hold for those to come.
func (s *Set) Missed(topic string) {
	_, levels, _ := strings.Cut(topic, "/")
	s.memory.nodes.Missed(levels)
}

// MissedAny is Missed for all topics.
func (s *Set) MissedAny() { s.memory.nodes.MissedAny() }

// telltale is Telltale's own form, which package payload reads.
type telltale struct{ zone *time.Location }

func (f telltale) start(route Route, m Message) steps {
	s := telltaleDecoders.Get().(*telltaleSteps)
	s.Start(payload.Message{DeviceID: route.Device(), Payload: m.Payload, Received: m.Received, Zone: f.zone, Retained: m.Retained, May: m.May, Own: m.Own})
	return s
}

// telltaleDecoders keeps the memory of those that are done.
var telltaleDecoders = sync.Pool{New: func() any { return new(telltaleSteps) }}

type telltaleSteps struct{ payload.Decoder }

// step implements steps. After the last one s is free.
func (s *telltaleSteps) step(out *Result) outcome {
	if s.Next(out); s.More() {
		return more
	}
	*s = telltaleSteps{}
	telltaleDecoders.Put(s)
	return done
}
