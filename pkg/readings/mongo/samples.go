package mongo

import (
	"context"
	"fmt"
	"math"
	"slices"
	"strings"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"
	"go.mongodb.org/mongo-driver/v2/x/bsonx/bsoncore"

	"github.com/telltale-iot/telltale/pkg/iot"
	"github.com/telltale-iot/telltale/pkg/readings/internal/samples"
	"github.com/telltale-iot/telltale/pkg/readings/internal/timerange"
)

// ReadSamples implements iot.HistoryReader.
func (s *Store) ReadSamples(ctx context.Context, q iot.SampleQuery, take func(iot.Samples) error) error {
	return s.readSamples(ctx, q, s.Driver, take)
}

func (s *Store) readSamples(
	ctx context.Context, q iot.SampleQuery, open func(context.Context) (*mongo.Collection, error), take func(iot.Samples) error,
) error {
	collection, err := open(ctx)
	if err != nil {
		return fmt.Errorf("read samples: %w", err)
	}
	c := collector{samples.NewBuffer(take), wantedOf(q.Metrics)}
	times := timerange.Of(iot.ScanQuery{From: q.From, To: q.To})
	if q.Devices == nil {
		return c.read(ctx, collection, filterOf(nil, times), oldest)
	}
	for _, device := range timerange.Devices(q.Devices) {
		if err := c.read(ctx, collection, filterOf([]iot.DeviceID{device}, times), unique.Keys); err != nil {
			return err
		}
	}
	return nil
}

// collector gathers the samples of documents.
type collector struct {
	*samples.Buffer
	wanted wanted
}

// read hands out what the documents have that filter selects.
func (c collector) read(ctx context.Context, from *mongo.Collection, filter, sort bson.D) error {
	cursor, err := from.Find(ctx, filter, options.Find().SetSort(sort).SetProjection(c.wanted.projection))
	if err != nil {
		return fmt.Errorf("read samples: %w", err)
	}
	defer cursor.Close(context.WithoutCancel(ctx)) //nolint:errcheck // the server closes it too, later
	for cursor.Next(ctx) {
		c.add(cursor.Current)
		if err := c.FlushFull(ctx); err != nil {
			return err
		}
	}
	if err := cursor.Err(); err != nil {
		return fmt.Errorf("read samples: %w", err)
	}
	return c.Flush(ctx)
}

func (c collector) add(document bson.Raw) {
	device, at, ok := placeOf(document)
	if !ok {
		return
	}
	c.wanted.values(document, func(name []byte, value float64) { samples.Add(c.Buffer, device, name, at, value) })
}

// wanted are the metrics of which values are read.
type wanted struct {
	names      []string // nil: all
	projection bson.D   // what the documents have of them, and the places
}

func wantedOf(names []string) wanted {
	w := wanted{names: names, projection: bson.D{{Key: "_id", Value: 0}, {Key: fieldDevice, Value: 1}, {Key: fieldAt, Value: 1}}}
	include := func(field string) { w.projection = append(w.projection, bson.E{Key: field, Value: 1}) }
	var others []string
	for _, name := range []string{iot.Temperature, iot.Humidity} {
		if w.has([]byte(name)) {
			include(name)
		}
	}
	for _, name := range names {
		if name != iot.Temperature && name != iot.Humidity {
			others = append(others, name)
		}
	}
	noPath := func(name string) bool { return strings.ContainsAny(name, ".$") || iot.ValidateName(name) != nil }
	switch {
	case names == nil || slices.ContainsFunc(others, noPath):
		include(fieldMetrics)
	default:
		for _, name := range slices.Compact(slices.Sorted(slices.Values(others))) {
			include(fieldMetrics + "." + name)
		}
	}
	return w
}

func (w wanted) has(name []byte) bool {
	return w.names == nil || slices.ContainsFunc(w.names, func(n string) bool { return n == string(name) })
}

// values calls add with each value that document has of the metrics that are wanted.
func (w wanted) values(document bson.Raw, add func(name []byte, value float64)) {
	for name, value := range elements(document) {
		switch string(name) {
		case fieldTemperature, fieldHumidity:
			w.value(name, value, add)
		case fieldMetrics:
			metrics, _ := value.DocumentOK()
			for name, value := range elements(metrics) {
				w.value(name, value, add)
			}
		}
	}
}

func (w wanted) value(name []byte, value bsoncore.Value, add func(name []byte, value float64)) {
	if number, ok := value.AsFloat64OK(); ok && !math.IsNaN(number) && !math.IsInf(number, 0) && w.has(name) {
		add(name, number)
	}
}

// placeOf returns where document is, and false where it is no reading.
func placeOf(document bson.Raw) (device iot.DeviceID, at int64, ok bool) {
	hasTime := false
	for name, value := range elements(document) {
		switch string(name) {
		case fieldDevice:
			id, _ := value.AsInt64OK()
			device = iot.DeviceID(id)
		case fieldAt:
			at, hasTime = value.DateTimeOK()
		}
	}
	return device, at, hasTime && device.Valid()
}
