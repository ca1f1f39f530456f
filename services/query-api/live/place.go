package live

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"slices"

	"github.com/telltale-iot/telltale/pkg/kafka"
)

// topics is how many are followed: that of readings and that of dead letters.
const topics = 2

// place is a place in the log: which records a client has been told of. Places share their marks, so nobody changes them but
// the owner of a clone.
type place struct {
	topics  topicsID
	devices uint32 // the fingerprint of what was told of the devices; 0: nobody knows
	marks   [topics][]mark
}

// topicsID tells the topics from others of their names that were before them.
type topicsID [6]byte

// mark is a place in a partition.
type mark struct {
	next   int64 // the first record that was not told of whole
	within int32 // how many readings of it were
}

func (m mark) before(other mark) bool {
	return m.next < other.next || m.next == other.next && m.within < other.within
}

// mark returns the mark of a partition: the very beginning of one that came later.
func (p place) mark(topic, partition int) mark {
	if partition < len(p.marks[topic]) {
		return p.marks[topic][partition]
	}
	return mark{}
}

func (p place) clone() place {
	for topic := range p.marks {
		p.marks[topic] = slices.Clone(p.marks[topic])
	}
	return p
}

// set changes a mark of a clone.
func (p *place) set(topic, partition int, m mark) {
	p.grow(topic, partition+1)
	p.marks[topic][partition] = m
}

// grow gives a clone marks for so many partitions of a topic.
func (p *place) grow(topic, partitions int) {
	for len(p.marks[topic]) < partitions {
		p.marks[topic] = append(p.marks[topic], mark{})
	}
}

// covers reports whether all that was told of at other was at p.
func (p place) covers(other place) bool {
	if p.topics != other.topics {
		return false
	}
	for topic := range other.marks {
		for partition, m := range other.marks[topic] {
			if p.mark(topic, partition).before(m) {
				return false
			}
		}
	}
	return true
}

// merge returns the place at which all was told of that was at p or at other.
func (p place) merge(other place) place {
	p = p.clone()
	for topic := range other.marks {
		for partition, m := range other.marks[topic] {
			if p.mark(topic, partition).before(m) {
				p.set(topic, partition, m)
			}
		}
	}
	return p
}

// same reports whether the same records were told of.
func (p place) same(other place) bool { return p.covers(other) && other.covers(p) }

// placeVersion is the first byte of each place in its written form.
const placeVersion = 1

// append appends p in a form that is opaque to clients and safe in a URL: the version, the id of the topics, the fingerprint
// of the devices; for each topic the number of its partitions and their offsets; and for each record that was told of in
// part, of which there are hardly ever any, the topic, the partition and how many of its readings were. A hundred
// characters for two topics of twelve partitions.
func (p place) append(dst []byte) []byte {
	var room [512]byte
	b := append(room[:0], placeVersion)
	b = append(b, p.topics[:]...)
	b = binary.BigEndian.AppendUint32(b, p.devices)
	for _, marks := range p.marks {
		b = binary.AppendUvarint(b, uint64(len(marks)))
		for _, m := range marks {
			b = binary.AppendUvarint(b, uint64(m.next))
		}
	}
	for topic, marks := range p.marks {
		for partition, m := range marks {
			if m.within > 0 {
				b = append(b, byte(topic))
				b = binary.AppendUvarint(binary.AppendUvarint(b, uint64(partition)), uint64(m.within))
			}
		}
	}
	return base64.RawURLEncoding.AppendEncode(dst, b)
}

// errNoPlace is of a text that is no place.
var errNoPlace = errors.New("no place in the log")

// parsePlace is the inverse of append.
func parsePlace(s string) (p place, err error) {
	b, err := base64.RawURLEncoding.DecodeString(s)
	if err != nil || len(b) < 1+len(p.topics)+4 || b[0] != placeVersion {
		return p, errNoPlace
	}
	b = b[1+copy(p.topics[:], b[1:]):]
	p.devices = binary.BigEndian.Uint32(b)
	b = b[4:]
	number := func(most uint64) uint64 {
		n, size := binary.Uvarint(b)
		if size <= 0 || n > most {
			err, b = errNoPlace, nil
			return 0
		}
		b = b[size:]
		return n
	}
	for topic := range p.marks {
		n := number(uint64(len(b))) // each has a byte at least
		p.marks[topic] = make([]mark, n)
		for i := range p.marks[topic] {
			p.marks[topic][i].next = int64(number(1<<63 - 1))
		}
	}
	for len(b) > 0 {
		topic := number(topics - 1)
		partition, within := number(1<<31-1), number(1<<31-1)
		if err != nil || partition >= uint64(len(p.marks[topic])) {
			return p, errNoPlace
		}
		p.marks[topic][partition].within = int32(within)
	}
	return p, err
}

// topicsIDOf returns what tells topics from others of their names.
func topicsIDOf(ends []kafka.TopicEnds) topicsID {
	hash := sha256.New()
	for _, e := range ends {
		_, _ = hash.Write(e.ID[:]) // a hash never fails
	}
	return topicsID(hash.Sum(nil))
}

// placeOf returns the place behind all records.
func placeOf(ends []kafka.TopicEnds) (p place) {
	p.topics = topicsIDOf(ends)
	for topic := range p.marks {
		for _, next := range ends[topic].Next {
			p.marks[topic] = append(p.marks[topic], mark{next: next})
		}
	}
	return p
}
