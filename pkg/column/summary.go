package column

import (
	"encoding/binary"
	"math"
	"sync"
	"time"

	"github.com/telltale-iot/telltale/pkg/iot"
)

// summarizer has what an AppendSummary needs, for the next one.
type summarizer struct {
	metrics builders[bounds]
	body    []byte
}

type bounds struct {
	min, max float64
	found    bool
}

var summarizers = sync.Pool{New: func() any { return new(summarizer) }}

// AppendSummary appends the summary of rows, which Encode has taken, to dst.
func AppendSummary(dst []byte, rows []Row) []byte {
	s := summarizers.Get().(*summarizer)
	defer summarizers.Put(s)
	text := false
	for i := range rows {
		for k, m := range rows[i].Metrics {
			column, _ := s.metrics.find(k, m.Name)
			b := &s.metrics.columns[column]
			if !b.found {
				*b = bounds{m.Value, m.Value, true}
				continue
			}
			b.min, b.max = min(b.min, m.Value), max(b.max, m.Value)
		}
		text = text || len(rows[i].Attributes) > 0
	}
	first, last := &rows[0], &rows[len(rows)-1]
	body := binary.AppendUvarint(s.body[:0], uint64(first.Device))
	body = binary.AppendUvarint(body, uint64(len(rows)))
	body = binary.AppendVarint(body, first.At.UnixMilli())
	body = binary.AppendUvarint(body, uint64(last.At.UnixMilli()-first.At.UnixMilli()))
	body = append(body, 0)
	if text {
		body[len(body)-1] = 1
	}
	body = binary.AppendUvarint(body, uint64(len(s.metrics.names)))
	for _, column := range s.metrics.sorted() {
		body = appendName(body, s.metrics.names[column])
		body = appendNumber(body, s.metrics.columns[column].min)
		body = appendNumber(body, s.metrics.columns[column].max)
	}
	s.body = body
	s.metrics.reset(func(b *bounds) { *b = bounds{} })

	start := len(dst)
	dst = append(dst, version, 0, 0, 0, 0)
	dst = appendFrame(dst, body)
	seal(dst[start:])
	return dst
}

// appendNumber appends v in its least exponent, or, where it has none, its bits.
func appendNumber(dst []byte, v float64) []byte {
	var d decimal
	if !d.least(v) {
		return binary.LittleEndian.AppendUint64(append(dst, byte(len(powers))), math.Float64bits(v))
	}
	n, _ := d.integer(v)
	return binary.AppendVarint(append(dst, byte(d.exponent)), n)
}

func (r *reader) number() float64 {
	exponent := r.upTo(len(powers))
	if exponent == len(powers) {
		if b := r.bytes(8); b != nil {
			return math.Float64frombits(binary.LittleEndian.Uint64(b))
		}
		return 0
	}
	return float64(r.signed()) / powers[exponent]
}

// ParseSummary returns the summary that AppendSummary appended.
func ParseSummary(data []byte) (iot.Summary, error) {
	body, err := open(data)
	if err != nil {
		return iot.Summary{}, err
	}
	r := reader{rest: body}
	if body = r.frame(); r.end() != nil {
		return iot.Summary{}, r.err
	}
	r = reader{rest: body}
	s := iot.Summary{Device: iot.DeviceID(r.unsigned()), Count: r.upTo(MaxRows)}
	from := r.signed()
	s.From, s.To = time.UnixMilli(from).UTC(), time.UnixMilli(from+int64(r.unsigned())).UTC()
	s.Text = r.upTo(1) == 1
	metrics := r.upTo(maxMembers)
	s.Metrics = make([]iot.MetricRange, 0, metrics)
	for range metrics {
		s.Metrics = append(s.Metrics, iot.MetricRange{Name: r.name(""), Min: r.number(), Max: r.number()})
	}
	if err := r.end(); err != nil {
		return iot.Summary{}, err
	}
	return s, nil
}
