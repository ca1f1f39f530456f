package mongo

import (
	"regexp"
	"slices"
	"strings"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/telltale-iot/telltale/pkg/iot"
)

// The fields of a document that are asked for by name; document has all of them.
const (
	fieldID       = "_id"
	fieldReason   = "reason"
	fieldDevice   = "device_id"
	fieldSource   = "source"
	fieldReceived = "received_at"
	fieldStored   = "stored_at"
	fieldReplayed = "replayed_at"
	fieldReadings = "replayed_readings"
)

// document is a dead letter as it stands in the collection.
type document struct {
	ID          string     `bson:"_id"`
	Reason      string     `bson:"reason"`
	Detail      string     `bson:"detail"`
	Device      int64      `bson:"device_id,omitempty"` // absent where unknown
	Source      string     `bson:"source"`
	Client      string     `bson:"client_id,omitempty"`
	Principal   string     `bson:"principal,omitempty"`
	Received    time.Time  `bson:"received_at"`
	TopicDevice string     `bson:"topic_device_id,omitempty"`
	Retained    bool       `bson:"retained,omitempty"`
	ContentType string     `bson:"content_type,omitempty"`
	Bytes       []byte     `bson:"bytes"`
	Stored      time.Time  `bson:"stored_at"`
	Replayed    *time.Time `bson:"replayed_at,omitempty"` // absent where never
	Readings    int        `bson:"replayed_readings,omitempty"`
}

// documentOf returns d as a document that is stored now.
func documentOf(d iot.DeadLetter, now time.Time) document {
	doc := document{
		ID: d.ID.String(), Reason: string(d.Reason), Detail: d.Detail, Device: int64(d.Device), Source: d.Source, Client: d.Client, Principal: d.Principal,
		Received: d.Received, TopicDevice: d.TopicDevice, Retained: d.Retained, ContentType: d.ContentType,
		Bytes:  append([]byte{}, d.Bytes...), // nil would be stored as null
		Stored: now, Readings: d.Replay.Readings,
	}
	if !d.Replay.At.IsZero() {
		doc.Replayed = &d.Replay.At
	}
	return doc
}

// deadLetter returns doc as a dead letter, and an error where somebody else wrote it.
func (doc document) deadLetter() (iot.DeadLetter, error) {
	id, err := iot.ParseDeadLetterID(doc.ID)
	d := iot.DeadLetter{
		Rejection: iot.Rejection{Reason: iot.Reason(doc.Reason), Detail: doc.Detail, Device: iot.DeviceID(doc.Device), Bytes: doc.Bytes},
		ID:        id, Source: doc.Source, Client: doc.Client, Principal: doc.Principal, Received: doc.Received.UTC(),
		TopicDevice: doc.TopicDevice, Retained: doc.Retained, ContentType: doc.ContentType,
		Replay: iot.Replay{Readings: doc.Readings},
	}
	if doc.Replayed != nil {
		d.Replay.At = doc.Replayed.UTC()
	}
	return d, err
}

// filterOf selects what q, whatever its Limit, does.
func filterOf(q iot.DeadLetterQuery) bson.D {
	filter := bson.D{}
	add := func(name string, value any) { filter = append(filter, bson.E{Key: name, Value: value}) }
	if q.Reason != "" {
		add(fieldReason, string(q.Reason))
	}
	switch devices := q.Devices; { // one condition for both: a document has each name once
	case devices == nil && q.Device != 0:
		add(fieldDevice, int64(q.Device))
	case devices != nil:
		if q.Device != 0 {
			devices = slices.DeleteFunc(slices.Clone(devices), func(id iot.DeviceID) bool { return id != q.Device })
		}
		add(fieldDevice, bson.D{{Key: "$in", Value: devices}})
	}
	if q.Source != "" {
		add(fieldSource, bson.Regex{Pattern: expressionOf(q.Source)})
	}
	received := bson.D{}
	if !q.From.IsZero() {
		received = append(received, bson.E{Key: "$gte", Value: millis(q.From)})
	}
	if !q.To.IsZero() {
		received = append(received, bson.E{Key: "$lt", Value: millis(q.To)})
	}
	if !q.After.IsZero() {
		at := bson.DateTime(q.After.Received.UnixMilli())
		received = append(received, bson.E{Key: "$lte", Value: at})
		add("$or", bson.A{
			bson.D{{Key: fieldReceived, Value: bson.D{{Key: "$lt", Value: at}}}},
			bson.D{{Key: fieldID, Value: bson.D{{Key: "$lt", Value: q.After.ID.String()}}}},
		})
	}
	if len(received) > 0 {
		add(fieldReceived, received)
	}
	if q.Replayed != nil {
		add(fieldReplayed, bson.D{{Key: "$exists", Value: *q.Replayed}})
	}
	return filter
}

// expressionOf returns a regular expression for the topics that f selects.
func expressionOf(f iot.TopicFilter) string {
	if f == "#" {
		return `\A`
	}
	filter, below := strings.CutSuffix(string(f), "/#")
	levels := strings.Split(filter, "/")
	for i, level := range levels {
		if level == "+" {
			levels[i] = "[^/]*"
		} else {
			levels[i] = regexp.QuoteMeta(level)
		}
	}
	expression := `\A` + strings.Join(levels, "/")
	if below {
		return expression + `(/|\z)`
	}
	return expression + `\z`
}
