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
	// maxRounds is after how many rounds that got nowhere an insert fails. Two are enough, and some more where others
	// insert the same at the same time.
	maxRounds = 10
)

var errUnresolved = errors.New("readings were refused since their places are occupied, by readings that are not there or change all the time")

// key is where a reading is.
type key struct {
	device iot.DeviceID
	at     int64 // ms
}

func keyOf(r *iot.Reading) key { return key{r.Device, r.At.UnixMilli()} }

func (k key) compare(other key) int {
	return cmp.Or(cmp.Compare(k.device, other.device), cmp.Compare(k.at, other.at))
}

// insertion is a reading that is to be stored.
type insertion struct {
	*iot.Reading         // At is the time that it was stamped with
	index        int     // in the batch, or isDisplaced
	at           int64   // where it is to be stored, ms
	from         key     // of a displaced reading: where it was
	moment       *moment // that Reading is of; nil where it is one of the batch
	sent         bool    // a merge of it was sent, and may be done
}

// isDisplaced is the index of a stored reading whose place another one has taken.
const isDisplaced = -1

func (p insertion) displaced() bool { return p.index == isDisplaced }

// each returns p, or the readings of its moment.
func (p insertion) each() []insertion {
	if p.moment == nil {
		return []insertion{p}
	}
	return p.moment.readings
}

// round is a step of an insert: the commands to send, in this order.
type round struct {
	replace []replacement
	merge   []*moment
	insert  []insertion // no two with the same key
	ordered bool        // whether an insert that the server refuses keeps back those behind it
	release []key       // whose displaced reading is stored elsewhere

	later     []insertion // no command: what is left for the next round
	elsewhere []key       // no command: places that are not those of the batch, with readings that are of it or displaced by it
}

// InsertReadings implements iot.ReadingWriter. It fails while the collection lacks a unique index.
func (s *Store) InsertReadings(ctx context.Context, batch []iot.Reading) (result iot.Inserted, err error) {
	if err = s.guarded(ctx); err == nil {
		result, err = s.insertTaken(ctx, batch)
	}
	if err != nil {
		s.looked.Store(0) // the server may come back with less
		return iot.Inserted{}, fmt.Errorf("insert readings: %w", err)
	}
	return result, nil
}

// insertTaken stores what is not too old of batch.
func (s *Store) insertTaken(ctx context.Context, batch []iot.Reading) (iot.Inserted, error) {
	taken, indexes, tooOld, err := s.taken(ctx, batch)
	if err != nil {
		return iot.Inserted{}, err
	}
	if err := s.open(ctx, taken); err != nil {
		return iot.Inserted{}, err
	}
	result, err := s.insertAll(ctx, taken)
	for i, conflict := range result.Conflicts {
		if indexes != nil {
			result.Conflicts[i] = indexes[conflict]
		}
	}
	result.TooOld = tooOld
	return result, err
}

// insertAll stores batch in rounds, and marks the closed hours that it may have changed. The first round inserts without
// a look at what is stored, since it is rare that something is. What the server refuses is looked at in the next one: see
// conflicts.go.
func (s *Store) insertAll(ctx context.Context, batch []iot.Reading) (result iot.Inserted, err error) {
	next := firstRound(batch)
	done := 0 // readings of batch
	var elsewhere []key
	for n := 0; n < maxRounds; n++ {
		rest, err := s.run(ctx, next, &result)
		if err == nil && len(rest) == 0 {
			slices.Sort(result.Conflicts)
			return result, s.mark(ctx, batch, elsewhere)
		}
		if err == nil {
			next, err = s.resolve(ctx, rest, &result)
		}
		if err != nil {
			return result, err
		}
		elsewhere = append(elsewhere, next.elsewhere...)
		if sum := result.New + result.Merged + result.Duplicates + len(result.Conflicts); sum > done {
			done, n = sum, 0
		}
	}
	return result, errUnresolved
}

// firstRound inserts each reading at its own time, those of a moment together. Where a device has several with an
// origin, none is to be stored before one in front of it that has to be moved.
func firstRound(batch []iot.Reading) round {
	first := round{insert: make([]insertion, 0, len(batch))}
	used := make(map[key]int, len(batch)) // in first.insert
	const kept = -1
	withOrigin := map[iot.DeviceID]int{} // how many are inserted; kept: the rest of them has to wait
	for i := range batch {
		p := insertion{Reading: &batch[i], index: i, at: batch[i].At.UnixMilli()}
		k := keyOf(p.Reading)
		place, repeated := used[k] // the server need not keep to the order of what it is sent
		if p.Origin != 0 {
			n := withOrigin[p.Device]
			if repeated || n == kept {
				withOrigin[p.Device] = kept
				first.later = append(first.later, p)
				continue
			}
			withOrigin[p.Device]++
			first.ordered = first.ordered || n > 0
		} else if repeated {
			if there := &first.insert[place]; there.Origin != 0 {
				first.later = append(first.later, p)
			} else if there.moment == nil {
				there.moment = &moment{readings: []insertion{*there, p}}
			} else {
				there.moment.readings = append(there.moment.readings, p)
			}
			continue
		}
		used[k] = len(first.insert)
		first.insert = append(first.insert, p)
	}
	for i := range first.insert {
		if p := &first.insert[i]; p.moment != nil {
			merged, _ := p.moment.merge()
			p.Reading = &merged
		}
	}
	return first
}

// run sends the commands of r, counts in result what they complete, and returns the rest, in the order of the batch.
func (s *Store) run(ctx context.Context, r round, result *iot.Inserted) (rest []insertion, err error) {
	rest = r.later
	for _, replacement := range r.replace {
		p, err := s.replace(ctx, replacement)
		if err != nil {
			return nil, err
		}
		rest = append(rest, p)
		if p.displaced() {
			result.New++
		}
	}
	for len(r.merge) > 0 {
		n, again, err := s.merge(ctx, r.merge, result)
		if err != nil {
			return nil, err
		}
		rest = append(rest, again...)
		r.merge = r.merge[n:]
	}
	for refused := false; len(r.insert) > 0 && (!refused || !r.ordered); {
		n, occupied, err := s.insert(ctx, r.insert, r.ordered)
		if err != nil {
			return nil, err
		}
		refused = refused || len(occupied) > 0
		if refused && r.ordered {
			n, occupied = occupied[0], nil
		}
		for i, p := range r.insert[:n] {
			switch {
			case len(occupied) > 0 && occupied[0] == i:
				occupied = occupied[1:]
				rest = append(rest, p.each()...)
			case p.displaced():
				r.release = append(r.release, p.from)
			case p.moment != nil:
				p.moment.count(result)
			default:
				result.New++
			}
		}
		r.insert = r.insert[n:]
	}
	for _, p := range r.insert {
		rest = append(rest, p.each()...)
	}
	slices.SortStableFunc(rest, func(a, b insertion) int { return cmp.Compare(a.index, b.index) })
	if len(r.release) > 0 { // what is removed with it is all that says where the displaced ones have gone
		if err := s.mark(ctx, nil, r.elsewhere); err != nil {
			return nil, err
		}
	}
	for _, k := range r.release {
		if err := s.unsetDisplaced(ctx, k); err != nil {
			return nil, err
		}
	}
	return rest, nil
}

// insert sends the first n of readings, as many as one command takes. Those whose place is occupied are named by
// occupied, in ascending order. In order, nothing behind the first of them is stored.
//
// The command is written by hand and run as it is: InsertMany copies each document three times and takes
// four times as much processor time.
func (s *Store) insert(ctx context.Context, readings []insertion, ordered bool) (n int, occupied []int, err error) {
	command, n, err := insertCommand(readings, ordered)
	if err != nil {
		return 0, nil, err
	}
	_, err = s.send(ctx, command)
	var refused mongo.WriteException
	if !errors.As(err, &refused) {
		return n, nil, err
	}
	// Readings were refused, or are not durable yet: also the ones whose place is occupied by an earlier
	// try, since the server applies the write concern to what it has compared with too.
	if refused.WriteConcernError != nil {
		return 0, nil, err
	}
	for _, e := range refused.WriteErrors {
		if e.Code != codeDuplicateKey {
			return 0, nil, e
		}
		occupied = append(occupied, e.Index)
	}
	slices.Sort(occupied)
	return n, occupied, nil
}

// send returns the server's answer to a command.
func (s *Store) send(ctx context.Context, command []byte) (bson.Raw, error) {
	ctx, cancel := context.WithTimeout(ctx, s.DB.Timeout)
	defer cancel()
	database, err := s.DB.Database(ctx)
	if err != nil {
		return nil, err
	}
	return database.RunCommand(ctx, bson.Raw(command)).Raw()
}

// insertCommand returns the command that inserts the first n of readings.
func insertCommand(readings []insertion, ordered bool) (command []byte, n int, err error) {
	const typicalBytes = 200 // of a document
	room := make([]byte, 0, min(len(readings)*typicalBytes, maxCommandBytes))
	document, dst, err := appendCommand(room, "insert", ordered)
	if err != nil {
		return nil, 0, err
	}
	documents, dst := bsoncore.AppendArrayElementStart(dst, "documents")
	for n = 0; n < len(readings) && len(dst) < maxCommandBytes; n++ {
		if dst, err = appendDocument(appendIndex(dst, n), readings[n].Reading, readings[n].at); err != nil {
			return nil, 0, err
		}
	}
	if dst, err = bsoncore.AppendArrayEnd(dst, documents); err != nil {
		return nil, 0, err
	}
	dst, err = bsoncore.AppendDocumentEnd(dst, document)
	return dst, n, err
}

// appendCommand appends the beginning of a command that writes: its answer is to come when a majority has what it has
// written in its journal.
func appendCommand(dst []byte, name string, ordered bool) (document int32, _ []byte, err error) {
	document, dst = bsoncore.AppendDocumentStart(dst)
	dst = bsoncore.AppendStringElement(dst, name, collectionName)
	dst = bsoncore.AppendBooleanElement(dst, "ordered", ordered)
	concern, dst := bsoncore.AppendDocumentElementStart(dst, "writeConcern")
	dst = bsoncore.AppendStringElement(dst, "w", "majority")
	dst = bsoncore.AppendBooleanElement(dst, "j", true)
	dst, err = bsoncore.AppendDocumentEnd(dst, concern)
	return document, dst, err
}

// appendIndex appends what stands before document i in an array. AppendHeader would need i as a string.
func appendIndex(dst []byte, i int) []byte {
	dst = append(dst, byte(bsoncore.TypeEmbeddedDocument))
	dst = strconv.AppendInt(dst, int64(i), 10)
	return append(dst, 0)
}
