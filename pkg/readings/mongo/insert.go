package mongo

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/x/bsonx/bsoncore"

	"github.com/telltale-iot/telltale/pkg/iot"
)

const (
	maxCommandBytes  = 8 << 20 // the server's limit is 16 MiB; a reading is far smaller than what is left
	codeDuplicateKey = 11000
	// maxRounds is how often in a row an insert looks at what it clashed with and gets nowhere. Two are enough, and
	// some more where others insert the same at the same time.
	maxRounds = 10
)

var errUnsettled = errors.New("readings were refused since others have their places, which are not there or change all the time")

// key is where a reading is.
type key struct {
	device iot.DeviceID
	at     int64 // ms
}

func (k key) compare(other key) int {
	return cmp.Or(cmp.Compare(k.device, other.device), cmp.Compare(k.at, other.at))
}

func keyOf(r *iot.Reading) key { return key{r.Device, r.At.UnixMilli()} }

// pending is a reading that is to be stored.
type pending struct {
	*iot.Reading       // At is the time that it was stamped with
	index        int   // in the batch; gaveWay for one that was stored before
	at           int64 // where it is to be stored, ms
	place        key   // of one that gave way: where it was
}

// gaveWay is the index of a reading that was stored, and whose place was given to another one.
const gaveWay = -1

// plan is what to do in a round: first the replacements, then the inserts.
type plan struct {
	replace []replacement
	insert  []pending // no two with the same key
	ordered bool      // whether an insert that clashes keeps back those behind it
	later   []pending // what is for the next round
	settled []key     // where one gave way whose new place is known
}

// InsertReadings implements iot.ReadingWriter. It fails while the collection lacks a unique index.
func (s *Store) InsertReadings(ctx context.Context, batch []iot.Reading) (result iot.Inserted, err error) {
	if err = s.guarded(ctx); err == nil {
		result, err = s.insertAll(ctx, batch)
	}
	if err != nil {
		s.looked.Store(0) // the server may come back with less
		return iot.Inserted{}, fmt.Errorf("insert readings: %w", err)
	}
	return result, nil
}

// insertAll stores batch. The first round inserts without a look at what is there. Whatever clashes is looked at
// in the next one; see settle.go.
func (s *Store) insertAll(ctx context.Context, batch []iot.Reading) (result iot.Inserted, err error) {
	p := firstPlan(batch)
	done := 0 // readings of batch
	for round := 0; round < maxRounds; round++ {
		rest, err := s.carryOut(ctx, p, &result)
		if err == nil && len(rest) == 0 {
			slices.Sort(result.Conflicts)
			return result, nil
		}
		if err == nil {
			p, err = s.plan(ctx, rest, &result)
		}
		if err != nil {
			return result, err
		}
		if n := result.New + result.Duplicates + len(result.Conflicts); n > done {
			done, round = n, 0
		}
	}
	return result, errUnsettled
}

// firstPlan inserts each reading at its own time. Where there are several of a device with stamps of a server,
// none is to be stored before one that stands in front of it and has to be moved.
func firstPlan(batch []iot.Reading) plan {
	p := plan{insert: make([]pending, 0, len(batch))}
	used := make(map[key]struct{}, len(batch))
	const held = -1
	stamped := map[iot.DeviceID]int{} // how many of a device a server stamped; held: the rest of them waits
	for i := range batch {
		r := pending{Reading: &batch[i], index: i, at: batch[i].At.UnixMilli()}
		k := keyOf(r.Reading)
		_, repeated := used[k] // the server need not keep to the order of what it is sent
		if r.Origin != 0 {
			n := stamped[r.Device]
			if repeated || n == held {
				stamped[r.Device] = held
				p.later = append(p.later, r)
				continue
			}
			stamped[r.Device]++
			p.ordered = p.ordered || n > 0
		} else if repeated {
			p.later = append(p.later, r)
			continue
		}
		used[k] = struct{}{}
		p.insert = append(p.insert, r)
	}
	return p
}

// carryOut does what p says, counts in result what is done with, and returns the rest, in the order of the
// batch.
func (s *Store) carryOut(ctx context.Context, p plan, result *iot.Inserted) (rest []pending, err error) {
	rest = p.later
	for _, r := range p.replace {
		displaced, err := s.replace(ctx, r)
		if err != nil {
			return nil, err
		}
		rest = append(rest, displaced)
		if displaced.index == gaveWay {
			result.New++
		}
	}
	for clashed := false; len(p.insert) > 0 && (!clashed || !p.ordered); {
		n, taken, err := s.insert(ctx, p.insert, p.ordered)
		if err != nil {
			return nil, err
		}
		clashed = clashed || len(taken) > 0
		if clashed && p.ordered {
			n = taken[0]
			taken = nil
		}
		for i, r := range p.insert[:n] {
			switch {
			case len(taken) > 0 && taken[0] == i:
				taken = taken[1:]
				rest = append(rest, r)
			case r.index == gaveWay:
				p.settled = append(p.settled, r.place)
			default:
				result.New++
			}
		}
		p.insert = p.insert[n:]
	}
	rest = append(rest, p.insert...)
	slices.SortStableFunc(rest, func(a, b pending) int { return cmp.Compare(a.index, b.index) })
	for _, place := range p.settled {
		if err := s.forgetDisplaced(ctx, place); err != nil {
			return nil, err
		}
	}
	return rest, nil
}

// insert sends the first n of readings, as many as one command takes. Those whose place is taken are named by
// taken, in ascending order. In order, nothing behind the first of them is stored.
//
// The command is written by hand and run as it is: InsertMany copies each document three times and takes
// four times as much processor time.
func (s *Store) insert(ctx context.Context, readings []pending, ordered bool) (n int, taken []int, err error) {
	command, n, err := insertCommand(readings, ordered)
	if err != nil {
		return 0, nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, s.DB.Timeout)
	defer cancel()
	database, err := s.DB.Database(ctx)
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
	slices.Sort(taken)
	return n, taken, nil
}

// insertCommand returns the command that inserts the first n of readings.
func insertCommand(readings []pending, ordered bool) (command []byte, n int, err error) {
	const typicalBytes = 200 // of a document
	document, dst := bsoncore.AppendDocumentStart(make([]byte, 0, min(len(readings)*typicalBytes, maxCommandBytes)))
	dst = bsoncore.AppendStringElement(dst, "insert", collectionName)
	dst = bsoncore.AppendBooleanElement(dst, "ordered", ordered)
	concern, dst := bsoncore.AppendDocumentElementStart(dst, "writeConcern")
	dst = bsoncore.AppendStringElement(dst, "w", "majority")
	dst = bsoncore.AppendBooleanElement(dst, "j", true)
	if dst, err = bsoncore.AppendDocumentEnd(dst, concern); err != nil {
		return nil, 0, err
	}
	documents, dst := bsoncore.AppendArrayElementStart(dst, "documents")
	for n = 0; n < len(readings) && len(dst) < maxCommandBytes; n++ {
		dst = append(dst, byte(bsoncore.TypeEmbeddedDocument)) // AppendHeader would need n as a string
		dst = strconv.AppendInt(dst, int64(n), 10)
		dst = append(dst, 0)
		if dst, err = appendDocument(dst, readings[n].Reading, readings[n].at); err != nil {
			return nil, 0, err
		}
	}
	if dst, err = bsoncore.AppendArrayEnd(dst, documents); err != nil {
		return nil, 0, err
	}
	dst, err = bsoncore.AppendDocumentEnd(dst, document)
	return dst, n, err
}
