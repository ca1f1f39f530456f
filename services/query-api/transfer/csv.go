package transfer

import (
	"io"
	"slices"
	"strconv"
	"strings"

	"github.com/telltale-iot/telltale/pkg/iot"
	"github.com/telltale-iot/telltale/pkg/readingjson"
)

// csvRows is an Encoder.
type csvRows struct {
	chunk
	places map[string]int // of metrics, among the columns
	cells  []float64      // of the row being written, of the columns of metrics
	set    []bool
	other  []iot.Metric // of that row, without columns
	text   []byte       // a cell of JSON
}

func newCSV(w io.Writer, columns []string, goesOn bool) *csvRows {
	e := &csvRows{
		chunk: chunk{w: w}, places: places(columns, 2),
		cells: make([]float64, len(columns)+2), set: make([]bool, len(columns)+2),
	}
	if !goesOn {
		for i, name := range slices.Concat(firstColumns, columns, lastColumns) {
			if i > 0 {
				e.buf = append(e.buf, ',')
			}
			e.buf = appendCell(e.buf, name)
		}
		e.buf = append(e.buf, "\r\n"...)
	}
	return e
}

func (e *csvRows) Write(r *iot.Reading) error {
	clear(e.set)
	e.other = e.other[:0]
	for _, m := range r.Metrics {
		if i, ok := e.places[m.Name]; ok {
			e.cells[i], e.set[i] = m.Value, true
		} else {
			e.other = append(e.other, m)
		}
	}
	dst := readingjson.AppendTime(e.buf, r.At)
	dst = append(dst, ',')
	dst = strconv.AppendInt(dst, int64(r.Device), 10)
	dst = append(dst, ',')
	dst = appendCell(dst, r.Key)
	for i, v := range e.cells {
		dst = append(dst, ',')
		if e.set[i] {
			dst = readingjson.AppendNumber(dst, v)
		}
	}
	dst = append(dst, ',')
	if len(e.other) > 0 {
		e.text = appendMetrics(e.text[:0], e.other)
		dst = appendQuoted(dst, e.text)
	}
	dst = append(dst, ',')
	if len(r.Attributes) > 0 {
		e.text = appendAttributes(e.text[:0], r.Attributes)
		dst = appendQuoted(dst, e.text)
	}
	dst = append(dst, ',')
	dst = append(dst, r.Stamped.String()...)
	dst = append(dst, ',')
	dst = appendCell(dst, r.Said)
	e.buf = append(dst, "\r\n"...)
	return e.flush(chunkBytes)
}

// appendMetrics appends metrics as a JSON object.
func appendMetrics(dst []byte, metrics []iot.Metric) []byte {
	for i, m := range metrics {
		dst = append(readingjson.AppendString(append(dst, "{,"[min(i, 1)]), m.Name), ':')
		dst = readingjson.AppendNumber(dst, m.Value)
	}
	return append(dst, '}')
}

// appendAttributes appends attributes as a JSON object.
func appendAttributes(dst []byte, attributes []iot.Attribute) []byte {
	for i, a := range attributes {
		dst = append(readingjson.AppendString(append(dst, "{,"[min(i, 1)]), a.Name), ':')
		dst = readingjson.AppendString(dst, a.Value)
	}
	return append(dst, '}')
}

// formulaStarts are what spreadsheets take for the beginning of a formula, or of what they make one of.
const formulaStarts = "=+-@\t\r\n"

// appendCell appends a text: with an apostrophe before one that would be a formula and, so that unescape can tell them
// apart, before one that looks as if it had one.
func appendCell(dst []byte, text string) []byte {
	bare := strings.TrimLeft(text, "'")
	escape := bare != "" && strings.IndexByte(formulaStarts, bare[0]) >= 0
	if !escape && !strings.ContainsAny(text, ",\"\r\n") {
		return append(dst, text...)
	}
	if escape {
		text = "'" + text
	}
	return appendQuoted(dst, text)
}

// unescape returns the text that appendCell wrote as cell.
func unescape(cell string) string {
	bare := strings.TrimLeft(cell, "'")
	if bare != "" && len(bare) < len(cell) && strings.IndexByte(formulaStarts, bare[0]) >= 0 {
		return cell[1:]
	}
	return cell
}

// appendQuoted appends a cell in quotes.
func appendQuoted[T string | []byte](dst []byte, cell T) []byte {
	dst = append(dst, '"')
	for i := range len(cell) {
		if cell[i] == '"' {
			dst = append(dst, '"')
		}
		dst = append(dst, cell[i])
	}
	return append(dst, '"')
}
