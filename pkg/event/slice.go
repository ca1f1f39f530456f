package event

import (
	"fmt"
	"iter"
	"slices"

	"github.com/telltale-iot/telltale/pkg/iot"
	"github.com/telltale-iot/telltale/pkg/kafka"
	"github.com/telltale-iot/telltale/pkg/payload"
)

// A batch of one megabyte can become hundreds: `[1,1,…]` is two bytes for each dead letter. So it is decoded a
// slice at a time, and each slice is done with before the next.
const (
	// sliceBytes is about what a slice takes in memory, but for the one step of a Decoder that it ends with. A
	// usual batch, of thousands of short readings, is one slice.
	sliceBytes = 2 << 20
	// deadLetterBytes is about what a dead letter takes beside its bytes, most of which are the record's, and its source.
	deadLetterBytes = 300
)

// readingSize is about what r takes in memory.
func readingSize(r *iot.Reading) int {
	return 152 + len(r.Key) + len(r.Said) + 16*len(r.Metrics) + 32*len(r.Attributes) + r.ContentBytes()
}

// slice is what a part of a batch of records holds. The next call of fill uses its memory again.
type slice struct {
	batch   []kafka.Record
	next    int // the record that is being decoded, or comes next
	decoder Decoder
	given   int // readings of that record so far

	readings    []iot.Reading
	records     []int // beside each reading, the index of its record
	rejections  int
	deadLetters []DeadLetter // for the rejections, where somebody takes them
	size        int          // of the readings and the dead letters

	first   int // the record that the slice begins with or in
	skipped int // readings of that record in earlier slices

	rejected []iot.Rejection // of a step
}

// more reports whether there is more of the batch than was in slices until now.
func (s *slice) more() bool { return s.next < len(s.batch) }

// taken is how many readings the slice holds, rejected ones included.
func (s *slice) taken() int { return len(s.readings) + s.rejections }

// fill decodes the next slice, with dead letters or only the number of rejections.
func (s *slice) fill(withDeadLetters bool) {
	s.clear()
	s.first, s.skipped = s.next, s.given
	for s.more() && s.size < sliceBytes {
		rec := &s.batch[s.next]
		if !s.decoder.More() {
			s.decoder.Start(rec)
		}
		before := len(s.readings)
		s.readings, s.rejected = s.decoder.Next(s.readings, s.rejected[:0])
		for i := range s.readings[before:] {
			s.size += readingSize(&s.readings[before+i])
			s.records = append(s.records, s.next)
		}
		s.rejections += len(s.rejected)
		if withDeadLetters && len(s.rejected) > 0 {
			s.addDeadLetters(rec, s.rejected...)
		}
		s.given += len(s.readings) - before
		if !s.decoder.More() {
			s.next++
			s.given = 0
		}
	}
	clear(s.rejected)
}

// clear lets go of what the slice refers to.
func (s *slice) clear() {
	clear(s.readings)
	clear(s.deadLetters)
	s.readings, s.records, s.deadLetters, s.rejections, s.size = s.readings[:0], s.records[:0], s.deadLetters[:0], 0, 0
}

func (s *slice) addDeadLetters(rec *kafka.Record, rejected ...iot.Rejection) {
	d, where := deadLetterOf(rec)
	for _, r := range rejected {
		s.addDeadLetter(d, where, r)
	}
}

// addDeadLetter adds d with a rejection, whose detail also says where the record is.
func (s *slice) addDeadLetter(d DeadLetter, where string, r iot.Rejection) {
	d.Rejection = r
	if where != "" {
		d.Detail = shorten(d.Detail + " (record " + where + ")")
	}
	s.deadLetters = append(s.deadLetters, d)
	s.size += deadLetterBytes + len(d.Source) + len(d.Client)
}

// deadLetterOf returns a dead letter of rec, or of a part of it, without the rejection, and where rec is on Kafka, if the
// dead letter's source is not that.
func deadLetterOf(rec *kafka.Record) (d DeadLetter, where string) {
	d.Key = rec.Key
	d.Received, d.ContentType = arrival(rec), string(rec.Header(headerContentType))
	if mediaType(rec.Header(headerContentType)) == typeProtobuf {
		from := parseSource(rec.Value)
		d.Source, d.Client = from.topic, from.client
	}
	where = fmt.Sprintf("%s/%d/%d", rec.Topic, rec.Partition, rec.Offset)
	if d.Source == "" || d.Source == where {
		d.Source, where = where, ""
	}
	return d, where
}

// addRefused adds the dead letters for readings that cannot be stored; their indexes ascend.
func (s *slice) addRefused(refused []Refused) {
	record, first := -1, 0
	var bytes [][]byte // of the record, one for each of its readings, which begin at first
	for _, r := range refused {
		i, rejection := r.Index, r.Rejection
		if s.records[i] != record {
			record = s.records[i]
			first, _ = slices.BinarySearch(s.records, record)
			if bytes = readingBytes(&s.batch[record]); record == s.first {
				first -= s.skipped
			}
		}
		rec := &s.batch[record]
		d, where := deadLetterOf(rec)
		rejection.Bytes = bytes[i-first]
		if mediaType(rec.Header(headerContentType)) == typeProtobuf {
			if values, contentType, ok := Values(s.readings[i], d.Received); ok {
				rejection.Bytes, d.ContentType = values, contentType
				s.size += len(values)
			}
		}
		s.addDeadLetter(d, where, rejection)
	}
}

// readingBytes returns the part of rec's value behind each of its readings: a legacy record can hold a
// batch, and then the neighbours of a dead letter are none.
func readingBytes(rec *kafka.Record) [][]byte {
	if mediaType(rec.Header(headerContentType)) == typeProtobuf {
		return [][]byte{rec.Value}
	}
	var bytes [][]byte
	for _, object := range payload.Objects(rec.Value) {
		var got payload.Result
		if payload.Decode(message(rec, object), &got); len(got.Readings) > 0 {
			bytes = append(bytes, object)
		}
	}
	return bytes
}

// Slices yields the readings in batch, a slice at a time, with the number of what is no reading there: for those
// who only look at the readings and repeat a batch as a whole. The memory of a slice is used again for the next.
func Slices(batch []kafka.Record) iter.Seq2[[]iot.Reading, int] {
	return func(yield func([]iot.Reading, int) bool) {
		for s := (slice{batch: batch}); s.more(); {
			if s.fill(false); !yield(s.readings, s.rejections) {
				return
			}
		}
	}
}
