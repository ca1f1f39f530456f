// Package samples gathers values by device and metric, as stores come upon them, until there are enough to hand out.
package samples

import (
	"context"

	"github.com/telltale-iot/telltale/pkg/iot"
)

// maxKept is how many values are kept of all metrics before they are handed out.
const maxKept = 1 << 16

// Buffer has what is not handed out yet. Of a device and a metric, values are added in the order of time.
type Buffer struct {
	take func(iot.Samples) error
	all  map[iot.DeviceID]map[string]*iot.Samples
	n    int // values in all
}

// NewBuffer returns an empty buffer that hands out to take.
func NewBuffer(take func(iot.Samples) error) *Buffer {
	return &Buffer{take: take, all: map[iot.DeviceID]map[string]*iot.Samples{}}
}

// Add adds a value. It keeps a copy of the bytes of metric.
func Add[Name string | []byte](b *Buffer, device iot.DeviceID, metric Name, at int64, value float64) {
	s := b.all[device][string(metric)]
	if s == nil {
		s = b.begin(device, string(metric))
	}
	s.Times = append(s.Times, at)
	s.Values = append(s.Values, value)
	b.n++
}

// AddAll adds copies of values of one metric.
func (b *Buffer) AddAll(device iot.DeviceID, metric string, times []int64, values []float64) {
	s := b.all[device][metric]
	if s == nil {
		s = b.begin(device, metric)
	}
	s.Times = append(s.Times, times...)
	s.Values = append(s.Values, values...)
	b.n += len(times)
}

func (b *Buffer) begin(device iot.DeviceID, metric string) *iot.Samples {
	if b.all[device] == nil {
		b.all[device] = map[string]*iot.Samples{}
	}
	s := &iot.Samples{Device: device, Metric: metric}
	b.all[device][metric] = s
	return s
}

// FlushFull hands out what there is when that is enough.
func (b *Buffer) FlushFull(ctx context.Context) error {
	if b.n < maxKept {
		return nil
	}
	return b.Flush(ctx)
}

// Flush hands out what there is. The memory of a device's values is used again, that of many would become too much.
func (b *Buffer) Flush(ctx context.Context) error {
	for _, of := range b.all {
		for _, s := range of {
			if len(s.Times) == 0 {
				continue
			}
			if err := ctx.Err(); err != nil {
				return err
			}
			if err := b.take(*s); err != nil {
				return err
			}
			s.Times, s.Values = s.Times[:0], s.Values[:0]
		}
	}
	if len(b.all) > 1 {
		clear(b.all)
	}
	b.n = 0
	return nil
}
