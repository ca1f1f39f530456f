package column_test

import (
	"math"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/telltale-iot/telltale/pkg/column"
	"github.com/telltale-iot/telltale/pkg/iot"
)

// TestGolden reads blocks and summaries of version 1: they will always be readable. With WRITE_GOLDEN=1 it writes
// them, which is for a new version alone: those of an old one never change.
func TestGolden(t *testing.T) {
	plain := goldenHour()[:100]
	for i := range plain {
		plain[i] = column.Row{Reading: iot.Reading{Device: 7, At: plain[i].At, Received: plain[i].At, Metrics: plain[i].Metrics[4:5]}}
	}
	for name, rows := range map[string][]column.Row{"hour": goldenHour(), "few": goldenHour()[600:612], "plain": plain} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join("testdata", "v1-"+name)
			if os.Getenv("WRITE_GOLDEN") != "" {
				write(t, path+".block", check(t, rows))
				write(t, path+".summary", column.AppendSummary(nil, rows))
			}
			block, err := column.Decode(read(t, path+".block"))
			if err != nil {
				t.Fatal(err)
			}
			if block.Len() != len(rows) {
				t.Fatalf("%d rows, want %d", block.Len(), len(rows))
			}
			var row column.Row
			for i, want := range rows {
				if err := block.Row(i, &row); err != nil || !same(row, want) {
					t.Fatalf("row %d: %v, (-want +got):\n%s", i, err, cmp.Diff(want, row))
				}
			}
			want, err := column.ParseSummary(column.AppendSummary(nil, rows))
			if err != nil {
				t.Fatal(err)
			}
			got, err := column.ParseSummary(read(t, path+".summary"))
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("summary (-want +got):\n%s", diff)
			}
		})
	}
}

func read(t *testing.T, path string) []byte {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func write(t *testing.T, path string, data []byte) {
	t.Helper()
	if err := os.WriteFile(path, data, 0o644); err != nil {
		t.Fatal(err)
	}
}

// goldenHour makes rows with columns of every coding, without anything whose algorithm might change.
func goldenHour() []column.Row {
	rows := make([]column.Row, 1000)
	at := time.Date(2026, 11, 1, 10, 0, 0, 0, time.UTC)
	state := uint64(1)
	random := func(n uint64) uint64 {
		state = state*6364136223846793005 + 1442695040888963407
		return state >> 33 % n
	}
	temperature := int64(2150)
	for i := range rows {
		at = at.Add(time.Duration(990+random(20)) * time.Millisecond)
		temperature += int64(random(11)) - 5
		r := &rows[i]
		r.Reading = iot.Reading{
			Device: 4503599627370497, Key: "cellar/é", At: at, Received: at.Add(time.Duration(random(60)) * time.Millisecond), Stamped: iot.StampDevice,
			Origin: state ^ uint64(i)<<50, // without a pattern
			Metrics: []iot.Metric{
				{Name: "awkward", Value: awkward[random(uint64(len(awkward)))]},
				{Name: "float32", Value: float64(float32(random(1000)) / 10)},
				{Name: "mostly", Value: float64(random(1000)) / 10},
				{Name: "noise", Value: math.Float64frombits(random(1<<31)<<20 | 0x3ff<<52)},
				{Name: "temperature", Value: float64(temperature) / 100},
			},
			Attributes: []iot.Attribute{{Name: "room", Value: "lab"}},
		}
		if i%50 == 9 {
			r.Metrics[2].Value = math.Copysign(0, -1)
			r.Key = ""
		}
		if i%7 == 3 {
			r.Metrics = append(r.Metrics, iot.Metric{Name: "uptime", Value: float64(i)})
			r.Stamped, r.Said = iot.StampServer, "1970-01-01"
		}
		if i%11 == 5 {
			r.MovedFrom = at.UnixMilli() - 1
			r.Attributes = append(r.Attributes, iot.Attribute{Name: "😀", Value: at.Format(time.RFC3339)})
		}
		if i%100 == 99 {
			r.Metrics = append(r.Metrics, iot.Metric{Name: "very.rare", Value: -float64(i) / 1000})
		}
	}
	return rows
}
