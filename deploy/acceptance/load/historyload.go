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
	sqlitereadings "github.com/telltale-iot/telltale/pkg/readings/sqlite"
)

// load is what devices send: each in turn a reading every so often, up to the end.
type load struct {
	first   iot.DeviceID // the others have the ids behind it
	devices int
	every   time.Duration
	ticks   int
	end     time.Time
}

// sealedAtOnce is how many readings are inserted before the hours that they are in are sealed, together with the next hours of
// a large fleet fewer than the rows that a store has.
const sealedAtOnce = million

// insert inserts the load in batches as the writer has them, calls seal at the end of some hours and at the end of all, and
// returns the CPU time of both: a store seals an hour when it is over. The readings are like those of legacy devices: two metrics
// that walk in steps of hundredths, clocks a few milliseconds off, and receipt a while later, in nearly the order of their times.
func (l load) insert(ctx context.Context, store iot.ReadingWriter, seal func() (time.Duration, error)) (inserting, sealing time.Duration, err error) {
	r := rand.New(rand.NewPCG(1, uint64(l.devices)))
	values := make([][2]int, l.devices)
	for i := range values {
		values[i] = [2]int{2000 + r.IntN(500), 4000 + r.IntN(1000)}
	}
	batch := make([]iot.Reading, 0, 1000)
	unsealed := 0
	flush := func() error {
		if len(batch) == 0 {
			return nil
		}
		before := ownCPU()
		done, err := store.InsertReadings(ctx, batch)
		inserting += ownCPU() - before
		if err == nil && done.New != len(batch) {
			err = fmt.Errorf("%d of %d readings were new", done.New, len(batch))
		}
		unsealed += len(batch)
		batch = batch[:0]
		return err
	}
	sealAll := func() error {
		if err := flush(); err != nil {
			return err
		}
		unsealed = 0
		used, err := seal()
		sealing += used
		return err
	}
	apart := l.every / 2 / time.Duration(l.devices)
	hour := time.Time{}
	for tick := range l.ticks {
		at := l.end.Add(-time.Duration(l.ticks-tick) * l.every)
		if h := at.Truncate(time.Hour); h != hour {
			hour = h
			if unsealed >= sealedAtOnce {
				if err := sealAll(); err != nil {
					return inserting, sealing, err
				}
			}
		}
		for i := range values {
			v := &values[i]
			v[0], v[1] = v[0]+r.IntN(5)-2, v[1]+r.IntN(5)-2
			at := at.Add(time.Duration(i)*apart + time.Duration(r.IntN(5))*time.Millisecond)
			batch = append(batch, iot.Reading{
				Device: max(l.first, 1) + iot.DeviceID(i), At: at, Received: at.Add(time.Duration(20+r.IntN(41)) * time.Millisecond), Stamped: iot.StampDevice,
				Metrics: []iot.Metric{{Name: iot.Humidity, Value: float64(v[1]) / 100}, {Name: iot.Temperature, Value: float64(v[0]) / 100}},
			})
			if len(batch) == cap(batch) {
				if err := flush(); err != nil {
					return inserting, sealing, err
				}
			}
		}
	}
	err = sealAll()
	return inserting, sealing, err
}

// ownCPU is the CPU time of this process so far.
func ownCPU() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		panic(err) // it knows this process
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// seal has store seal all that it has, and returns the CPU time.
func seal(ctx context.Context, store *sqlitereadings.Store, folder string) (cpu time.Duration, err error) {
	before := ownCPU()
	err = maintain(ctx, store, 500*time.Millisecond, func() (bool, error) { return isSealed(ctx, folder) })
	return ownCPU() - before, err
}

// isSealed reports whether no reading in the months of a folder is a row any more, and no file has more free pages than others:
// a store gives those back when it has sealed.
func isSealed(ctx context.Context, folder string) (sealed bool, err error) {
	const few = 1000
	months, err := filepath.Glob(filepath.Join(folder, "readings", "????-??.db"))
	sealed = true
	for _, month := range months {
		if err != nil || !sealed {
			break
		}
		var db *sql.DB
		if db, err = sql.Open("sqlite", "file:"+month+"?mode=ro"); err == nil {
			err = errors.Join(db.QueryRowContext(ctx, `SELECT NOT EXISTS (SELECT 1 FROM rows) AND (freelist_count < ?1 OR freelist_count <= page_count / 2)
				FROM pragma_freelist_count, pragma_page_count`, few).Scan(&sealed), db.Close())
		}
	}
	return sealed, err
}
