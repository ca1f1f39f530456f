package sqlite

import (
	"github.com/telltale-iot/telltale/pkg/iot"
	"github.com/telltale-iot/telltale/pkg/readings/internal/samples"
	"github.com/telltale-iot/telltale/pkg/readings/internal/timerange"
	"github.com/telltale-iot/telltale/pkg/rollup"
)

// samplesOfOld hands out the samples of the old file, which has nothing but readings.
func (sn *snapshot) samplesOfOld(q iot.SampleQuery, take func(iot.Samples) error) error {
	buffer := samples.NewBuffer(take)
	err := sn.scanOld(q, func(r *iot.Reading) error {
		addSamples(buffer, &q, r)
		return buffer.FlushFull(sn.ctx)
	})
	if err != nil {
		return err
	}
	return buffer.Flush(sn.ctx)
}

// bucketsOfOld hands out buckets of the old file, all of one time before those of the next.
func (sn *snapshot) bucketsOfOld(q iot.SampleQuery, width int64, take func(iot.Buckets) error) error {
	all, start := map[series]*iot.Bucket{}, int64(0)
	flush := func() error {
		for of, b := range all {
			if err := sn.ctx.Err(); err != nil {
				return err
			}
			if err := take(iot.Buckets{Device: of.device, Metric: of.metric, Buckets: []iot.Bucket{*b}}); err != nil {
				return err
			}
		}
		clear(all)
		return nil
	}
	err := sn.scanOld(q, func(r *iot.Reading) error {
		at := r.At.UnixMilli()
		if of := rollup.Floor(at, width); of != start {
			if err := flush(); err != nil {
				return err
			}
			start = of
		}
		for _, m := range r.Metrics {
			if !q.Wants(m.Name) {
				continue
			}
			of := series{r.Device, m.Name}
			b := all[of]
			if b == nil {
				b = &iot.Bucket{Start: start}
				all[of] = b
			}
			rollup.Add(b, at, m.Value)
		}
		return nil
	})
	if err != nil {
		return err
	}
	return flush()
}

// scanOld takes all readings of the devices of q in the order of time.
func (sn *snapshot) scanOld(q iot.SampleQuery, take func(*iot.Reading) error) error {
	sc := &scanning{
		devices: timerange.Devices(q.Devices), rest: timerange.Of(iot.ScanQuery{From: q.From, To: q.To}), whole: true,
		take: func(r *iot.Reading) (more bool, err error) {
			err = take(r)
			return err == nil, err
		},
	}
	_, err := sc.scan(sn)
	return err
}
