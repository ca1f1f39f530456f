package senml

import (
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"

	"github.com/fxamacker/cbor/v2"

	"github.com/telltale-iot/telltale/pkg/internal/decode"
	"github.com/telltale-iot/telltale/pkg/iot"
)

// maxFields bounds the fields of a record in CBOR. The RFC has 15.
const maxFields = 64

// mode is how CBOR is read.
var mode = func() cbor.DecMode {
	m, err := cbor.DecOptions{
		MaxNestedLevels:  decode.MaxDepth,
		MaxArrayElements: decode.MaxElements,
		MaxMapPairs:      maxFields,
	}.DecMode()
	if err != nil {
		panic(err) // the options are constant
	}
	return m
}()

// labels are those that CBOR has integers for, in the order in which they are looked at.
var labels = []struct {
	number int64
	label  string
}{
	{-1, "bver"}, {-2, "bn"}, {-3, "bt"}, {-4, "bu"}, {-5, "bv"}, {-6, "bs"},
	{0, "n"}, {1, "u"}, {2, "v"}, {3, "vs"}, {4, "vb"}, {8, "vd"}, {5, "s"}, {6, "t"},
}

// readCBOR reads a pack in CBOR.
func (p *pack) readCBOR(message []byte) {
	var records []cbor.RawMessage
	rest, err := mode.UnmarshalFirst(message, &records)
	var tooMany *cbor.MaxArrayElementsError
	var wrongType *cbor.UnmarshalTypeError
	switch {
	case errors.As(err, &tooMany):
		p.fault = decode.Fault{Reason: iot.ReasonTooLarge, Detail: fmt.Sprintf("over %d records", decode.MaxElements)}
		return
	case errors.As(err, &wrongType): // an object, or nothing that is SenML
		records, rest = []cbor.RawMessage{message[:len(message)-len(rest)]}, nil
	case err != nil:
		p.fault = decode.Fault{Reason: iot.ReasonInvalidCBOR, Detail: err.Error()}
		return
	}
	for _, r := range records {
		if err := p.recordCBOR(r); err != nil {
			p.fault = decode.Fault{Reason: iot.ReasonInvalidCBOR, Detail: err.Error()}
			return
		}
	}
	if rest = decode.Trim(rest); len(rest) > 0 {
		p.fault = decode.Fault{Reason: iot.ReasonTrailingBytes, Detail: fmt.Sprintf("byte %d: %.32q", len(message)-len(rest), rest)}
	}
}

// recordCBOR reads a record.
func (p *pack) recordCBOR(b cbor.RawMessage) error {
	p.begin()
	var fields map[any]cbor.RawMessage
	if err := mode.Unmarshal(b, &fields); err != nil {
		return fmt.Errorf("a record: %w", err)
	}
	for _, l := range labels {
		var key any = l.number
		if l.number >= 0 {
			key = uint64(l.number)
		}
		if value, ok := fields[key]; ok {
			p.field(l.label, fieldCBOR(value))
		}
	}
	extensions := make(map[string]cbor.RawMessage)
	for key, value := range fields {
		if label, ok := key.(string); ok {
			extensions[label] = value
		}
	}
	for _, label := range slices.Sorted(maps.Keys(extensions)) {
		p.field(label, fieldCBOR(extensions[label]))
	}
	p.end(b)
	return nil
}

// fieldCBOR reads a value.
func fieldCBOR(b cbor.RawMessage) field {
	var value any
	if err := mode.Unmarshal(b, &value); err != nil {
		return field{}
	}
	switch v := value.(type) {
	case nil:
		return field{kind: null}
	case uint64:
		return field{kind: number, number: float64(v)}
	case int64:
		return field{kind: number, number: float64(v)}
	case float64:
		if math.IsNaN(v) || math.IsInf(v, 0) {
			return field{}
		}
		return field{kind: number, number: v}
	case string:
		return field{kind: text, text: v}
	case []byte:
		return field{kind: data}
	case bool:
		if v {
			return field{kind: truth, number: 1}
		}
		return field{kind: truth}
	case cbor.Tag:
		return decimalFraction(v)
	default:
		return field{}
	}
}

// decimalFraction reads a number that is written as an exponent of ten and a mantissa.
func decimalFraction(t cbor.Tag) field {
	const tag = 4
	parts, ok := t.Content.([]any)
	if t.Number != tag || !ok || len(parts) != 2 {
		return field{}
	}
	for _, part := range parts {
		switch part.(type) {
		case int64, uint64:
		default:
			return field{}
		}
	}
	v, err := strconv.ParseFloat(fmt.Sprintf("%de%d", parts[1], parts[0]), 64)
	if err != nil {
		return field{}
	}
	return field{kind: number, number: v}
}
