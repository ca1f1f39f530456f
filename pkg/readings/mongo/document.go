package mongo

import (
	"bytes"
	"iter"
	"math"
	"slices"
	"strings"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/x/bsonx/bsoncore"

	"github.com/telltale-iot/telltale/pkg/iot"
)

// The fields of a document. The first four are all that the system before Telltale wrote.
const (
	fieldDevice      = "device_id"
	fieldAt          = "timestamp"
	fieldTemperature = "temperature" // null where not measured
	fieldHumidity    = "humidity"    // null where not measured
	fieldMetrics     = "metrics"     // the other metrics: a document
	fieldAttributes  = "attributes"
	fieldStamped     = "timestamp_source" // absent where unknown
	fieldReceived    = "received_at"
	fieldKey         = "device_key"       // absent where device_id is the device's own
	fieldSaid        = "device_timestamp" // absent where the server replaced none
	// What server-stamped readings have beside that; see conflicts.go.
	fieldOrigin    = "origin"    // iot.Reading's
	fieldMoved     = "moved"     // where another one has its time: device_id, origin and the time, from
	fieldMovedFrom = "from"      // in fieldMoved
	fieldDisplaced = "displaced" // of a device-stamped reading, for a moment: the one whose time it took
)

// appendDocument appends r, stored at the millisecond at, as a document to dst. The server adds the _id.
// Documents are written and read by hand since marshalling by reflection would cost more than everything else
// that an insert does.
func appendDocument(dst []byte, r *iot.Reading, at int64) ([]byte, error) {
	document, dst := bsoncore.AppendDocumentStart(dst)
	dst = bsoncore.AppendInt64Element(dst, fieldDevice, int64(r.Device))
	if r.Key != "" {
		dst = bsoncore.AppendStringElement(dst, fieldKey, r.Key)
	}
	dst = bsoncore.AppendDateTimeElement(dst, fieldAt, at)
	dst, err := appendContent(dst, r)
	if err != nil {
		return dst, err
	}
	if r.Origin != 0 {
		dst = bsoncore.AppendInt64Element(dst, fieldOrigin, int64(r.Origin))
	}
	if r.At.UnixMilli() != at {
		dst = bsoncore.AppendDocumentElement(dst, fieldMoved, identityOf(r))
	}
	return bsoncore.AppendDocumentEnd(dst, document)
}

// appendContent appends the fields that change where others are merged into r.
func appendContent(dst []byte, r *iot.Reading) ([]byte, error) {
	others := len(r.Metrics)
	for _, field := range [...]string{fieldTemperature, fieldHumidity} {
		if value, ok := r.Metric(field); ok {
			dst = bsoncore.AppendDoubleElement(dst, field, value)
			others--
		} else {
			dst = bsoncore.AppendNullElement(dst, field)
		}
	}
	// Inside a document, a name may have dots and begin with a dollar sign.
	metrics, dst := bsoncore.AppendDocumentElementStart(dst, fieldMetrics)
	if others > 0 {
		for _, m := range r.Metrics {
			if m.Name != iot.Temperature && m.Name != iot.Humidity {
				dst = bsoncore.AppendDoubleElement(dst, m.Name, m.Value)
			}
		}
	}
	dst, err := bsoncore.AppendDocumentEnd(dst, metrics)
	if err != nil {
		return dst, err
	}
	attributes, dst := bsoncore.AppendDocumentElementStart(dst, fieldAttributes)
	for _, a := range r.Attributes {
		dst = bsoncore.AppendStringElement(dst, a.Name, a.Value)
	}
	if dst, err = bsoncore.AppendDocumentEnd(dst, attributes); err != nil {
		return dst, err
	}
	if r.Stamped != iot.StampUnknown {
		dst = bsoncore.AppendStringElement(dst, fieldStamped, r.Stamped.String())
	}
	if r.Said != "" {
		dst = bsoncore.AppendStringElement(dst, fieldSaid, r.Said)
	}
	return bsoncore.AppendDateTimeElement(dst, fieldReceived, r.Received.UnixMilli()), nil
}

// identityOf returns the value of fieldMoved, which is unique.
func identityOf(r *iot.Reading) bsoncore.Document {
	return bsoncore.NewDocumentBuilder().
		AppendInt64(fieldDevice, int64(r.Device)).
		AppendInt64(fieldOrigin, int64(r.Origin)).
		AppendDateTime(fieldMovedFrom, r.At.UnixMilli()).Build()
}

// readDocument returns document as a reading, and false where it is none. It takes what the system before
// Telltale wrote: numbers of any type, no fields but the first four, and no received_at, which leaves
// Received zero. A value that is no finite number counts as not measured.
func readDocument(document bson.Raw) (r iot.Reading, ok bool) {
	hasTime := false
	r.Metrics = make([]iot.Metric, 0, 2)
	for name, value := range elements(document) {
		switch string(name) {
		case fieldDevice:
			id, _ := value.AsInt64OK()
			r.Device = iot.DeviceID(id)
		case fieldAt:
			var ms int64
			ms, hasTime = value.DateTimeOK()
			r.At = time.UnixMilli(ms).UTC()
		case fieldTemperature:
			r.Metrics = appendMetric(r.Metrics, iot.Temperature, value)
		case fieldHumidity:
			r.Metrics = appendMetric(r.Metrics, iot.Humidity, value)
		case fieldMetrics:
			metrics, _ := value.DocumentOK()
			for name, value := range elements(metrics) {
				r.Metrics = appendMetric(r.Metrics, string(name), value)
			}
		case fieldAttributes:
			attributes, _ := value.DocumentOK()
			for name, value := range elements(attributes) {
				if text, ok := value.StringValueOK(); ok {
					r.Attributes = append(r.Attributes, iot.Attribute{Name: string(name), Value: text})
				}
			}
		case fieldStamped:
			text, _ := value.StringValueOK()
			r.Stamped = iot.ParseStamp(text)
		case fieldKey:
			r.Key, _ = value.StringValueOK()
		case fieldSaid:
			r.Said, _ = value.StringValueOK()
		case fieldOrigin:
			origin, _ := value.Int64OK()
			r.Origin = uint64(origin)
		case fieldReceived:
			if ms, ok := value.DateTimeOK(); ok {
				r.Received = time.UnixMilli(ms).UTC()
			}
		}
	}
	slices.SortFunc(r.Metrics, func(a, b iot.Metric) int { return strings.Compare(a.Name, b.Name) })
	slices.SortFunc(r.Attributes, func(a, b iot.Attribute) int { return strings.Compare(a.Name, b.Name) })
	return r, hasTime && r.Device.Valid()
}

func appendMetric(metrics []iot.Metric, name string, value bsoncore.Value) []iot.Metric {
	number, ok := value.AsFloat64OK()
	if !ok || math.IsNaN(number) || math.IsInf(number, 0) {
		return metrics
	}
	return append(metrics, iot.Metric{Name: name, Value: number})
}

// elements iterates over the names and values in document, until its end or what is no element.
func elements(document []byte) iter.Seq2[[]byte, bsoncore.Value] {
	return func(yield func([]byte, bsoncore.Value) bool) {
		_, rest, ok := bsoncore.ReadLength(document)
		for ok && len(rest) > 1 { // the last byte ends the document
			var e bsoncore.Element
			if e, rest, ok = bsoncore.ReadElement(rest); !ok {
				return
			}
			// What e.Key and e.Value do, with one search for the end of the name: type, name, 0, value.
			end := 1 + bytes.IndexByte(e[1:], 0)
			if !yield(e[1:end], bsoncore.Value{Type: bsoncore.Type(e[0]), Data: e[end+1:]}) {
				return
			}
		}
	}
}
