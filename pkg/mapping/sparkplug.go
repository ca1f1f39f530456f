package mapping

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/telltale-iot/telltale/pkg/internal/decode"
	"github.com/telltale-iot/telltale/pkg/iot"
	"github.com/telltale-iot/telltale/pkg/mapping/internal/sparkplug"
)

// sparkplugForm reads messages of Sparkplug B.
type sparkplugForm struct {
	rule   *rule
	memory *memory
}

func (f sparkplugForm) start(route Route, m Message) steps {
	s := sparkplugDecoders.Get().(*sparkplugSteps)
	s.rule, s.memory, s.route, s.m = f.rule, f.memory, route, m
	return s
}

// sparkplugDecoders keeps the memory of those that are done.
var sparkplugDecoders = sync.Pool{New: func() any {
	s := &sparkplugSteps{names: make(names)}
	s.draft.Members = make([]decode.Member, 0, decode.MaxMembers)
	return s
}}

// sparkplugSteps is on the way through a message.
type sparkplugSteps struct {
	candidate
	rule   *rule
	memory *memory
	route  Route
	m      Message
	names  names

	begun   bool
	device  identity // that the message is of
	payload sparkplug.Payload
	kind    string
	outcome sparkplug.Outcome
	unknown [][]byte           // metrics of which it is not known what they mean
	rest    []sparkplug.Metric // those that are read, by time
}

// online is the metric that says whether a node or a device is there: 1 with its BIRTH, and 0 with its DEATH.
const online = "online"

// step implements steps: the first reads all of the message, and each hands out a share of its readings. After the last
// one s is free.
func (s *sparkplugSteps) step(out *Result) outcome {
	s.out = out
	if !s.begun {
		s.begun = true
		if fault := s.open(); fault.Reason != "" {
			out.Rejected = append(out.Rejected, fault.Rejection(s.device.id, s.m.Payload))
			s.free()
			return done
		}
	}
	s.rest = handOut(s.rest, func(a, b *sparkplug.Metric) bool { return a.Millis == b.Millis }, s.reading)
	if len(s.rest) > 0 {
		return more
	}
	s.free()
	return done
}

// free gives s back, without what it knows of its message.
func (s *sparkplugSteps) free() {
	s.reset()
	members, scales, names := s.draft.Members, s.scales, s.names
	*s = sparkplugSteps{names: names}
	s.draft.Members, s.scales = members, scales
	sparkplugDecoders.Put(s)
}

// open reads the message, and returns what costs all of it.
func (s *sparkplugSteps) open() decode.Fault {
	var err error
	s.device.name = s.route.Device()
	if s.device.id, s.device.key, err = iot.ParseDevice(s.device.name); err != nil {
		return decode.Fault{Reason: iot.ReasonInvalidDeviceID, Detail: err.Error()}
	}
	m := sparkplug.Message{Key: s.device.name, Payload: &s.payload, Received: s.m.Received}
	if _, levels, _ := strings.Cut(s.route.topic, "/"); !m.Parse(levels) {
		return decode.Fault{Reason: iot.ReasonNoRule, Detail: "the topic is none of Sparkplug's"}
	}
	s.kind = m.Kind
	if node := m.Group + "/" + m.Node; node != s.device.name && s.m.May != nil { // it is one of the node's messages, and counts as such
		if id, _, err := iot.ParseDevice(node); err != nil || !s.m.May(id) {
			return decode.Fault{Reason: iot.ReasonDeviceNotAllowed, Detail: fmt.Sprintf("its sender may not send for the node %.64q", node)}
		}
	}
	if s.m.May != nil && !s.m.May(s.device.id) {
		return decode.Fault{Reason: iot.ReasonDeviceNotAllowed, Detail: fmt.Sprintf("its sender may not send for device %.64q", s.device.name)}
	}
	switch s.payload, err = sparkplug.Parse(s.m.Payload); {
	case errors.Is(err, sparkplug.ErrTooMany):
		return decode.Fault{Reason: iot.ReasonTooLarge, Detail: err.Error()}
	case err != nil:
		return decode.Fault{Reason: iot.ReasonInvalidProtobuf, Detail: err.Error()}
	}
	if s.m.Ordered && !s.m.Retained {
		s.outcome = s.memory.nodes.Receive(m)
	} else {
		s.outcome = sparkplug.Alone(m)
		s.outcome.Rebirth = false
	}
	if s.outcome.Rebirth {
		topic, command := sparkplug.RebirthRequest(m.Group, m.Node, s.m.Received)
		s.out.Requests = append(s.out.Requests, Request{Topic: topic, Payload: command})
	}
	switch {
	case s.outcome.Stale:
		return decode.Fault{}
	case len(s.outcome.Dead) > 0:
		s.deaths()
		return decode.Fault{}
	}
	return s.sort()
}

// sort tells which metrics are read, and when they were measured. It returns what is wrong where there are none.
func (s *sparkplugSteps) sort() decode.Fault {
	for _, m := range s.payload.Metrics {
		m.Millis = cmp.Or(m.Millis, s.payload.Millis)
		switch {
		case !m.Known():
			s.unknown = append(s.unknown, m.Bytes)
		case m.Name == "bdSeq" || strings.HasPrefix(m.Name, "Node Control/") || strings.HasPrefix(m.Name, "Device Control/"):
			// what it is for is no measurement
		case m.Value == sparkplug.None:
		case m.Historical && m.Millis == 0:
			s.omit([]byte(m.Name), "it is of the past, and does not say when it was measured", nil)
		default:
			s.rest = append(s.rest, m)
		}
	}
	if len(s.unknown) > 0 {
		bytes := s.m.Payload
		if len(s.unknown) < len(s.payload.Metrics) {
			bytes = s.payload.Append(nil, s.unknown)
		}
		f := decode.Fault{Reason: iot.ReasonUnknownAlias, Detail: fmt.Sprintf("the name or type of %d metrics is only in the BIRTH, which was not seen, or messages behind it were missed", len(s.unknown))}
		s.out.Rejected = append(s.out.Rejected, f.Rejection(s.device.id, bytes))
	}
	if s.outcome.Born {
		s.rest = append(s.rest, sparkplug.Flag(online, s.payload.Millis))
	}
	slices.SortStableFunc(s.rest, func(a, b sparkplug.Metric) int { return cmp.Compare(a.Millis, b.Millis) })
	if len(s.rest) == 0 && len(s.unknown) == 0 {
		return decode.Fault{Reason: iot.ReasonNoMetrics, Detail: "there are no values in it"}
	}
	return decode.Fault{}
}

// reading appends what metrics of one time become.
func (s *sparkplugSteps) reading(metrics []sparkplug.Metric) {
	s.begin(s.device.id, s.device.key, &s.m)
	s.setTime(metrics[0].Millis)
	var fault decode.Fault
	for i := range metrics {
		if fault.Reason == "" {
			fault = s.value(&metrics[i])
		}
	}
	if fault.Reason == "" {
		fault = s.finish()
	}
	if fault.Reason != "" {
		bytes := s.m.Payload
		if len(metrics) < len(s.payload.Metrics) {
			parts := make([][]byte, 0, len(metrics))
			for i := range metrics {
				parts = append(parts, metrics[i].Bytes)
			}
			bytes = s.payload.Append(nil, parts)
		}
		s.out.Rejected = append(s.out.Rejected, fault.Rejection(s.device.id, bytes))
	}
}

// value adds the value of a metric to the reading.
func (s *sparkplugSteps) value(metric *sparkplug.Metric) decode.Fault {
	t := s.names.target(s.rule, []byte(metric.Name))
	m := decode.Member{Name: t.name, Kind: decode.Metric}
	why := ""
	switch number, ok := metric.Number(); {
	case t.wrong:
		why = "no metric can be called so"
	case ok:
		m.Number = number
	default:
		m.Kind = decode.Attribute
		switch m.Text, ok = metric.Text(); {
		case !ok:
			why = "it is neither a number nor a text: " + metric.Type.String()
		case t.name == iot.Temperature || t.name == iot.Humidity:
			why = "it is not a number"
		case s.rule.attributes != nil && !t.text:
			return decode.Fault{}
		}
	}
	if why != "" {
		s.omit([]byte(metric.Name), why, nil)
		return decode.Fault{}
	}
	return s.add(t, m)
}

// deaths appends that devices are offline: a device since it was said, a node, whose DEATH was made when it came online,
// since now.
func (s *sparkplugSteps) deaths() {
	for _, name := range s.outcome.Dead {
		id, key, err := iot.ParseDevice(name)
		if err != nil {
			continue // it had no readings either
		}
		s.begin(id, key, &s.m)
		if s.kind == "DDEATH" {
			s.setTime(s.payload.Millis)
		}
		s.draft.Members = append(s.draft.Members, decode.Member{Name: online, Kind: decode.Metric})
		var fault decode.Fault
		if s.out.Readings, fault = s.draft.Reading(s.out.Readings); fault.Reason != "" {
			s.out.Rejected = append(s.out.Rejected, fault.Rejection(id, s.m.Payload))
			return
		}
	}
}

// setTime sets when the reading was measured, in milliseconds since 1970, if that was said: 0 is not.
func (s *sparkplugSteps) setTime(millis uint64) {
	if millis != 0 {
		s.draft.SetTime(int64(min(millis, maxMillis)), true, strconv.AppendUint(nil, millis, 10))
	}
}

// maxMillis is further than any time that a reading may have.
const maxMillis = 1 << 60
