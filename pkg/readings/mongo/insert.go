package mongo

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"
	"go.mongodb.org/mongo-driver/v2/mongo/readconcern"
	"go.mongodb.org/mongo-driver/v2/mongo/readpref"
	"go.mongodb.org/mongo-driver/v2/x/bsonx/bsoncore"

	"github.com/telltale-iot/telltale/pkg/iot"
)

const (
	maxCommandBytes  = 8 << 20 // the server's limit is 16 MiB; a reading is far smaller than what is left
	codeDuplicateKey = 11000
)

var errVanished = errors.New("a reading was refused since another has its place, which is not there")

// key is the identity of a reading.
type key struct {
	device iot.DeviceID
	at     int64 // ms
}

func keyOf(r iot.Reading) key { return key{r.Device, r.At.UnixMilli()} }

// InsertReadings implements iot.ReadingWriter.
func (s *Store) InsertReadings(ctx context.Context, batch []iot.Reading) (iot.Inserted, error) {
	seen := make(map[key]struct{}, len(batch))
	fresh := make([]int, 0, len(batch)) // indexes of the readings to send
	var clashes []int                   // indexes of those whose place is taken: here, or in the store
	for i, r := range batch {
		k := keyOf(r)
		if _, ok := seen[k]; ok { // the server need not keep to the order of what it is sent
			clashes = append(clashes, i)
			continue
		}
		seen[k] = struct{}{}
		fresh = append(fresh, i)
	}
	for len(fresh) > 0 {
		n, taken, err := s.insert(ctx, batch, fresh)
		if err != nil {
			return iot.Inserted{}, fmt.Errorf("insert readings: %w", err)
		}
		for _, t := range taken {
			clashes = append(clashes, fresh[t])
		}
		fresh = fresh[n:]
	}
	inserted, err := s.compare(ctx, batch, clashes)
	if err != nil {
		return iot.Inserted{}, fmt.Errorf("insert readings: %w", err)
	}
	inserted.New = len(batch) - len(clashes)
	return inserted, nil
}

// insert sends the readings of batch with the given indexes, the first n of them, as many as one command
// takes. Where the place of one is taken, taken has its position in indexes.
//
// The command is written by hand and run as it is: InsertMany copies each document three times and takes
// four times as much processor time.
func (s *Store) insert(ctx context.Context, batch []iot.Reading, indexes []int) (n int, taken []int, err error) {
	command, n, err := insertCommand(batch, indexes)
	if err != nil {
		return 0, nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, s.Timeout)
	defer cancel()
	database, err := s.Database(ctx)
	if err != nil {
		return 0, nil, err
	}
	err = database.RunCommand(ctx, bson.Raw(command)).Err()
	var refused mongo.WriteException
	if !errors.As(err, &refused) {
		return n, nil, err
	}
	// Readings were refused, or are not durable yet: also the ones whose place is taken by an earlier
	// try, since the server applies the write concern to what it has compared with too.
	if refused.WriteConcernError != nil {
		return 0, nil, err
	}
	for _, e := range refused.WriteErrors {
		if e.Code != codeDuplicateKey {
			return 0, nil, e
		}
		taken = append(taken, e.Index)
	}
	return n, taken, nil
}

// insertCommand returns the command that inserts the first n readings that indexes name.
func insertCommand(batch []iot.Reading, indexes []int) (command []byte, n int, err error) {
	const typicalBytes = 200 // of a document
	document, dst := bsoncore.AppendDocumentStart(make([]byte, 0, min(len(indexes)*typicalBytes, maxCommandBytes)))
	dst = bsoncore.AppendStringElement(dst, "insert", collectionName)
	dst = bsoncore.AppendBooleanElement(dst, "ordered", false) // a reading that is refused keeps back no other
	concern, dst := bsoncore.AppendDocumentElementStart(dst, "writeConcern")
	dst = bsoncore.AppendStringElement(dst, "w", "majority")
	dst = bsoncore.AppendBooleanElement(dst, "j", true)
	if dst, err = bsoncore.AppendDocumentEnd(dst, concern); err != nil {
		return nil, 0, err
	}
	documents, dst := bsoncore.AppendArrayElementStart(dst, "documents")
	for n = 0; n < len(indexes) && len(dst) < maxCommandBytes; n++ {
		dst = append(dst, byte(bsoncore.TypeEmbeddedDocument)) // AppendHeader would need n as a string
		dst = strconv.AppendInt(dst, int64(n), 10)
		dst = append(dst, 0)
		if dst, err = appendDocument(dst, batch[indexes[n]]); err != nil {
			return nil, 0, err
		}
	}
	if dst, err = bsoncore.AppendArrayEnd(dst, documents); err != nil {
		return nil, 0, err
	}
	dst, err = bsoncore.AppendDocumentEnd(dst, document)
	return dst, n, err
}

// compare tells the readings of batch at clashes, whose place is taken, apart: duplicates and conflicts.
func (s *Store) compare(ctx context.Context, batch []iot.Reading, clashes []int) (result iot.Inserted, err error) {
	if len(clashes) == 0 {
		return result, nil
	}
	times := map[iot.DeviceID]bson.A{}
	for _, i := range clashes {
		device := batch[i].Device
		times[device] = append(times[device], bson.DateTime(batch[i].At.UnixMilli()))
	}
	// From the primary, and only what cannot be rolled back, whatever the URI says about reading.
	collection, err := s.collection(ctx)
	if err != nil {
		return result, err
	}
	durable := collection.Clone(options.Collection().
		SetReadConcern(readconcern.Majority()).SetReadPreference(readpref.Primary()))
	stored := make(map[key]iot.Reading, len(clashes))
	for device, at := range times {
		_, err := s.find(ctx, durable, bson.D{
			{Key: fieldDevice, Value: int64(device)},
			{Key: fieldAt, Value: bson.D{{Key: "$in", Value: at}}},
		}, func(r iot.Reading) (more bool) {
			stored[keyOf(r)] = r
			return true
		})
		if err != nil {
			return result, err
		}
	}
	slices.Sort(clashes)
	for _, i := range clashes {
		r, ok := stored[keyOf(batch[i])]
		switch {
		case !ok:
			return result, errVanished
		case r.SameContent(batch[i]):
			result.Duplicates++
		default:
			result.Conflicts = append(result.Conflicts, i)
		}
	}
	return result, nil
}
