// Package senml reads packs of Sensor Measurement Lists (RFC 8428) in JSON and in CBOR, and says of each record what it
// is with the base fields in front of it. It knows no devices and no readings; package mapping makes these of it.
//
// A pack is read in one pass, with no more memory than the record at hand in JSON, and a copy of the pack in CBOR. An
// object that stands alone is a pack of one record. What the records behind it could not be read without costs the
// whole pack: broken syntax, a base field of the wrong type, a version above those below, and, as the RFC demands, a
// label that ends with _ and is not known. Anything else that is wrong with a record is said of that record alone.
//
// Beyond the RFC a number may stand in quotes, and a name may have any characters. The field ut (when there will be
// another value) is not read.
package senml

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"strings"

	"github.com/telltale-iot/telltale/pkg/internal/decode"
	"github.com/telltale-iot/telltale/pkg/iot"
)

// Versions that are understood: all up to 10, that of RFC 8428, and with units of RFC 8798 (RFC 9100).
const (
	maxVersion         = 10
	secondUnitsVersion = maxVersion + 1<<4
)

// maxName bounds a name with its base: that of a device, a separator, and that of a metric.
const maxName = iot.MaxKeyBytes + 1 + iot.MaxNameBytes

// relative is where seconds since 1970 begin: what is below counts from when the pack was received.
const relative = 1 << 28

// Record is a measurement, with what base fields say of it.
type Record struct {
	Name   string
	Unit   string
	Time   float64 // in seconds since 1970, or, with IsRelative, from now
	Kind   Kind    // of the value
	Number float64
	Text   string
	Sum    float64
	HasSum bool
	Wrong  string // why it is none; then there is no more than Bytes, and perhaps the Name
	Bytes  []byte // the record as it stands in the pack
}

// IsRelative reports whether r was measured at a time from when it was received.
func (r *Record) IsRelative() bool { return r.Time < relative }

// AppendJSON appends r as a record that needs no other: a resolved one, but for times from now.
func (r *Record) AppendJSON(b []byte) []byte {
	field := func(label string, value any) {
		text, err := json.Marshal(value)
		if err != nil {
			panic(err) // of texts, and numbers that are finite
		}
		if b[len(b)-1] != '{' {
			b = append(b, ',')
		}
		b = append(append(b, `"`+label+`":`...), text...)
	}
	b = append(b, '{')
	field("n", r.Name)
	if r.Unit != "" {
		field("u", r.Unit)
	}
	if r.Time != 0 {
		field("t", r.Time)
	}
	switch r.Kind {
	case Number:
		field("v", r.Number)
	case Boolean:
		field("vb", r.Number == 1)
	case Text:
		field("vs", r.Text)
	case Data:
		field("vd", "")
	}
	if r.HasSum {
		field("s", r.Sum)
	}
	return append(b, '}')
}

// Kind is what a value is.
type Kind uint8

// The kinds of values.
const (
	None Kind = iota // there is a sum alone
	Number
	Boolean // a Number, 0 or 1
	Text
	Data
)

// Read calls each with the records in a pack, one after the other, and returns what costs the whole of it: then what
// each was told means nothing.
func Read(message []byte, each func(*Record)) decode.Fault {
	p := pack{each: each}
	if text := bytes.TrimLeft(message, " \t\r\n"); len(text) > 0 && text[0] >= firstOfCBOR && !bytes.HasPrefix(text, []byte("\ufeff")) {
		p.readCBOR(message)
	} else {
		p.readJSON(decode.Trim(message))
	}
	return p.fault
}

// firstOfCBOR is the least byte that an array or object of CBOR, or a tag in front of it, begins with. JSON never does.
const firstOfCBOR = 0x80

// pack is a pack on the way through it.
type pack struct {
	each   func(*Record)
	fault  decode.Fault
	base   fields // what was said up to here
	own    fields // what the record says that is read
	record Record
}

// fields are the base fields, or those of a record.
type fields struct {
	has              set
	name, unit       string
	time, value, sum float64
}

// set is which fields are there.
type set uint8

const (
	hasName set = 1 << iota
	hasUnit
	hasTime
	hasValue // in a record a value of any kind
	hasSum
)

// field is one value in a record.
type field struct {
	kind   fieldKind
	number float64
	text   string
}

type fieldKind uint8

const (
	other fieldKind = iota // of no type that any field has
	null
	number
	text
	truth // a number, 0 or 1
	data
)

// begin begins with a record.
func (p *pack) begin() { p.own, p.record = fields{}, Record{} }

// field takes a field of the record.
func (p *pack) field(label string, f field) {
	if f.kind == null {
		return
	}
	switch label {
	case "bver":
		if version := p.number("bver", f, nil, 0); version > maxVersion && version != secondUnitsVersion {
			p.reject("bver %v: a version that is not known", version)
		}
	case "bn":
		p.base.text(p, "bn", f, &p.base.name, hasName)
	case "bu":
		p.base.text(p, "bu", f, &p.base.unit, hasUnit)
	case "bt":
		p.base.time = p.number("bt", f, &p.base, hasTime)
	case "bv":
		p.base.value = p.number("bv", f, &p.base, hasValue)
	case "bs":
		p.base.sum = p.number("bs", f, &p.base, hasSum)
	case "n":
		p.own.text(p, "n", f, &p.own.name, hasName)
	case "u":
		p.own.text(p, "u", f, &p.own.unit, hasUnit)
	case "t":
		p.own.time = p.number("t", f, &p.own, hasTime)
	case "s":
		p.own.sum = p.number("s", f, &p.own, hasSum)
	case "v", "vb", "vs", "vd":
		p.value(label, f)
	default:
		if strings.HasSuffix(label, "_") {
			p.reject("%.32q has to be understood, and is not", label)
		}
	}
}

// value takes one of the fields that are a value. A record may have one of them; of several the first counts.
func (p *pack) value(label string, f field) {
	r := &p.record
	switch {
	case p.own.has&hasValue != 0:
		return
	case label == "v":
		p.own.value, r.Kind = p.number(label, f, &p.own, hasValue), Number
	case label == "vb" && f.kind == truth:
		r.Number, r.Kind = f.number, Boolean
	case label == "vs" && f.kind == text:
		r.Text, r.Kind = f.text, Text
	case label == "vd" && (f.kind == text || f.kind == data):
		r.Kind = Data
	default:
		p.wrong(label)
	}
	p.own.has |= hasValue
}

// text takes a field that is a text.
func (fs *fields) text(p *pack, label string, f field, to *string, is set) {
	if f.kind != text {
		p.wrong(label)
		return
	}
	*to = f.text
	fs.has |= is
}

// number returns the number that a field is, and notes in fs, unless that is nil, that it is there.
func (p *pack) number(label string, f field, fs *fields, is set) float64 {
	if f.kind == text {
		if d, ok := decode.ParseNumber([]byte(f.text)); ok {
			f.number, ok = d.Float()
			if ok {
				f.kind = number
			}
		}
	}
	if f.kind != number {
		p.wrong(label)
		return 0
	}
	if fs != nil {
		fs.has |= is
	}
	return f.number
}

// wrong notes that a field is not what it has to be.
func (p *pack) wrong(label string) {
	if label[0] == 'b' {
		p.reject("%s is not of the type that it has to be", label)
	} else if p.record.Wrong == "" {
		p.record.Wrong = label + " is not of the type that it has to be"
	}
}

// reject notes what costs the whole pack.
func (p *pack) reject(format string, args ...any) {
	if p.fault.Reason == "" {
		p.fault = decode.Fault{Reason: iot.ReasonInvalidMember, Detail: fmt.Sprintf(format, args...)}
	}
}

// end tells of the record, which b is, if there is something to be told.
func (p *pack) end(b []byte) {
	r, own, base := &p.record, &p.own, &p.base
	r.Bytes = b
	names := own.has&(hasName|hasUnit|hasTime) != 0 // it is no record with base fields for others
	has := own.has
	if has&(hasValue|hasSum) == 0 && names {
		has |= base.has & (hasValue | hasSum) // what is missing is 0
	}
	n := len(base.name) + len(own.name)
	if n <= maxName {
		r.Name = base.name + own.name
	}
	if r.Wrong == "" {
		switch {
		case has&(hasValue|hasSum) == 0 && !names:
			return
		case has&(hasValue|hasSum) == 0:
			r.Wrong = "it has no value"
		case n > maxName:
			r.Wrong = fmt.Sprintf("its name has %d bytes, over %d", n, maxName)
		}
	}
	if r.Wrong != "" {
		p.each(r)
		return
	}
	if r.Kind == None && has&hasValue != 0 {
		r.Kind = Number
	}
	if r.Kind == Number {
		r.Number = base.value + own.value
	}
	r.Time = base.time + own.time
	r.Sum, r.HasSum = base.sum+own.sum, (base.has|own.has)&hasSum != 0
	if r.Unit = own.unit; own.has&hasUnit == 0 {
		r.Unit = base.unit
	}
	if math.IsInf(r.Number, 0) || math.IsInf(r.Sum, 0) || math.IsInf(r.Time, 0) {
		r.Wrong = "a number is out of range"
	}
	p.each(r)
}
