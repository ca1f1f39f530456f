package mapping

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/telltale-iot/telltale/pkg/internal/decode"
	"github.com/telltale-iot/telltale/pkg/iot"
	"github.com/telltale-iot/telltale/pkg/mapping/internal/senml"
)

// senMLForm reads packs of Sensor Measurement Lists.
//
// The package's comment says what of a name is the device, and what it keeps of a pack.
type senMLForm struct{ rule *rule }

func (f senMLForm) start(route Route, m Message) steps {
	return &senMLSteps{
		rule: f.rule, topic: route.Device(), m: m,
		names: make(map[senMLName]*measured), groups: make(map[senMLGroup]int32),
	}
}

// senMLSteps is on the way through a pack.
type senMLSteps struct {
	candidate
	rule   *rule
	topic  string // what the topic calls the device
	m      Message
	names  map[senMLName]*measured
	groups map[senMLGroup]int32 // in the order in which they begin in the pack
	begun  bool
	reads  bool         // there is a record that can be part of a reading
	wrong  decode.Fault // the first thing wrong with a record
	rest   []senMLRecord
}

// senMLName is all that the name of a metric is made of.
type senMLName struct{ name, unit string }

// measured is what records of a name and unit are of.
type measured struct {
	device iot.DeviceID
	key    string
	target *target
	fault  decode.Fault
}

// senMLGroup is what the records of one reading have in common.
type senMLGroup struct {
	key    string
	device iot.DeviceID
	millis int64
	timed  bool
}

// senMLRecord is a record that is part of a reading.
type senMLRecord struct {
	senml.Record
	*measured
	group int32
	of    senMLGroup
}

// step implements steps: the first reads all of the pack, and each hands out a share of its readings.
func (s *senMLSteps) step(out *Result) outcome {
	s.out = out
	if !s.begun {
		s.begun = true
		omitted := len(out.Omitted)
		fault := senml.Read(s.m.Payload, s.record)
		if fault.Reason != "" {
			out.Omitted = out.Omitted[:omitted]
		} else if !s.reads {
			fault = cmp.Or(s.wrong, decode.Fault{Reason: iot.ReasonNoMetrics, Detail: "there are no records in it"})
		}
		if fault.Reason != "" {
			out.Rejected = append(out.Rejected, fault.Rejection(0, s.m.Payload))
			return done
		}
		slices.SortStableFunc(s.rest, func(a, b senMLRecord) int { return int(a.group - b.group) })
	}
	s.rest = handOut(s.rest, func(a, b *senMLRecord) bool { return a.group == b.group }, s.reading)
	if len(s.rest) > 0 {
		return more
	}
	return done
}

// record takes the next record of the pack.
func (s *senMLSteps) record(r *senml.Record) {
	if r.Wrong != "" {
		s.wrong = cmp.Or(s.wrong, decode.Fault{Reason: iot.ReasonInvalidMember, Detail: r.Wrong})
		s.omit([]byte(r.Name), r.Wrong, r.Bytes)
		return
	}
	what := s.names[senMLName{r.Name, r.Unit}]
	if what == nil {
		what = s.measured(r.Name, r.Unit)
		s.names[senMLName{r.Name, r.Unit}] = what
	}
	g := senMLGroup{device: what.device, key: what.key}
	if what.fault.Reason != "" {
		s.wrong = cmp.Or(s.wrong, what.fault)
		g = senMLGroup{key: r.Name}
	} else if s.reads = true; r.Time != 0 && (!s.m.Retained || !r.IsRelative()) { // 0 is now, and a retained message has no now
		g.millis, g.timed = senMLTime(r, s.m)
	}
	number, ok := s.groups[g]
	if !ok {
		number = int32(len(s.groups))
		s.groups[g] = number
	}
	s.rest = append(s.rest, senMLRecord{Record: *r, measured: what, group: number, of: g})
}

// senMLTime returns when r was measured, in milliseconds since 1970.
func senMLTime(r *senml.Record, m Message) (millis int64, ok bool) {
	const most = 1e12 // seconds; further than any time that a reading may have
	if math.Abs(r.Time) > most {
		return 0, false
	}
	millis = int64(math.Floor(math.Round(r.Time*1e6) / 1e3)) // a float has no thousandths, and is next to them
	if r.IsRelative() {
		millis += m.Received.UnixMilli()
	}
	return millis, true
}

// measured returns what records of a name and unit are of.
func (s *senMLSteps) measured(name, unit string) *measured {
	device, metric := splitSenML(name)
	device = cmp.Or(device, s.topic)
	if metric == "" {
		metric = senMLMetric(unit)
	}
	m := &measured{target: s.rule.resolve(metric)}
	var err error
	if m.device, m.key, err = iot.ParseDevice(device); device == "" {
		m.device, m.key, err = s.m.Own.ID, s.m.Own.Key, nil
	}
	switch {
	case m.device == 0 && err == nil:
		m.fault = decode.Fault{Reason: iot.ReasonMissingDeviceID, Detail: fmt.Sprintf("there is no device in front of a / in the name %.64q, and none in the topic", name)}
	case err != nil:
		m.fault = decode.Fault{Reason: iot.ReasonInvalidDeviceID, Detail: err.Error()}
	case m.target.wrong:
		m.fault = decode.Fault{Reason: iot.ReasonInvalidMember, Detail: fmt.Sprintf("no metric can be called %.64q", metric)}
	}
	return m
}

// splitSenML returns the device and the metric in a name.
func splitSenML(name string) (device, metric string) {
	if metric, isRelative := strings.CutPrefix(name, "/"); isRelative {
		return "", metric
	}
	if at := strings.LastIndexByte(name, '/'); at > 0 {
		return name[:at], name[at+1:]
	}
	if !strings.HasPrefix(name, "urn:") {
		return "", name
	}
	// urn:dev:mac:0024befffe804ff1 and urn:uuid:… are devices (RFC 9039, RFC 8141)
	parts := 3
	if strings.HasPrefix(name, "urn:dev:") {
		parts = 4
	}
	at := 0
	for range parts - 1 {
		next := strings.IndexByte(name[at:], ':')
		if next < 0 {
			return name, ""
		}
		at += next + 1
	}
	if end := strings.IndexAny(name[at:], ":_"); end >= 0 {
		return name[:at+end], name[at+end+1:]
	}
	return name, ""
}

// senMLMetric returns what a measurement in a unit is called that has no name.
func senMLMetric(unit string) string {
	switch unit {
	case "Cel", "K":
		return iot.Temperature
	case "%RH":
		return iot.Humidity
	default:
		return cmp.Or(unit, "value")
	}
}

// reading appends what records of one device and time become.
func (s *senMLSteps) reading(records []senMLRecord) {
	if s.draft.Members == nil {
		s.draft.Members = make([]decode.Member, 0, min(2*len(s.names), decode.MaxMembers))
	}
	of := records[0].of
	s.begin(of.device, of.key, &s.m)
	if t := records[0].Time; t != 0 {
		s.draft.SetTime(of.millis, of.timed, strconv.AppendFloat(nil, t, 'f', -1, 64))
	}
	fault := records[0].fault
	for i := range records {
		if fault.Reason == "" {
			fault = s.value(&records[i])
		}
		if fault.Reason == "" && records[i].HasSum {
			fault = s.sum(&records[i])
		}
	}
	if fault.Reason == "" {
		fault = s.finish()
	}
	if fault.Reason != "" {
		s.reject(fault, of.device, records...)
	}
}

// value adds the value of a record to the reading.
func (s *senMLSteps) value(r *senMLRecord) decode.Fault {
	m := decode.Member{Name: r.target.name, Kind: decode.Metric, Number: r.Number}
	why := ""
	switch r.Kind {
	case senml.None:
		return decode.Fault{}
	case senml.Number:
		if len(r.target.scales) == 0 {
			m.Name, m.Number, why = senMLUnit(r)
		}
	case senml.Boolean, senml.Text:
		if m.Name == iot.Temperature || m.Name == iot.Humidity {
			why = "it is not a number"
		}
		if r.Kind == senml.Text {
			m.Kind, m.Text = decode.Attribute, r.Text
			if !r.target.text && s.rule.attributes != nil {
				return decode.Fault{}
			}
		}
	case senml.Data:
		why = "it is data"
	}
	if why != "" {
		s.omit([]byte(r.Name), why, r.Bytes)
		return decode.Fault{}
	}
	return s.add(r.target, m)
}

// sum adds the sum of a record's values over time to the reading.
func (s *senMLSteps) sum(r *senMLRecord) decode.Fault {
	name := r.target.name + "_sum"
	if iot.ValidateName(name) != nil {
		s.omit([]byte(r.Name), "there is no room for _sum in its name", r.Bytes)
		return decode.Fault{}
	}
	return s.add(&target{raw: name}, decode.Member{Name: name, Kind: decode.Metric, Number: r.Sum})
}

// senMLUnit returns the name and value of a record in the unit that every client knows its metric in, or why there is
// none. A metric that was only renamed to such a one keeps its name.
func senMLUnit(r *senMLRecord) (name string, number float64, why string) {
	const kelvin, digits = 273.15, 1e9
	switch name = r.target.name; {
	case name == iot.Temperature && (r.Unit == "" || r.Unit == "Cel"):
	case name == iot.Temperature && r.Unit == "K":
		return name, math.Round((r.Number-kelvin)*digits) / digits, ""
	case name == iot.Humidity && (r.Unit == "" || r.Unit == "%RH" || r.Unit == "%"):
	case name == iot.Humidity && r.Unit == "/":
		return name, r.Number * 100, ""
	case name != iot.Temperature && name != iot.Humidity:
	case r.target.raw == name:
		return name, 0, fmt.Sprintf("its unit is %.32q", r.Unit)
	default:
		return r.target.raw, r.Number, ""
	}
	return name, r.Number, ""
}

// reject appends a rejection of records: the message, where it has no others, and otherwise a pack of them.
func (s *senMLSteps) reject(f decode.Fault, device iot.DeviceID, records ...senMLRecord) {
	b := s.m.Payload
	if len(s.groups) > 1 || s.wrong.Reason != "" {
		b = []byte{'['}
		for i := range records {
			if i > 0 {
				b = append(b, ',')
			}
			b = records[i].AppendJSON(b)
		}
		b = append(b, ']')
	}
	s.out.Rejected = append(s.out.Rejected, f.Rejection(device, b))
}
