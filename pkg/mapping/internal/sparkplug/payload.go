// Package sparkplug reads payloads of Sparkplug B, which are protocol buffers, and remembers what edge nodes said in their
// BIRTHs, without which their other messages mean nothing. It knows nothing of readings.
package sparkplug

import (
	"errors"
	"fmt"
	"math"
	"strconv"
	"time"
	"unicode/utf8"

	"google.golang.org/protobuf/encoding/protowire"
)

// MaxMetrics bounds the metrics of a message.
const MaxMetrics = 10_000

// ErrTooMany is of a message with more metrics.
var ErrTooMany = fmt.Errorf("over %d metrics", MaxMetrics)

// Payload is a message.
type Payload struct {
	Millis  uint64 // when it was sent, since 1970; 0: it does not say
	Seq     uint64 // its number
	HasSeq  bool
	Metrics []Metric
}

// Metric is one of a message.
type Metric struct {
	Name       string
	Alias      uint64
	HasAlias   bool
	Millis     uint64 // when it was measured, since 1970; 0: when the message was sent
	Type       Type   // 0: as in the BIRTH
	Historical bool   // it is no news
	Value      Value
	Bytes      []byte // as it stands in the message
	text       []byte
	bits       uint64
}

// Value is what kind of field a value stands in, which is not yet its type.
type Value uint8

// The kinds.
const (
	None    Value = iota // null, or none at all
	integer              // of 32 or 64 bits, whose type says what they mean
	float
	double
	boolean
	text
	other // bytes, data sets and templates
)

// Type is a type of metrics, by the number that the specification has for it.
type Type uint32

// The types that values of metrics here have.
const (
	Int8     Type = 1
	Int16    Type = 2
	Int32    Type = 3
	Int64    Type = 4
	UInt8    Type = 5
	UInt16   Type = 6
	UInt32   Type = 7
	UInt64   Type = 8
	Boolean  Type = 11
	DateTime Type = 13
)

// typeNames are those of the types, by their numbers.
var typeNames = []string{
	"Unknown", "Int8", "Int16", "Int32", "Int64", "UInt8", "UInt16", "UInt32", "UInt64", "Float", "Double", "Boolean", "String",
	"DateTime", "Text", "UUID", "DataSet", "Bytes", "File", "Template", "PropertySet", "PropertySetList", "Int8Array",
	"Int16Array", "Int32Array", "Int64Array", "UInt8Array", "UInt16Array", "UInt32Array", "UInt64Array", "FloatArray",
	"DoubleArray", "BooleanArray", "StringArray", "DateTimeArray",
}

func (t Type) String() string {
	if int(t) < len(typeNames) {
		return typeNames[t]
	}
	return fmt.Sprintf("type %d", uint32(t))
}

// Numbers of the fields, by the specification.
const (
	payloadTimestamp = 1
	payloadMetrics   = 2
	payloadSeq       = 3

	metricName       = 1
	metricAlias      = 2
	metricTimestamp  = 3
	metricType       = 4
	metricHistorical = 5
	metricTransient  = 6
	metricNull       = 7
	metricMetadata   = 8
	metricProperties = 9
	metricInt        = 10
	metricLong       = 11
	metricFloat      = 12
	metricDouble     = 13
	metricBoolean    = 14
	metricString     = 15
	metricDataSet    = 16
	metricBytes      = 17
	metricTemplate   = 18
	metricExtension  = 19
)

// How the fields are written, by their numbers.
var (
	payloadFields = []protowire.Type{payloadTimestamp: protowire.VarintType, payloadMetrics: protowire.BytesType, payloadSeq: protowire.VarintType}
	metricFields  = []protowire.Type{
		metricName: protowire.BytesType, metricAlias: protowire.VarintType, metricTimestamp: protowire.VarintType,
		metricType: protowire.VarintType, metricHistorical: protowire.VarintType, metricTransient: protowire.VarintType,
		metricNull: protowire.VarintType, metricMetadata: protowire.BytesType, metricProperties: protowire.BytesType,
		metricInt: protowire.VarintType, metricLong: protowire.VarintType, metricFloat: protowire.Fixed32Type,
		metricDouble: protowire.Fixed64Type, metricBoolean: protowire.VarintType, metricString: protowire.BytesType,
		metricDataSet: protowire.BytesType, metricBytes: protowire.BytesType, metricTemplate: protowire.BytesType,
		metricExtension: protowire.BytesType,
	}
)

// Parse reads a message. What it returns refers to it.
func Parse(message []byte) (Payload, error) {
	var p Payload
	err := fields(message, payloadFields, func(number protowire.Number, v value) error {
		switch number {
		case payloadTimestamp:
			p.Millis = v.number
		case payloadSeq:
			p.Seq, p.HasSeq = v.number, true
		case payloadMetrics:
			if len(p.Metrics) == MaxMetrics {
				return ErrTooMany
			}
			m, err := parseMetric(v.bytes)
			if err != nil {
				return err
			}
			p.Metrics = append(p.Metrics, m)
		}
		return nil
	})
	return p, err
}

func parseMetric(b []byte) (Metric, error) {
	m := Metric{Bytes: b}
	null := false
	err := fields(b, metricFields, func(number protowire.Number, v value) error {
		switch number {
		case metricName:
			if !utf8.Valid(v.bytes) {
				return errors.New("a name is not UTF-8")
			}
			m.Name = string(v.bytes)
		case metricAlias:
			m.Alias, m.HasAlias = v.number, true
		case metricTimestamp:
			m.Millis = v.number
		case metricType:
			m.Type = Type(v.number)
		case metricHistorical:
			m.Historical = v.number != 0
		case metricNull:
			null = v.number != 0
		case metricInt, metricLong:
			m.Value, m.bits = integer, v.number
		case metricFloat:
			m.Value, m.bits = float, v.number
		case metricDouble:
			m.Value, m.bits = double, v.number
		case metricBoolean:
			m.Value, m.bits = boolean, v.number
		case metricString:
			m.Value, m.text = text, v.bytes
		case metricDataSet, metricBytes, metricTemplate, metricExtension:
			m.Value = other
		}
		return nil
	})
	if null {
		m.Value = None
	}
	return m, err
}

// value is that of a field: a number, or bytes.
type value struct {
	number uint64
	bytes  []byte
}

var errWrongType = errors.New("a field is not of the type that it has to be")

// fields calls field for each field of a message, which are written as types has it.
func fields(b []byte, types []protowire.Type, field func(protowire.Number, value) error) error {
	for len(b) > 0 {
		number, kind, n := protowire.ConsumeTag(b)
		if n < 0 {
			return protowire.ParseError(n)
		}
		if int(number) < len(types) && kind != types[number] {
			return errWrongType
		}
		b = b[n:]
		var v value
		switch kind {
		case protowire.VarintType:
			v.number, n = protowire.ConsumeVarint(b)
		case protowire.Fixed32Type:
			var bits uint32
			bits, n = protowire.ConsumeFixed32(b)
			v.number = uint64(bits)
		case protowire.Fixed64Type:
			v.number, n = protowire.ConsumeFixed64(b)
		case protowire.BytesType:
			v.bytes, n = protowire.ConsumeBytes(b)
		default:
			n = protowire.ConsumeFieldValue(number, kind, b)
		}
		if n < 0 {
			return protowire.ParseError(n)
		}
		b = b[n:]
		if err := field(number, v); err != nil {
			return err
		}
	}
	return nil
}

// Number returns the value of m as a number, if it is one.
func (m *Metric) Number() (number float64, ok bool) {
	switch m.Value {
	case integer:
		switch m.Type {
		case Int8:
			return float64(int8(m.bits)), true
		case Int16:
			return float64(int16(m.bits)), true
		case Int32:
			return float64(int32(m.bits)), true
		case Int64:
			return float64(int64(m.bits)), true
		case UInt8, UInt16, UInt32, UInt64:
			return float64(m.bits), true
		}
	case float:
		// the number that a device with 32 bits means by them: 21.4, not 21.399999618530273
		f := strconv.FormatFloat(float64(math.Float32frombits(uint32(m.bits))), 'g', -1, 32)
		number, _ = strconv.ParseFloat(f, 64)
	case double:
		number = math.Float64frombits(m.bits)
	case boolean:
		return float64(min(m.bits, 1)), true
	default:
		return 0, false
	}
	return number, m.Value != integer && !math.IsInf(number, 0) && !math.IsNaN(number)
}

// Text returns the value of m as a text, if it is one.
func (m *Metric) Text() (string, bool) {
	const farthest = 253402300799999 // the end of 9999
	switch {
	case m.Value == text && utf8.Valid(m.text):
		return string(m.text), true
	case m.Value == integer && m.Type == DateTime && m.bits <= farthest:
		return time.UnixMilli(int64(m.bits)).UTC().Format("2006-01-02T15:04:05.000Z"), true
	}
	return "", false
}

// Append appends a message of metrics as they stand in others.
func (p *Payload) Append(b []byte, metrics [][]byte) []byte {
	if p.Millis != 0 {
		b = protowire.AppendVarint(protowire.AppendTag(b, payloadTimestamp, protowire.VarintType), p.Millis)
	}
	for _, m := range metrics {
		b = protowire.AppendBytes(protowire.AppendTag(b, payloadMetrics, protowire.BytesType), m)
	}
	return b
}

// Flag returns a metric that is true.
func Flag(name string, millis uint64) Metric {
	var b []byte
	b = protowire.AppendString(protowire.AppendTag(b, metricName, protowire.BytesType), name)
	b = protowire.AppendVarint(protowire.AppendTag(b, metricTimestamp, protowire.VarintType), millis)
	b = protowire.AppendVarint(protowire.AppendTag(b, metricType, protowire.VarintType), uint64(Boolean))
	b = protowire.AppendVarint(protowire.AppendTag(b, metricBoolean, protowire.VarintType), 1)
	return Metric{Name: name, Millis: millis, Type: Boolean, Value: boolean, Bytes: b, bits: 1}
}

// RebirthRequest returns the topic and the payload of the command to an edge node to send its BIRTHs again.
func RebirthRequest(group, node string, now time.Time) (topic string, payload []byte) {
	p := Payload{Millis: uint64(now.UnixMilli())}
	rebirth := Flag("Node Control/Rebirth", p.Millis)
	return "spBv1.0/" + group + "/NCMD/" + node, p.Append(nil, [][]byte{rebirth.Bytes})
}
