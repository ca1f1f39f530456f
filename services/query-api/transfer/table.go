package transfer

import (
	"io"

	"github.com/telltale-iot/telltale/pkg/iot"
	"github.com/telltale-iot/telltale/services/query-api/parquet"
)

// table is an Encoder of Parquet.
type table struct {
	*parquet.Writer
	places map[string]int // of metrics, among all columns
	last   int            // where the columns behind those of metrics begin
}

func newTable(w io.Writer, columns []string) *table {
	all := []parquet.Column{
		{Name: columnTimestamp, Kind: parquet.Timestamp, Required: true},
		{Name: columnDevice, Kind: parquet.Int64, Required: true},
		{Name: columnKey, Kind: parquet.String},
		{Name: iot.Temperature, Kind: parquet.Double},
		{Name: iot.Humidity, Kind: parquet.Double},
	}
	places := places(columns, len(all))
	for _, name := range columns {
		all = append(all, parquet.Column{Name: name, Kind: parquet.Double})
	}
	last := len(all)
	all = append(all,
		parquet.Column{Name: columnMetrics, Kind: parquet.DoubleMap},
		parquet.Column{Name: columnAttributes, Kind: parquet.StringMap},
		parquet.Column{Name: columnSource, Kind: parquet.String},
		parquet.Column{Name: columnSaid, Kind: parquet.String},
	)
	return &table{parquet.NewWriter(w, all), places, last}
}

func (t *table) Write(r *iot.Reading) error {
	t.Int(0, r.At.UnixMilli())
	t.Int(1, int64(r.Device))
	if r.Key != "" {
		t.String(2, r.Key)
	}
	for _, m := range r.Metrics {
		if place, ok := t.places[m.Name]; ok {
			t.Double(place, m.Value)
		} else {
			t.DoubleEntry(t.last, m.Name, m.Value)
		}
	}
	for _, a := range r.Attributes {
		t.StringEntry(t.last+1, a.Name, a.Value)
	}
	if r.Stamped != iot.StampUnknown {
		t.String(t.last+2, r.Stamped.String())
	}
	if r.Said != "" {
		t.String(t.last+3, r.Said)
	}
	return t.EndRow()
}
