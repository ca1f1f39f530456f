package mapping

import (
	"github.com/telltale-iot/telltale/pkg/payload"
)

// form reads messages that the language of rules has no words for: those that are not JSON, or that make sense only
// together with earlier ones. A form is made for each rule of each set that names it, keeps what it has to remember
// for as long as the set, within a bound of its own, and is safe for concurrent use.
type form interface {
	// start begins to read m, which came by route. The steps append no more than an array of decode.MaxElements
	// readings would, each of them valid, and say of all of m what became of it.
	start(route Route, m Message) steps
}

// forms has a line for each form. A rule of one with names may also say rename, scale and attributes.
var forms = map[string]struct {
	make  func(*rule) form
	names bool
}{
	"telltale": {make: func(*rule) form { return telltale{} }},
	"senml":    {make: func(r *rule) form { return senMLForm{r} }, names: true},
}

// telltale is Telltale's own form, which package payload reads.
type telltale struct{}

func (telltale) start(route Route, m Message) steps {
	s := new(telltaleSteps)
	s.Start(payload.Message{DeviceID: route.device(), Payload: m.Payload, Received: m.Received, Retained: m.Retained})
	return s
}

type telltaleSteps struct{ payload.Decoder }

func (s *telltaleSteps) step(out *Result) outcome {
	if s.Next(out); s.More() {
		return more
	}
	return done
}
