package mongo

import (
	"context"
	"fmt"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/telltale-iot/telltale/pkg/internal/page"
	"github.com/telltale-iot/telltale/pkg/iot"
	"github.com/telltale-iot/telltale/pkg/mongodb"
	"github.com/telltale-iot/telltale/pkg/readings/internal/timerange"
)

// FindReadings implements iot.ReadingReader.
func (s *Store) FindReadings(ctx context.Context, q iot.ReadingQuery) (iot.Page, error) {
	if len(q.Devices) > 1 {
		return s.findOfDevices(ctx, q)
	}
	p, err := mongodb.FindPage(ctx, s.Collection, mongodb.Listing{
		Filter: filterOf(q.Devices, timerange.OfPage(q)), Sort: newest.Keys, Limit: q.Limit, MaxBytes: iot.MaxPageBytes,
	}, readDocument)
	if err != nil {
		return iot.Page{}, fmt.Errorf("find readings: %w", err)
	}
	return iot.Page{Readings: p.Items, Next: p.Next}, nil
}

// findOfDevices finds the readings of several devices, as a scan reads them.
func (s *Store) findOfDevices(ctx context.Context, q iot.ReadingQuery) (iot.Page, error) {
	p, err := page.New[iot.Reading](q.Limit, iot.MaxPageBytes)
	if err != nil {
		return iot.Page{}, fmt.Errorf("find readings: %w", err)
	}
	ctx, cancel := context.WithTimeout(ctx, s.DB.Timeout)
	defer cancel()
	scan := iot.ScanQuery{Devices: q.Devices, From: q.From, To: q.To, After: q.After, Newest: true}
	if err := s.ScanReadings(ctx, scan, func(r *iot.Reading) (more bool, err error) { return p.Add(*r), nil }); err != nil {
		return iot.Page{}, err
	}
	return iot.Page{Readings: p.Items, Next: p.Next}, nil
}

// filterOf returns the filter for what is in times, of devices alone where there are any.
func filterOf(devices []iot.DeviceID, times timerange.Range) bson.D {
	if len(devices) == 1 {
		at := between(times.FromFor(devices[0]), times.EndFor(devices[0]))
		return bson.D{{Key: fieldDevice, Value: int64(devices[0])}, {Key: fieldAt, Value: at}}
	}
	of := bson.D{{Key: "$gte", Value: int64(1)}, {Key: "$lte", Value: int64(iot.MaxDeviceID)}}
	if devices != nil {
		of = bson.D{{Key: "$in", Value: devices}}
	}
	at, ends := bson.D{{Key: "$gte", Value: bson.DateTime(times.From)}}, bson.A{}
	if times.FromDevice != 0 {
		ends = append(ends, outside("$gt", times.From, times.FromDevice))
	}
	if times.EndDevice == 0 {
		at = append(at, bson.E{Key: "$lt", Value: bson.DateTime(times.End)})
	} else {
		at = append(at, bson.E{Key: "$lte", Value: bson.DateTime(times.End)})
		ends = append(ends, outside("$lt", times.End, times.EndDevice))
	}
	filter := bson.D{{Key: fieldAt, Value: at}, {Key: fieldDevice, Value: of}}
	if len(ends) > 0 {
		filter = append(filter, bson.E{Key: "$and", Value: ends})
	}
	return filter
}

// outside returns the filter for what compares so to the time at, and where it has that time, to device.
func outside(compares string, at int64, device iot.DeviceID) bson.D {
	return bson.D{{Key: "$or", Value: bson.A{
		bson.D{{Key: fieldAt, Value: bson.D{{Key: compares, Value: bson.DateTime(at)}}}},
		bson.D{{Key: fieldDevice, Value: bson.D{{Key: compares, Value: int64(device)}}}},
	}}}
}
