package event

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/telltale-iot/telltale/pkg/iot"
	telltalev1 "github.com/telltale-iot/telltale/proto/telltale/v1"
)

// The tags of the fields in proto/telltale/v1/reading.proto: the field's number and the type of its value
// on the wire. All fit into one byte.
const (
	tagDevice     = 1<<3 | byte(protowire.VarintType)
	tagAt         = 2<<3 | byte(protowire.VarintType)
	tagReceived   = 3<<3 | byte(protowire.VarintType)
	tagStamped    = 4<<3 | byte(protowire.VarintType)
	tagMetrics    = 5<<3 | byte(protowire.BytesType)
	tagAttributes = 6<<3 | byte(protowire.BytesType)
	tagOrigin     = 7<<3 | byte(protowire.Fixed64Type)
	tagKey        = 8<<3 | byte(protowire.BytesType)
	tagSaid       = 9<<3 | byte(protowire.BytesType)
	tagTopic      = 10<<3 | byte(protowire.BytesType)
	tagClient     = 11<<3 | byte(protowire.BytesType)
	lastField     = 11

	tagName   = 1<<3 | byte(protowire.BytesType)   // of a metric or an attribute
	tagNumber = 2<<3 | byte(protowire.Fixed64Type) // of a metric
	tagText   = 2<<3 | byte(protowire.BytesType)   // of an attribute
)

// appendReading appends the protobuf of r from somewhere, as proto.Marshal writes it: in the order of the fields'
// numbers, without those that are zero.
func appendReading(b []byte, r *iot.Reading, from Source) []byte {
	b = appendVarint(b, tagDevice, uint64(r.Device))
	b = appendVarint(b, tagAt, uint64(r.At.UnixMilli()))
	b = appendVarint(b, tagReceived, uint64(r.Received.UnixMilli()))
	b = appendVarint(b, tagStamped, uint64(stampToProto(r.Stamped)))
	for i := range r.Metrics {
		m := &r.Metrics[i]
		b = append(b, tagMetrics)
		b = protowire.AppendVarint(b, uint64(sizeMetric(m)))
		b = appendString(b, tagName, m.Name)
		b = appendFixed64(b, tagNumber, math.Float64bits(m.Value)) // -0 has a bit
	}
	for i := range r.Attributes {
		a := &r.Attributes[i]
		b = append(b, tagAttributes)
		b = protowire.AppendVarint(b, uint64(sizeString(a.Name)+sizeString(a.Value)))
		b = appendString(b, tagName, a.Name)
		b = appendString(b, tagText, a.Value)
	}
	b = appendFixed64(b, tagOrigin, r.Origin)
	b = appendString(b, tagKey, r.Key)
	b = appendString(b, tagSaid, r.Said)
	b = appendString(b, tagTopic, from.topic)
	return appendString(b, tagClient, from.client)
}

func appendVarint(b []byte, tag byte, v uint64) []byte {
	if v == 0 {
		return b
	}
	return protowire.AppendVarint(append(b, tag), v)
}

func appendFixed64(b []byte, tag byte, v uint64) []byte {
	if v == 0 {
		return b
	}
	return protowire.AppendFixed64(append(b, tag), v)
}

func appendString(b []byte, tag byte, s string) []byte {
	if s == "" {
		return b
	}
	return protowire.AppendString(append(b, tag), s)
}

// sizeReading returns how many bytes appendReading appends.
func sizeReading(r *iot.Reading, from Source) int {
	n := sizeVarint(uint64(r.Device)) + sizeVarint(uint64(r.At.UnixMilli())) +
		sizeVarint(uint64(r.Received.UnixMilli())) + sizeVarint(uint64(stampToProto(r.Stamped))) + sizeFixed64(r.Origin) +
		sizeString(r.Key) + sizeString(r.Said) + sizeString(from.topic) + sizeString(from.client)
	for i := range r.Metrics {
		n += 1 + protowire.SizeBytes(sizeMetric(&r.Metrics[i]))
	}
	for i := range r.Attributes {
		a := &r.Attributes[i]
		n += 1 + protowire.SizeBytes(sizeString(a.Name)+sizeString(a.Value))
	}
	return n
}

func sizeMetric(m *iot.Metric) int {
	return sizeString(m.Name) + sizeFixed64(math.Float64bits(m.Value))
}

func sizeFixed64(v uint64) int {
	if v == 0 {
		return 0
	}
	return 1 + protowire.SizeFixed64()
}

func sizeVarint(v uint64) int {
	if v == 0 {
		return 0
	}
	return 1 + protowire.SizeVarint(v)
}

func sizeString(s string) int {
	if s == "" {
		return 0
	}
	return 1 + protowire.SizeBytes(len(s))
}

// parseReading reads the protobuf of a reading. A metric that has the same name in like, at the same place,
// shares that name's memory, and so does a key. The result is sorted, and otherwise as good as what it is made from.
func parseReading(b []byte, like *iot.Reading) (iot.Reading, error) {
	var (
		r       iot.Reading
		at      int64
		arrival int64
		few     [8]iot.Metric
		metrics = few[:0]
	)
	for len(b) > 0 {
		tag, value, bits, n := field(b)
		if n < 0 {
			return r, fmt.Errorf("field of a reading: %w", protowire.ParseError(n))
		}
		b = b[n:]
		switch tag {
		case tagDevice:
			r.Device = iot.DeviceID(bits)
		case tagAt:
			at = int64(bits)
		case tagReceived:
			arrival = int64(bits)
		case tagStamped:
			r.Stamped = stampFromProto(telltalev1.TimestampSource(bits))
		case tagOrigin:
			r.Origin = bits
		case tagKey:
			if r.Key = like.Key; r.Key != string(value) {
				r.Key = string(value)
			}
		case tagSaid:
			r.Said = string(value)
		case tagMetrics:
			name, number, _, err := parseMember(value)
			if err != nil {
				return r, fmt.Errorf("metric: %w", err)
			}
			m := iot.Metric{Value: math.Float64frombits(number)}
			if i := len(metrics); i < len(like.Metrics) && like.Metrics[i].Name == string(name) {
				m.Name = like.Metrics[i].Name
			} else {
				m.Name = string(name)
			}
			metrics = append(metrics, m)
		case tagAttributes:
			name, _, text, err := parseMember(value)
			if err != nil {
				return r, fmt.Errorf("attribute: %w", err)
			}
			r.Attributes = append(r.Attributes, iot.Attribute{Name: string(name), Value: string(text)})
		}
	}
	if r.Stamped != iot.StampServer {
		r.Origin = 0
	}
	r.At, r.Received = time.UnixMilli(at).UTC(), time.UnixMilli(arrival).UTC()
	r.Metrics = slices.Clone(metrics)
	byName := func(a, b iot.Metric) int { return strings.Compare(a.Name, b.Name) }
	if !slices.IsSortedFunc(r.Metrics, byName) {
		slices.SortFunc(r.Metrics, byName)
	}
	slices.SortFunc(r.Attributes, func(a, b iot.Attribute) int { return strings.Compare(a.Name, b.Name) })
	return r, nil
}

// parseSource reads from where the protobuf of a reading, or what is left of it, says that it is.
func parseSource(b []byte) Source {
	var topic, client string
	for len(b) > 0 {
		tag, value, _, n := field(b)
		if n < 0 {
			break
		}
		b = b[n:]
		switch tag {
		case tagTopic:
			topic = string(value)
		case tagClient:
			client = string(value)
		}
	}
	return NewSource(topic, client)
}

// parseMember reads the protobuf of a metric, which has a number, or of an attribute, which has a text.
func parseMember(b []byte) (name []byte, number uint64, text []byte, err error) {
	for len(b) > 0 {
		tag, value, bits, n := field(b)
		if n < 0 {
			return nil, 0, nil, protowire.ParseError(n)
		}
		b = b[n:]
		switch tag {
		case tagName:
			name = value
		case tagNumber:
			number = bits
		case tagText:
			text = value
		}
	}
	return name, number, text, nil
}

// field reads one field: a tag as above, or 0 for a field that is not ours, with the value of its type,
// and the number of bytes; that is negative, as for protowire.ParseError, when it is not a field.
func field(b []byte) (tag byte, value []byte, bits uint64, n int) {
	num, typ, n := protowire.ConsumeTag(b)
	if n < 0 {
		return 0, nil, 0, n
	}
	var size int
	switch typ {
	case protowire.VarintType:
		bits, size = protowire.ConsumeVarint(b[n:])
	case protowire.Fixed64Type:
		bits, size = protowire.ConsumeFixed64(b[n:])
	case protowire.BytesType:
		value, size = protowire.ConsumeBytes(b[n:])
	default:
		size = protowire.ConsumeFieldValue(num, typ, b[n:])
	}
	if size < 0 {
		return 0, nil, 0, size
	}
	if num <= lastField {
		tag = byte(num)<<3 | byte(typ)
	}
	return tag, value, bits, n + size
}

func stampToProto(s iot.Stamp) telltalev1.TimestampSource {
	switch s {
	case iot.StampDevice:
		return telltalev1.TimestampSource_TIMESTAMP_SOURCE_DEVICE
	case iot.StampServer:
		return telltalev1.TimestampSource_TIMESTAMP_SOURCE_SERVER
	default:
		return telltalev1.TimestampSource_TIMESTAMP_SOURCE_UNSPECIFIED
	}
}

func stampFromProto(s telltalev1.TimestampSource) iot.Stamp {
	switch s {
	case telltalev1.TimestampSource_TIMESTAMP_SOURCE_DEVICE:
		return iot.StampDevice
	case telltalev1.TimestampSource_TIMESTAMP_SOURCE_SERVER:
		return iot.StampServer
	default:
		return iot.StampUnknown
	}
}
