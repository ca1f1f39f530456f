package transfer

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"

	"github.com/telltale-iot/telltale/pkg/iot"
	"github.com/telltale-iot/telltale/pkg/readingjson"
)

const (
	maxRow   = 16 << 10 // bytes of a row of several lines, of which all but the first are read again where it has no end
	maxCells = 10_000   // that a header may have, as readings have members
)

// sheet is what is known of a CSV file.
type sheet struct {
	separator byte
	names     []string // of the columns, as the members of a reading
	exported  bool     // it has the columns of an export
	cells     []string
}

// ErrNoTable is for a file whose first line is no header.
const ErrNoTable = Refusal("the file is neither NDJSON, whose lines begin with {, nor CSV with a header that has a column for the device and one for the time")

// ErrTooWide is for one whose header has more columns than any reading needs.
const ErrTooWide = Refusal("the header has more than 10000 columns")

// header reads the first line of a CSV file.
func (d *Decoder) header() (*sheet, error) {
	line, err := d.readLine(nil)
	if errors.Is(err, io.EOF) {
		return &sheet{}, nil // an empty file
	}
	if err != nil {
		return nil, err
	}
	t := &sheet{separator: ','}
	for _, c := range []byte(";\t") {
		if bytes.IndexByte(line, ',') < 0 && bytes.IndexByte(line, c) >= 0 {
			t.separator = c
		}
	}
	for open := t.open(line, false); open && len(line) < maxRow; {
		end := len(line)
		if line, err = d.readLine(append(line, '\n')); err != nil {
			break
		}
		open = t.open(line[end:], true)
	}
	names, ok := t.split(bytes.TrimRight(line, "\r"))
	if !ok || len(line) > maxLine {
		return nil, ErrNoTable
	}
	if len(names) > maxCells {
		return nil, ErrTooWide
	}
	t.names = make([]string, len(names))
	seen := map[string]bool{}
	for i, name := range names {
		t.names[i] = unescape(name)
		known, ok := knownColumns[strings.ToLower(strings.TrimSpace(name))]
		if ok && !seen[known] {
			t.names[i] = known
		}
		seen[t.names[i]] = true
	}
	if !seen[columnDevice] || !seen[columnTimestamp] {
		return nil, ErrNoTable
	}
	t.exported = seen[columnSource]
	return t, nil
}

// knownColumns are the columns with a meaning, by what they are called in lower case.
var knownColumns = map[string]string{
	columnDevice: columnDevice, "device": columnDevice, "deviceid": columnDevice, "device id": columnDevice,
	columnTimestamp: columnTimestamp, "time": columnTimestamp, "ts": columnTimestamp, "datetime": columnTimestamp, "date": columnTimestamp,
	iot.Temperature: iot.Temperature, iot.Humidity: iot.Humidity,
}

// readRow makes the row that begins in buf at start, and has further lines where a cell has, a reading's JSON.
func (d *Decoder) readRow(buf []byte, start int) ([]byte, iot.Rejection, error) {
	number, first := d.line, len(buf)
	if first-start > maxLine {
		return buf, iot.Rejection{}, nil
	}
	if len(bytes.TrimSpace(buf[start:])) == 0 {
		return buf[:start], iot.Rejection{}, nil
	}
	for open := d.csv.open(buf[start:], false); open && len(buf)-start < maxRow; {
		end := len(buf)
		longer, err := d.readLine(append(buf, '\n'))
		if errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			return buf[:start], iot.Rejection{}, err
		}
		buf = longer
		open = d.csv.open(buf[end:], true)
	}
	cells, ok := d.csv.split(bytes.TrimRight(buf[start:], "\r"))
	reject := func(detail string) ([]byte, iot.Rejection, error) {
		if first < len(buf) { // only its first line is lost
			d.again = append(append(bytes.Clone(buf[first+1:]), '\n'), d.again...)
			d.line = number
		}
		line := bytes.Clone(buf[start:first])
		return buf[:start], iot.Rejection{Reason: iot.ReasonInvalidMember, Detail: detail, Index: number, Bytes: line}, nil
	}
	switch {
	case !ok:
		return reject("a quotation mark in this line has no other")
	case len(cells) != len(d.csv.names):
		return reject(fmt.Sprintf("%d cells, where the header has %d", len(cells), len(d.csv.names)))
	}
	d.csv.cells = cells
	return d.csv.appendJSON(buf[:start]), iot.Rejection{}, nil
}

// open reports whether a row ends within quotes with this line of it, before which it is within quotes or begins.
func (t *sheet) open(line []byte, quoted bool) bool {
	for {
		if !quoted {
			if len(line) == 0 || line[0] != '"' {
				_, rest, more := bytes.Cut(line, []byte{t.separator})
				if !more {
					return false
				}
				line = rest
				continue
			}
			line = line[1:]
		}
		end := bytes.IndexByte(line, '"')
		if end < 0 {
			return true
		}
		if line = line[end+1:]; len(line) > 0 && line[0] == '"' {
			line, quoted = line[1:], true
			continue
		}
		_, rest, more := bytes.Cut(line, []byte{t.separator})
		if !more {
			return false
		}
		line, quoted = rest, false
	}
}

// split returns the cells of a row, or false where it ends within quotes.
func (t *sheet) split(row []byte) (cells []string, ok bool) {
	cells = t.cells[:0]
	for {
		if len(row) == 0 || row[0] != '"' {
			cell, rest, more := bytes.Cut(row, []byte{t.separator})
			if cells = append(cells, string(cell)); !more {
				return cells, true
			}
			row = rest
			continue
		}
		var cell []byte
		for row = row[1:]; ; {
			end := bytes.IndexByte(row, '"')
			if end < 0 {
				return cells, false
			}
			cell = append(cell, row[:end]...)
			if row = row[end+1:]; len(row) == 0 || row[0] != '"' {
				break
			}
			cell, row = append(cell, '"'), row[1:]
		}
		rest, next, more := bytes.Cut(row, []byte{t.separator}) // rest is empty, but in what is not quite CSV
		if cells = append(cells, string(cell)+string(rest)); !more {
			return cells, true
		}
		row = next
	}
}

// cell returns what a cell says. Where semicolons separate, as spreadsheets do it in countries with a decimal comma, numbers
// have one.
func (t *sheet) cell(i int) string {
	cell := unescape(t.cells[i])
	if t.separator == ';' && strings.Count(cell, ",") == 1 && !strings.Contains(cell, ".") {
		number := strings.Replace(cell, ",", ".", 1)
		if _, ok := parseNumber(number); ok {
			return number
		}
	}
	return cell
}

// appendJSON appends the cells as the JSON of an export or, in a file that is none, as what a device sends.
func (t *sheet) appendJSON(dst []byte) []byte {
	if t.exported {
		return t.appendExported(dst)
	}
	open := byte('{')
	for i, name := range t.names {
		cell := t.cell(i)
		if strings.TrimSpace(cell) == "" {
			continue
		}
		dst = append(readingjson.AppendString(append(dst, open), strings.TrimSpace(name)), ':')
		open = ','
		number, isNumber := parseNumber(cell)
		switch {
		case name == columnDevice || name == columnTimestamp:
			dst = readingjson.AppendString(dst, strings.TrimSpace(cell))
		case isNumber:
			dst = readingjson.AppendNumber(dst, number)
		case strings.EqualFold(cell, "true") || strings.EqualFold(cell, "false"):
			dst = append(dst, strings.ToLower(cell)...)
		default:
			dst = readingjson.AppendString(dst, cell)
		}
	}
	if open == '{' {
		dst = append(dst, '{')
	}
	return append(dst, '}')
}

// appendExported appends the cells of a file with the columns of an export: what is a number in the others is a metric,
// and text an attribute.
func (t *sheet) appendExported(dst []byte) []byte {
	var device, temperature, humidity, timestamp, metrics, attributes, rest []byte
	add := func(members *[]byte, name string) {
		if len(*members) > 0 {
			*members = append(*members, ',')
		}
		*members = append(readingjson.AppendString(*members, name), ':')
	}
	for i, name := range t.names {
		cell := t.cell(i)
		if cell == "" {
			continue
		}
		number, isNumber := parseNumber(cell)
		switch name {
		case columnDevice:
			device = []byte(cell)
		case columnTimestamp:
			timestamp = []byte(cell)
		case columnKey, columnSource, columnSaid:
			add(&rest, name)
			rest = readingjson.AppendString(rest, cell)
		case columnMetrics:
			metrics = appendMembers(metrics, cell)
		case columnAttributes:
			attributes = appendMembers(attributes, cell)
		case iot.Temperature:
			temperature = []byte(cell)
		case iot.Humidity:
			humidity = []byte(cell)
		default:
			if isNumber {
				add(&metrics, name)
				metrics = readingjson.AppendNumber(metrics, number)
			} else {
				add(&attributes, name)
				attributes = readingjson.AppendString(attributes, cell)
			}
		}
	}
	or := func(value []byte) []byte {
		if len(value) == 0 {
			return []byte("null")
		}
		return value
	}
	dst = append(append(dst, `{"device_id":`...), or(device)...)
	dst = append(append(dst, `,"temperature":`...), or(temperature)...)
	dst = append(append(dst, `,"humidity":`...), or(humidity)...)
	dst = readingjson.AppendString(append(dst, `,"timestamp":`...), timestamp)
	if len(metrics) > 0 {
		dst = append(append(append(dst, `,"metrics":{`...), metrics...), '}')
	}
	if len(attributes) > 0 {
		dst = append(append(append(dst, `,"attributes":{`...), attributes...), '}')
	}
	if len(rest) > 0 {
		dst = append(append(dst, ','), rest...)
	}
	return append(dst, '}')
}

// appendMembers appends those of a JSON object.
func appendMembers(dst []byte, object string) []byte {
	members := strings.TrimSuffix(strings.TrimPrefix(strings.TrimSpace(object), "{"), "}")
	if len(dst) > 0 && members != "" {
		dst = append(dst, ',')
	}
	return append(dst, members...)
}

// parseNumber reads a number as people write it: no infinity, and no hexadecimal one.
func parseNumber(cell string) (float64, bool) {
	cell = strings.TrimSpace(cell)
	if strings.Trim(cell, "+-.0123456789eE") != "" {
		return 0, false
	}
	v, err := strconv.ParseFloat(cell, 64)
	return v, err == nil
}
