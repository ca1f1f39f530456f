package main

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"syscall"
	"time"

	"github.com/telltale-iot/telltale/pkg/iot"
)

// load is what devices send: each in turn a reading every so often, up to a given time.
type load struct {
	first   iot.DeviceID // the others have the ids behind it
	devices int
	every   time.Duration
	ticks   int
}

// insert inserts the load in batches as the writer has them, and returns the CPU time of that. The readings are like
// those of legacy devices: two metrics that walk in steps of hundredths, clocks a few milliseconds off, and receipt a
// while later.
func (l load) insert(ctx context.Context, store iot.ReadingWriter, end time.Time) (cpu time.Duration, err error) {
	r := rand.New(rand.NewPCG(1, uint64(l.devices)))
	values := make([][2]int, l.devices)
	for i := range values {
		values[i] = [2]int{2000 + r.IntN(500), 4000 + r.IntN(1000)}
	}
	batch := make([]iot.Reading, 0, 1000)
	flush := func() error {
		before := ownCPU()
		done, err := store.InsertReadings(ctx, batch)
		cpu += ownCPU() - before
		if err == nil && done.New != len(batch) {
			err = fmt.Errorf("%d of %d readings were new", done.New, len(batch))
		}
		batch = batch[:0]
		return err
	}
	for tick := range l.ticks {
		at := end.Add(-time.Duration(l.ticks-tick) * l.every)
		for i := range values {
			v := &values[i]
			v[0], v[1] = v[0]+r.IntN(5)-2, v[1]+r.IntN(5)-2
			at := at.Add(time.Duration(i%1000)*time.Millisecond*(l.every/time.Second)/2 + time.Duration(r.IntN(5))*time.Millisecond)
			batch = append(batch, iot.Reading{
				Device: max(l.first, 1) + iot.DeviceID(i), At: at, Received: at.Add(time.Duration(20+r.IntN(41)) * time.Millisecond), Stamped: iot.StampDevice,
				Metrics: []iot.Metric{{Name: iot.Humidity, Value: float64(v[1]) / 100}, {Name: iot.Temperature, Value: float64(v[0]) / 100}},
			})
			if len(batch) == cap(batch) {
				if err := flush(); err != nil {
					return cpu, err
				}
			}
		}
	}
	if len(batch) > 0 {
		err = flush()
	}
	return cpu, err
}

// ownCPU is the CPU time of this process so far.
func ownCPU() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		panic(err) // it knows this process
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// hotRows returns how many readings in the months of a folder are rows: they are not sealed yet.
func hotRows(ctx context.Context, folder string) (total int64, err error) {
	months, err := filepath.Glob(filepath.Join(folder, "readings", "????-??.db"))
	for _, month := range months {
		n, counted := int64(0), error(nil)
		db, opened := sql.Open("sqlite", "file:"+month+"?mode=ro")
		if opened == nil {
			counted = errors.Join(db.QueryRowContext(ctx, "SELECT count(*) FROM rows").Scan(&n), db.Close())
		}
		total, err = total+n, errors.Join(err, opened, counted)
	}
	return total, err
}
