package iot

import (
	"context"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"strings"
	"time"
)

// DeadLetter is a rejection with what is known of its way, so that people can look into it, and so that its
// bytes can be decoded once more as they were at first.
type DeadLetter struct {
	Rejection
	ID          DeadLetterID // zero until it has one: it is made of its place on the dead-letter topic
	Source      string       // an MQTT topic, or topic/partition/offset of a Kafka record where none is known
	Client      string       // the id of the MQTT client that sent it; "" where nobody knows
	Principal   string       // the user name by which its sender got in; "" where it showed none
	Received    time.Time    // when the rejected bytes arrived: UTC, whole milliseconds
	TopicDevice string       // the device id that the MQTT topic names, as it stands there; "" where it names none
	Retained    bool         // it was a retained MQTT message
	ContentType string       // of the Kafka record; "" for JSON as devices send it
	Replay      Replay       // the latest that succeeded
}

// ContentBytes is the length of d's bytes and texts together.
func (d DeadLetter) ContentBytes() int {
	return len(d.Bytes) + len(d.Reason) + len(d.Detail) + len(d.Source) + len(d.Client) + len(d.Principal) + len(d.TopicDevice) + len(d.ContentType)
}

// Key returns the key of d's device where it stands in the topic, or as device_id in the bytes; "" where it does not,
// or the device has none. It is no guess: the id is made of the key.
func (d DeadLetter) Key() string {
	const maxLevels = 16
	if d.Device < FirstKeyID {
		return ""
	}
	candidates := []string{d.TopicDevice}
	levels := strings.SplitN(d.Source, "/", maxLevels)
	for i := range levels {
		candidates = append(candidates, levels[i], strings.Join(levels[i:], "/"))
	}
	var named struct {
		Device any `json:"device_id"`
	}
	if json.Unmarshal(d.Bytes, &named) == nil {
		candidates = append(candidates, fmt.Sprint(named.Device))
	}
	for _, key := range candidates {
		if id, key, err := ParseDevice(key); err == nil && id == d.Device {
			return key
		}
	}
	return ""
}

// Replay is what became of a dead letter that was sent on its way again.
type Replay struct {
	At       time.Time // zero where there was none; UTC, whole milliseconds
	Readings int       // that went to Kafka
}

// DeadLetterID identifies a stored dead letter. The same record of the dead-letter topic always has the same.
type DeadLetterID [16]byte

// String returns id as 32 hexadecimal digits.
func (id DeadLetterID) String() string { return hex.EncodeToString(id[:]) }

// ParseDeadLetterID is the inverse of String. A text that String does not return is ErrInvalid.
func ParseDeadLetterID(s string) (id DeadLetterID, err error) {
	b, err := hex.DecodeString(s)
	if err != nil || len(b) != len(id) || hex.EncodeToString(b) != s {
		return id, fmt.Errorf("dead letter %.40q: %w", s, ErrInvalid)
	}
	return DeadLetterID(b), nil
}

// DeadLetterRetention is how long a dead letter is kept, from when it was stored on, unless all take too much.
const DeadLetterRetention = 30 * 24 * time.Hour

// DeadLetterCapacity is how many bytes all stored dead letters may take, as their store counts them: what somebody may
// still look through, and a small disk has room for. A device that sends 200 bytes of nonsense a second, for 30 days,
// takes as much.
const DeadLetterCapacity = 1 << 30

// MaxDeadLettersTrimmed is how many dead letters a call of TrimDeadLetters removes at most.
const MaxDeadLettersTrimmed = 1000

// DeadLetterWriter stores dead letters. Its one user is ingest-writer.
type DeadLetterWriter interface {
	// InsertDeadLetters stores batch and returns how many were new: what is stored under its ID already
	// is left as it is. nil error: all are durable. After an error any part may be stored, and the caller
	// repeats the whole batch. batch is not kept. What was stored longer than DeadLetterRetention ago is
	// removed, some time.
	InsertDeadLetters(ctx context.Context, batch []DeadLetter) (stored int, err error)
	// TrimDeadLetters removes those that were stored first while all together take more than DeadLetterCapacity,
	// MaxDeadLettersTrimmed at most, and returns how many. It is called after each insert of fewer. After an error some may
	// be gone.
	TrimDeadLetters(ctx context.Context) (removed int, err error)
	// DeadLetterBytes returns what all take together, as it is compared with DeadLetterCapacity.
	DeadLetterBytes(ctx context.Context) (int64, error)
}

// DeadLetterStore is for those who work with the stored dead letters.
type DeadLetterStore interface {
	// DeadLetter returns one. ErrNotFound: there is none (any more).
	DeadLetter(ctx context.Context, id DeadLetterID) (DeadLetter, error)
	// FindDeadLetters returns those that q selects, newest first (by Received, then by ID, descending
	// both), at most q.Limit, and fewer when their ContentBytes add up to more than MaxDeadLetterPageBytes.
	// The caller owns what is returned.
	FindDeadLetters(ctx context.Context, q DeadLetterQuery) (DeadLetterPage, error)
	// CountDeadLetters counts those that q, whatever its Limit, selects: by reason, ascending.
	CountDeadLetters(ctx context.Context, q DeadLetterQuery) ([]ReasonCount, error)
	// CountDeadLetterSources counts the newest of those that q, whatever its Limit, selects, MaxDeadLettersBySource at
	// most: by the first MaxSourceLength characters of Source, the most frequent first.
	CountDeadLetterSources(ctx context.Context, q DeadLetterQuery) ([]SourceCount, error)
	// MarkReplayed sets the Replay of the dead letters with these ids; those that are gone are passed over.
	MarkReplayed(ctx context.Context, replays map[DeadLetterID]Replay) error
	// DeleteDeadLetter removes one. ErrNotFound: there is none (any more).
	DeleteDeadLetter(ctx context.Context, id DeadLetterID) error
	// DeleteDeadLetters removes those that q, whatever its Limit, selects, and returns how many. After
	// an error some may be gone.
	DeleteDeadLetters(ctx context.Context, q DeadLetterQuery) (deleted int, err error)
}

// MaxDeadLetterPageBytes is how many ContentBytes the dead letters of a page have together: no more than that, or
// one dead letter.
const MaxDeadLetterPageBytes = 4 << 20

// DeadLetterQuery selects dead letters. Its zero values select everything but Limit's.
type DeadLetterQuery struct {
	Reason   Reason
	Device   DeviceID
	Devices  []DeviceID       // only those of which it is known that they are theirs; nil: all
	Source   TopicFilter      // only those with a Source that it selects
	From     time.Time        // only with From <= Received
	To       time.Time        // only with Received < To
	Replayed *bool            // only those that were replayed, or were not
	Limit    int              // 1 to MaxPage
	After    DeadLetterCursor // only what comes after it in the order of the listing
}

// DeadLetterPage is a part of a listing, newest first.
type DeadLetterPage struct {
	DeadLetters []DeadLetter
	Next        DeadLetterCursor // where the next page starts; zero at the end of the listing
}

// ReasonCount is the number of dead letters with one reason.
type ReasonCount struct {
	Reason   Reason
	Count    int64
	Replayed int64 // of them
}

// SourceCount is the number of dead letters from one source.
type SourceCount struct {
	Source   string
	Count    int64
	Replayed int64        // of them
	Newest   DeadLetterID // of them
}

// What CountDeadLetterSources looks at, so that it takes no longer, and no more memory, the more dead letters there are.
const (
	MaxDeadLettersBySource = 10_000
	MaxSourceLength        = 256
)

// DeadLetterCursor is a place in a listing of dead letters, as Cursor is in one of readings: right behind the
// dead letter that it names. The zero DeadLetterCursor is the start.
type DeadLetterCursor struct {
	Received time.Time
	ID       DeadLetterID
}

// Cursor returns the place right behind d.
func (d DeadLetter) Cursor() DeadLetterCursor {
	return DeadLetterCursor{Received: d.Received, ID: d.ID}
}

// IsZero reports whether c is the start, or in DeadLetterPage.Next the end, of a listing.
func (c DeadLetterCursor) IsZero() bool { return c == DeadLetterCursor{} }

// String returns c in a form that is opaque to clients and safe in a URL; "" for the zero DeadLetterCursor.
func (c DeadLetterCursor) String() string {
	if c.IsZero() {
		return ""
	}
	b := binary.BigEndian.AppendUint64(nil, uint64(c.Received.UnixMilli()))
	return base64.RawURLEncoding.EncodeToString(append(b, c.ID[:]...))
}

// ParseDeadLetterCursor is the inverse of String. A text that String does not return is ErrInvalid.
func ParseDeadLetterCursor(s string) (c DeadLetterCursor, err error) {
	if s == "" {
		return c, nil
	}
	b, err := base64.RawURLEncoding.Strict().DecodeString(s)
	if err != nil || len(b) != 8+len(c.ID) {
		return c, fmt.Errorf("cursor %.40q: %w", s, ErrInvalid)
	}
	ms := int64(binary.BigEndian.Uint64(b))
	if ms < minMillis || ms > maxMillis {
		return c, fmt.Errorf("cursor %.40q: %w", s, ErrInvalid)
	}
	return DeadLetterCursor{Received: time.UnixMilli(ms).UTC(), ID: DeadLetterID(b[8:])}, nil
}
