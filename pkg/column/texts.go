package column

import (
	"encoding/binary"
	"sort"
)

// Codes of a run of rows with the same text.
const (
	nothing = iota
	nextText
	firstText // and more: the number of the text
)

// textBuilder collects the texts of a column, in the order of the rows.
type textBuilder struct {
	texts []string
	index map[string]int
	size  int   // of texts
	runs  []run // of the rows up to rows
	rows  int
}

// run is a number of rows with the same code.
type run struct{ code, rows int }

// add says that the row has text.
func (t *textBuilder) add(row int, text string) {
	if row > t.rows {
		t.runs = append(t.runs, run{nothing, row - t.rows})
	}
	t.rows = row + 1
	if last := len(t.runs) - 1; last >= 0 && t.runs[last].code != nothing && t.texts[t.runs[last].text()] == text {
		t.runs[last].rows++
		return
	}
	i, ok := t.index[text]
	if !ok {
		if t.index == nil {
			t.index = make(map[string]int)
		}
		i = len(t.texts)
		t.index[text] = i
		t.texts = append(t.texts, text)
		t.size += len(text)
	}
	t.runs = append(t.runs, run{firstText + i, 1})
}

func (r run) text() int { return r.code - firstText }

func (t *textBuilder) reset() {
	clear(t.texts) // releases them
	clear(t.index)
	t.texts, t.size, t.runs, t.rows = t.texts[:0], 0, t.runs[:0], 0
}

// append appends the column.
func (t *textBuilder) append(dst []byte, rows int) []byte {
	if t.rows == 0 {
		return dst
	}
	dst = binary.AppendUvarint(dst, uint64(len(t.texts)))
	for _, text := range t.texts {
		dst = binary.AppendUvarint(dst, uint64(len(text)))
	}
	for _, text := range t.texts {
		dst = append(dst, text...)
	}
	if t.rows < rows {
		t.runs = append(t.runs, run{nothing, rows - t.rows})
	}
	next := firstText
	for _, r := range t.runs {
		if r.code == next {
			next++
			r.code = nextText
		}
		dst = binary.AppendUvarint(dst, uint64(r.code))
		dst = binary.AppendUvarint(dst, uint64(r.rows))
	}
	return dst
}

// texts is a column of texts.
type texts struct {
	texts []string
	runs  []textRun
	bytes int // in all texts
}

func (t *texts) size() int { return sizeOf(t.texts) + sizeOf(t.runs) + t.bytes }

// textRun are the rows before until that do not belong to the run before.
type textRun struct {
	until int32
	text  int32 // -1: none
}

// at returns the text of a row, if it has one.
func (t *texts) at(row int) (string, bool) {
	i := 0
	if len(t.runs) > 1 {
		i = sort.Search(len(t.runs), func(i int) bool { return int(t.runs[i].until) > row })
	}
	if len(t.runs) == 0 || t.runs[i].text < 0 {
		return "", false
	}
	return t.texts[t.runs[i].text], true
}

// texts reads a column of texts of rows.
func (r *reader) texts(t *texts, rows int) {
	t.texts, t.runs, t.bytes = t.texts[:0], t.runs[:0], 0
	if len(r.rest) == 0 {
		return
	}
	count := r.upTo(min(rows, len(r.rest))) // each has a run and a length
	lengths := reader{rest: r.rest}
	total := 0
	for range count {
		total += r.upTo(len(r.rest))
	}
	all := string(r.bytes(total))
	if r.err != nil {
		return
	}
	t.texts, t.bytes = resize(t.texts, count)[:0], total
	for range count {
		length := lengths.unsigned()
		t.texts = append(t.texts, all[:length])
		all = all[length:]
	}
	t.runs = resize(t.runs, min(rows, len(r.rest)/2))[:0] // a run has two bytes
	next := 0
	for until := 0; until < rows && r.err == nil; {
		text := r.upTo(firstText+count-1) - firstText
		if text == nextText-firstText {
			text = next
			next++
		}
		length := r.upTo(rows - until)
		if length == 0 || text >= count {
			r.fail()
			return
		}
		until += length
		t.runs = append(t.runs, textRun{int32(until), int32(max(text, -1))})
	}
}
