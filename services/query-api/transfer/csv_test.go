package transfer

import (
	"encoding/csv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/telltale-iot/telltale/pkg/iot"
)

// FuzzCell: other programs read a cell as the text that it is or, where that would be a formula, as one that is none;
// and unescape returns the text.
func FuzzCell(f *testing.F) {
	for _, seed := range []string{"", "lab", "=1+1", "'=1", "''", "@", "a,b", "\t", "\"", "-5", "+49", "'x", "\r\n", "a\nb", "''''-"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		r := csv.NewReader(strings.NewReader(string(appendCell([]byte("x,"), text)) + "\r\n"))
		row, err := r.Read()
		if err != nil || len(row) != 2 {
			t.Fatalf("%q: %q, %v", text, row, err)
		}
		cell := row[1]
		if want := strings.ReplaceAll(text, "\r\n", "\n"); unescape(cell) != want { // as encoding/csv has it
			t.Errorf("%q was read as %q", text, cell)
		}
		if cell != "" && strings.IndexByte(formulaStarts, cell[0]) >= 0 {
			t.Errorf("%q is a formula", cell)
		}
	})
}

func TestCursor(t *testing.T) {
	c := iot.Cursor{At: time.Date(2026, 3, 1, 12, 0, 0, 1e6, time.UTC), Device: 42}
	text := Cursor(c)
	if got, err := ParseCursor(text); err != nil || text != "2026-03-01T12:00:00.001Z,42" || !cmp.Equal(got, c) {
		t.Errorf("%s: %v, %v", text, got, err)
	}
	for _, wrong := range []string{"", ",", "42", "2026-03-01T12:00:00.001Z", "2026-03-01T12:00:00.001Z,0", "2026-03-01T12:00:00.0001Z,1", "2026-03-01,1", text + ",1"} {
		if got, err := ParseCursor(wrong); err == nil {
			t.Errorf("%q: %v", wrong, got)
		}
	}
}
