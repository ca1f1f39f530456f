package sqlite

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/telltale-iot/telltale/pkg/column"
	"github.com/telltale-iot/telltale/pkg/iot"
)

// columns are those of the table, in the order in which a row has them.
const columns = "timestamp, device_id, received_at, timestamp_source, temperature, humidity, metrics, attributes, origin, moved_from, checksum, " +
	"device_key, device_timestamp"

// statements are those on a table of rows.
type statements struct {
	table                                                 string
	insertRow, replaceRow, selectRow, countRow, deleteRow string
	insertPlain                                           string // of a row that is plain
	countMoved, deleteMoved                               string
	// These are of readers. What they select is to be checked: no query has a LIMIT, rows are read until there are enough.
	selectRows, scanOldest, scanNewest string
}

func statementsOf(table string) statements {
	const values = `(` + columns + `) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`
	const atPlace = ` WHERE timestamp = ? AND device_id = ?`
	const ofMoved = ` WHERE device_id = ? AND origin = ? AND moved_from = ?`
	const between = ` WHERE (timestamp, device_id) > (?, ?) AND (timestamp, device_id) < (?, ?) ORDER BY `
	return statements{
		table:       table,
		insertRow:   `INSERT INTO ` + table + values + ` ON CONFLICT DO NOTHING`,
		insertPlain: `INSERT INTO ` + table + ` (timestamp, device_id, received_at, timestamp_source, temperature, humidity, checksum) VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING`,
		replaceRow:  `REPLACE INTO ` + table + values,
		selectRow:   `SELECT ` + columns + ` FROM ` + table + atPlace,
		countRow:    `SELECT count(*) FROM ` + table + atPlace,
		deleteRow:   `DELETE FROM ` + table + atPlace,
		countMoved:  `SELECT count(*) FROM ` + table + ofMoved + ` AND timestamp >= ? AND timestamp < ?`,
		deleteMoved: `DELETE FROM ` + table + ofMoved,
		selectRows:  `SELECT ` + columns + ` FROM ` + table + ` WHERE timestamp IN (SELECT value FROM json_each(?)) AND device_id = ? ORDER BY timestamp`,
		scanOldest:  `SELECT ` + columns + ` FROM ` + table + between + `timestamp, device_id`,
		scanNewest:  `SELECT ` + columns + ` FROM ` + table + between + `timestamp DESC, device_id DESC`,
	}
}

// Their places, where they have to be known.
const (
	timestampColumn = 0
	deviceColumn    = 1
	metricsColumn   = 6
	movedFromColumn = 9
	checksumColumn  = 10
	keyColumn       = 11
	saidColumn      = 12
)

// row is the values of the columns as the driver has them: int64, float64, string or nil.
type row [saidColumn + 1]any

// place returns the place of v.
func (v *row) place() place {
	at, _ := v[timestampColumn].(int64)
	device, _ := v[deviceColumn].(int64)
	return place{iot.DeviceID(device), at}
}

// plain returns the values of v but for those columns in which most rows have nothing, or nil where this one has something: a
// value takes its time on its way to SQLite, also where it is NULL.
func (v *row) plain() []any {
	for _, values := range [][]any{v[metricsColumn:checksumColumn], v[keyColumn:]} {
		for _, value := range values {
			if value != nil {
				return nil
			}
		}
	}
	return append(v[:metricsColumn:metricsColumn], v[checksumColumn])
}

// fill makes v the row of r, stored at the millisecond at.
func (v *row) fill(r *iot.Reading, at int64) error {
	var (
		temperature, humidity any
		origin, movedFrom     any
		metrics               map[string]float64
		attributes            map[string]string
	)
	for _, m := range r.Metrics {
		switch m.Name {
		case iot.Temperature:
			temperature = m.Value
		case iot.Humidity:
			humidity = m.Value
		default:
			if metrics == nil {
				metrics = make(map[string]float64, len(r.Metrics))
			}
			metrics[m.Name] = m.Value
		}
	}
	if len(r.Attributes) > 0 {
		attributes = make(map[string]string, len(r.Attributes))
		for _, a := range r.Attributes {
			attributes[a.Name] = a.Value
		}
	}
	metricsText, err := object(metrics)
	if err != nil {
		return err
	}
	attributesText, err := object(attributes)
	if err != nil {
		return err
	}
	if r.Origin != 0 {
		origin = int64(r.Origin)
	}
	if stamped := r.At.UnixMilli(); stamped != at {
		movedFrom = stamped
	}
	*v = row{
		at, int64(r.Device), r.Received.UnixMilli(), int64(r.Stamped),
		temperature, humidity, metricsText, attributesText, origin, movedFrom,
	}
	if r.Key != "" {
		v[keyColumn] = r.Key
	}
	if r.Said != "" {
		v[saidColumn] = r.Said
	}
	v[checksumColumn] = v.sum()
	return nil
}

// fillRow makes v the row of r.
func (v *row) fillRow(r *column.Row) error {
	at := r.At.UnixMilli()
	err := v.fill(&r.Reading, at)
	if r.MovedFrom != 0 {
		v[movedFromColumn] = r.MovedFrom
		v[checksumColumn] = v.sum()
	}
	return err
}

// move makes v the row of the same reading at another millisecond.
func (v *row) move(at int64) {
	if v[movedFromColumn] == nil {
		v[movedFromColumn] = v[timestampColumn]
	}
	v[timestampColumn] = at
	v[checksumColumn] = v.sum()
}

// sum is what the checksum is to be: SQLite itself does not notice when a bit of a row is not what it was. The columns
// behind it came later: where they are empty it is that of the others, as in the rows that were there.
func (v *row) sum() int64 {
	b := appendValues(make([]byte, 0, 256), v[:checksumColumn])
	if v[keyColumn] != nil || v[saidColumn] != nil {
		b = appendValues(b, v[checksumColumn+1:])
	}
	return int64(crc32.Checksum(b, castagnoli))
}

// appendValues appends values with their types.
func appendValues(b []byte, values []any) []byte {
	for _, value := range values {
		switch value := value.(type) {
		case nil:
			b = append(b, 0)
		case int64:
			b = binary.BigEndian.AppendUint64(append(b, 1), uint64(value))
		case float64:
			b = binary.BigEndian.AppendUint64(append(b, 2), math.Float64bits(value))
		case string:
			b = append(binary.BigEndian.AppendUint32(append(b, 3), uint32(len(value))), value...)
		}
	}
	return b
}

// append appends v in fewer bytes than it has in memory, for take.
func (v *row) append(b []byte) []byte {
	for _, value := range v {
		switch value := value.(type) {
		case nil:
			b = append(b, 0)
		case int64:
			b = binary.AppendVarint(append(b, 1), value)
		case float64:
			b = binary.BigEndian.AppendUint64(append(b, 2), math.Float64bits(value))
		case string:
			b = append(binary.AppendUvarint(append(b, 3), uint64(len(value))), value...)
		default: // a column of another type has its place in memory only, and its row is damaged
			b = append(b, 4)
		}
	}
	return b
}

// take makes v what append appended first, and returns what is behind it.
func (v *row) take(b []byte) []byte {
	for i := range v {
		kind := b[0]
		b = b[1:]
		switch kind {
		case 0:
			v[i] = nil
		case 1:
			value, n := binary.Varint(b)
			v[i], b = value, b[n:]
		case 2:
			v[i], b = math.Float64frombits(binary.BigEndian.Uint64(b)), b[8:]
		case 3:
			length, n := binary.Uvarint(b)
			b = b[n:]
			v[i], b = string(b[:length]), b[length:]
		default:
			v[i] = struct{}{}
		}
	}
	return b
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

var (
	// errDamaged means that a row is not as it was written.
	errDamaged = errors.New("it is not as it was written")
	// errMisplaced means that the file's tree leads to a row from the place of another one. SQLite itself does not
	// notice, and would return that row twice, or out of order.
	errMisplaced = errors.New("it was found in the place of another reading")
)

// object returns m as a JSON object, or nil, which is NULL, where m is empty.
func object[V any](m map[string]V) (any, error) {
	if len(m) == 0 {
		return nil, nil
	}
	text, err := json.Marshal(m)
	return string(text), err
}

// scan reads a row from a *sql.Row or *sql.Rows.
func scan(from interface{ Scan(dest ...any) error }) (v row, err error) {
	// Into any, values come as the driver has them, without a conversion by reflection. The table is
	// STRICT: a column has the type it is declared with, or is NULL.
	err = from.Scan(&v[0], &v[1], &v[2], &v[3], &v[4], &v[5], &v[6], &v[7], &v[8], &v[9], &v[10], &v[11], &v[12])
	return v, err
}

// reading returns the reading in v. The rows of earlier versions have no checksum.
func (v *row) reading() (iot.Reading, error) {
	if v[checksumColumn] != nil && v[checksumColumn] != v.sum() {
		return iot.Reading{}, errDamaged
	}
	var whole [4]int64
	for i := range whole {
		n, ok := v[i].(int64)
		if !ok {
			return iot.Reading{}, errDamaged
		}
		whole[i] = n
	}
	r := iot.Reading{
		At:       time.UnixMilli(whole[0]).UTC(),
		Device:   iot.DeviceID(whole[1]),
		Received: time.UnixMilli(whole[2]).UTC(),
		Stamped:  iot.Stamp(whole[3]),
		Metrics:  make([]iot.Metric, 0, 2),
	}
	if value, ok := v[5].(float64); ok {
		r.Metrics = append(r.Metrics, iot.Metric{Name: iot.Humidity, Value: value})
	}
	if value, ok := v[4].(float64); ok {
		r.Metrics = append(r.Metrics, iot.Metric{Name: iot.Temperature, Value: value})
	}
	if text, ok := v[6].(string); ok {
		var metrics map[string]float64
		if err := json.Unmarshal([]byte(text), &metrics); err != nil {
			return r, fmt.Errorf("%w: metrics: %w", errDamaged, err)
		}
		for name, value := range metrics {
			r.Metrics = append(r.Metrics, iot.Metric{Name: name, Value: value})
		}
		slices.SortFunc(r.Metrics, func(a, b iot.Metric) int { return strings.Compare(a.Name, b.Name) })
	}
	if text, ok := v[7].(string); ok {
		var attributes map[string]string
		if err := json.Unmarshal([]byte(text), &attributes); err != nil {
			return r, fmt.Errorf("%w: attributes: %w", errDamaged, err)
		}
		for name, value := range attributes {
			r.Attributes = append(r.Attributes, iot.Attribute{Name: name, Value: value})
		}
		slices.SortFunc(r.Attributes, func(a, b iot.Attribute) int { return strings.Compare(a.Name, b.Name) })
	}
	if value, ok := v[8].(int64); ok {
		r.Origin = uint64(value)
	}
	r.Key, _ = v[keyColumn].(string)
	r.Said, _ = v[saidColumn].(string)
	return r, nil
}
