package iot

import (
	"context"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"time"
)

// ReadingWriter stores readings. Its one user is ingest-writer.
type ReadingWriter interface {
	// InsertReadings stores batch (valid readings, in any order). nil error: each reading is durable, by itself,
	// merged with others, or because it was there already (a duplicate), or is listed as a conflict or as too old. After an
	// error any part may be stored, and the caller repeats the whole batch. batch is not kept.
	//
	// Readings with an Origin are never conflicts, and never merged. Where another one has its time such a reading
	// is stored at the next millisecond at which its device has none, and those of a device that ascend in
	// batch do so in the store. It is a duplicate of one that had the same time and origin, of one of its time
	// that has the same content, no origin, and its time not from the device, and of one of its time that it Restores.
	//
	// A reading without an origin takes the place of one with an origin, which is moved likewise. With one of
	// its time that has no origin either it is merged, when no metric and no attribute is in both with another
	// value: what is stored then has the members of both, the earlier Received, and the Key and the Said of
	// whichever has one. It is a duplicate when all its members are there already, and a conflict as a whole,
	// of which nothing is stored, when one is there with another value. In whichever order, by however many
	// writers and how often such readings are inserted, the store comes to have the same members, unless there
	// are conflicts: then the first wins, in the batch too.
	InsertReadings(ctx context.Context, batch []Reading) (Inserted, error)
}

// Inserted is what became of a batch: New + Merged + Duplicates + len(Conflicts) + len(TooOld) is its length.
type Inserted struct {
	New        int
	Merged     int   // added members to a stored reading, also to one that the same batch has stored
	Duplicates int   // were there already, all members of theirs
	Conflicts  []int // ascending indexes into the batch; each lost to a reading stored before it
	TooOld     []int // ascending indexes into the batch; those of their time are not kept any more
}

// ReadingReader finds stored readings.
type ReadingReader interface {
	// FindReadings returns the readings that q selects, newest first (by At, then by device,
	// descending both), at most q.Limit of them, and fewer when their ContentBytes add up to more
	// than MaxPageBytes. The caller owns what is returned.
	FindReadings(ctx context.Context, q ReadingQuery) (Page, error)
	// CountReadings counts all stored readings, per device.
	CountReadings(ctx context.Context) ([]DeviceCount, error)
}

// MaxPage is the greatest Limit of a ReadingQuery.
const MaxPage = 10000

// MaxPageBytes is how many ContentBytes the readings of a page have together: no more than that, or one
// reading.
const MaxPageBytes = 4 << 20

// ReadingQuery selects readings. Its zero values select everything but Limit's, which must be set.
type ReadingQuery struct {
	Devices []DeviceID // only theirs; nil: of all
	From    time.Time  // only with From <= At
	To      time.Time  // only with At < To
	Limit   int        // 1 to MaxPage
	After   Cursor     // only what comes after it in the order of the listing
}

// Page is a part of a listing, newest first.
type Page struct {
	Readings []Reading
	Next     Cursor // where the next page starts; zero at the end of the listing
}

// DeviceCount is the number of stored readings of one device. Lists of it ascend by device.
type DeviceCount struct {
	Device DeviceID
	Count  int64
}

// Cursor is a place in a listing of readings, newest first: right behind the reading that it names. Since
// it names a reading and not a number of rows, readings that arrive meanwhile are neither missed (where
// they come later in the listing) nor repeated. The zero Cursor is the start.
type Cursor struct {
	At     time.Time
	Device DeviceID
}

// Cursor returns the place right behind r.
func (r Reading) Cursor() Cursor { return Cursor{At: r.At, Device: r.Device} }

// IsZero reports whether c is the start, or in Page.Next the end, of a listing.
func (c Cursor) IsZero() bool { return c == Cursor{} }

// String returns c in a form that is opaque to clients and safe in a URL; "" for the zero Cursor.
func (c Cursor) String() string {
	if c.IsZero() {
		return ""
	}
	var b [16]byte
	binary.BigEndian.PutUint64(b[:8], uint64(c.At.UnixMilli()))
	binary.BigEndian.PutUint64(b[8:], uint64(c.Device))
	return base64.RawURLEncoding.EncodeToString(b[:])
}

// ParseCursor is the inverse of String. A text that String does not return is ErrInvalid.
func ParseCursor(s string) (Cursor, error) {
	if s == "" {
		return Cursor{}, nil
	}
	b, err := base64.RawURLEncoding.Strict().DecodeString(s)
	if err != nil || len(b) != 16 {
		return Cursor{}, fmt.Errorf("cursor %.32q: %w", s, ErrInvalid)
	}
	ms, id := int64(binary.BigEndian.Uint64(b[:8])), DeviceID(binary.BigEndian.Uint64(b[8:]))
	if ms < minMillis || ms > maxMillis || !id.Valid() {
		return Cursor{}, fmt.Errorf("cursor %.32q: %w", s, ErrInvalid)
	}
	return Cursor{At: time.UnixMilli(ms).UTC(), Device: id}, nil
}

// LatestCache keeps each device's latest value for as long as the device counts as online. It may be
// emptied at any time: what is lost comes back with the next readings of each device, or before that when its
// owner notices (package latest). One that is full may keep nothing of devices that are new.
//
// A latest value is made of the readings of the device that arrived within the time to live before its newest
// arrival: it has the greatest At of them, and each metric and attribute from the one with the greatest At that
// has it; of several with one At, from the one that arrived first. Times says which are older than At. It depends
// neither on the order in which readings are offered nor on repetitions, unless a device sends hundreds of
// members in messages of their own: then the oldest may be missing.
//
// Received, Origin and Again are zero in the readings that it returns; they are shared and must not be changed.
type LatestCache interface {
	// PutLatest offers batch. A value is kept until ttl after the newest arrival of its device; a Received
	// that is later than now is now. A reading that is more than MaxAhead ahead of now is not taken. accepted
	// is of how many devices one whose own ttl is not over was. batch is not kept.
	PutLatest(ctx context.Context, batch []Reading, ttl time.Duration) (accepted int, err error)
	// Latest returns the latest value of a device. ErrNotFound: there is none (any more).
	Latest(ctx context.Context, id DeviceID) (Reading, error)
	// AllLatest returns all latest values, ascending by device.
	AllLatest(ctx context.Context) ([]Reading, error)
}
