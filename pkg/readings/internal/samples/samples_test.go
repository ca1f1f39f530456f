package samples_test

import (
	"testing"

	"github.com/telltale-iot/telltale/pkg/iot"
	"github.com/telltale-iot/telltale/pkg/readings/internal/samples"
)

// A fleet's values must not cost a string each, nor one device's the memory of the ones before.
func TestMemory(t *testing.T) {
	handedOut := 0
	b := samples.NewBuffer(func(s iot.Samples) error {
		handedOut += len(s.Times)
		return nil
	})
	name, n := []byte("temperature"), 0
	add := func() {
		samples.Add(b, 7, name, int64(n), 20)
		n++
		if err := b.FlushFull(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	for range 100_000 {
		add()
	}
	if allocations := testing.AllocsPerRun(100_000, add); allocations > 0 {
		t.Errorf("a value of a known name costs %v allocations, want none", allocations)
	}
	if err := b.Flush(t.Context()); err != nil || handedOut != n {
		t.Errorf("%d values were handed out, %v; want %d", handedOut, err, n)
	}
}
