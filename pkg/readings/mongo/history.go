package mongo

import (
	"cmp"
	"context"
	"fmt"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"github.com/telltale-iot/telltale/pkg/iot"
	"github.com/telltale-iot/telltale/pkg/readings/internal/timerange"
)

const (
	// scanBatch is how many documents an answer of the server holds at most, while readings are scanned.
	scanBatch = 1000
	// maxCursors is of how many devices the readings are read from a cursor for each, and merged: each has its part of
	// scanBatch in memory. Those of more are picked out of those of all.
	maxCursors = 16
)

var oldest = bson.D{{Key: fieldAt, Value: 1}, {Key: fieldDevice, Value: 1}}

// ScanReadings implements iot.HistoryReader.
func (s *Store) ScanReadings(ctx context.Context, q iot.ScanQuery, take func(*iot.Reading) (more bool, err error)) error {
	times, sort := timerange.Of(q), oldest
	q.Devices = timerange.Devices(q.Devices)
	if q.Newest {
		sort = newest.Keys
	}
	filters := []bson.D{filterOf(q.Devices, times)}
	if len(q.Devices) > 1 && len(q.Devices) <= maxCursors {
		filters = nil
		for _, device := range q.Devices {
			filters = append(filters, filterOf([]iot.DeviceID{device}, times))
		}
	}
	var scans scans
	defer func() {
		for _, scan := range scans {
			_ = scan.cursor.Close(context.WithoutCancel(ctx)) // the server closes it too, later
		}
	}()
	for _, filter := range filters {
		find := options.Find().SetSort(sort).SetBatchSize(int32(max(scanBatch/len(filters), 1)))
		if len(q.Devices) > maxCursors {
			find.SetHint(newest.Keys) // not the index by device, since the server would have to sort what that gives
		}
		cursor, err := s.find(ctx, filter, find)
		if err != nil {
			return fmt.Errorf("scan readings: %w", err)
		}
		scans = append(scans, &scan{cursor: cursor})
	}
	for _, scan := range scans {
		scan.next(ctx)
	}
	for {
		scan, err := scans.first(q.Newest)
		if err = cmp.Or(err, ctx.Err()); err != nil {
			return fmt.Errorf("scan readings: %w", err)
		}
		if scan == nil {
			return nil
		}
		if more, err := take(&scan.reading); err != nil || !more {
			return err
		}
		scan.next(ctx)
	}
}

// find returns a cursor, each step of which may take as long as a call.
func (s *Store) find(ctx context.Context, filter bson.D, find *options.FindOptionsBuilder) (*mongo.Cursor, error) {
	collection, err := s.Driver(ctx)
	if err != nil {
		return nil, err
	}
	return collection.Find(ctx, filter, find)
}

// scan is one of the cursors of ScanReadings.
type scan struct {
	cursor  *mongo.Cursor
	reading iot.Reading
	ended   bool
}

// next goes on to the next document that is a reading.
func (s *scan) next(ctx context.Context) {
	for s.cursor.Next(ctx) {
		var ok bool
		if s.reading, ok = readDocument(s.cursor.Current); ok {
			return
		}
	}
	s.ended = true
}

type scans []*scan

// first returns the one whose reading comes first, or nil where all have ended.
func (s scans) first(newest bool) (first *scan, err error) {
	for _, scan := range s {
		if scan.ended {
			if err := scan.cursor.Err(); err != nil {
				return nil, err
			}
			continue
		}
		if first == nil || compareReadings(&scan.reading, &first.reading) < 0 != newest {
			first = scan
		}
	}
	return first, nil
}

// compareReadings compares a and b, which are two, in the order of time.
func compareReadings(a, b *iot.Reading) int {
	return cmp.Or(a.At.Compare(b.At), cmp.Compare(a.Device, b.Device))
}
