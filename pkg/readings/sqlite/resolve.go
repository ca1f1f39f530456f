package sqlite

import (
	"errors"

	"github.com/telltale-iot/telltale/pkg/column"
	"github.com/telltale-iot/telltale/pkg/iot"
)

var (
	errDuplicate = errors.New("stored before")
	errMerge     = errors.New("to be merged into what is stored")
)

// resolve is for r whose millisecond, which t owns, is occupied. It returns the one at which r can be stored all the same:
// another one, or its own, from which it has moved a reading that a server stamped, or removed a damaged row. Else it is
// errDuplicate, or errMerge with the reading that is there.
func (w *writing) resolve(t *transaction, r *iot.Reading) (at int64, there iot.Reading, err error) {
	at = r.At.UnixMilli()
	there, moved, err := t.reading(r.Device, at)
	if errors.Is(err, errDamaged) {
		return at, there, t.remove(r.Device, at)
	}
	if err != nil {
		return 0, there, err
	}
	if r.Origin == 0 {
		if there.Origin == 0 {
			return 0, there, errMerge
		}
		return at, there, w.move(t, r.Device, at)
	}
	// Readings of earlier versions have no origin.
	if there.Origin == r.Origin && !moved || there.Origin == 0 && there.Stamped != iot.StampDevice && there.SameContent(*r) ||
		r.Restores(there) {
		return 0, there, errDuplicate
	}
	free, err := w.nextFree(r.Device, at)
	if err != nil {
		return 0, there, err
	}
	stored, err := w.hasMoved(r, free)
	if err == nil && stored {
		err = errDuplicate
	}
	return free, there, err
}

// reading returns the reading of device at the millisecond at, and whether it was moved there.
func (t *transaction) reading(device iot.DeviceID, at int64) (r iot.Reading, moved bool, err error) {
	c, i, err := t.sealed(device, at)
	if err != nil {
		return r, false, err
	}
	if c != nil {
		var there column.Row
		err := c.block.Row(i, &there)
		return there.Reading, there.MovedFrom != 0, err
	}
	v, err := scan(t.queryRow(t.selectRow, at, int64(device)))
	if err != nil {
		return r, false, err
	}
	r, err = v.reading()
	if err != nil {
		t.store.report(t.part, &v, err)
	}
	return r, v[movedFromColumn] != nil, err
}

// hasMoved reports whether r has been moved already. Then it lies where all is occupied from its own millisecond on: before
// free, the first that is not.
func (w *writing) hasMoved(r *iot.Reading, free int64) (bool, error) {
	stamped := r.At.UnixMilli()
	for at := stamped; at < free; {
		t, err := w.at(at)
		if err != nil {
			return false, err
		}
		if moved, err := t.hasMoved(r.Device, r.Origin, stamped, free); err != nil || moved {
			return moved, err
		}
		at = t.until
	}
	return false, nil
}

// move moves the reading of device at the millisecond at, which t owns, to the next that is free.
func (w *writing) move(t *transaction, device iot.DeviceID, at int64) error {
	free, err := w.nextFree(device, at)
	if err != nil {
		return err
	}
	if err := t.unseal(device, at); err != nil {
		return err
	}
	v, err := scan(t.queryRow(t.selectRow, at, int64(device)))
	if err != nil {
		return err
	}
	if err := t.remove(device, at); err != nil {
		return err
	}
	to, err := w.at(free)
	if err != nil {
		return err
	}
	v.move(free)
	if to.part != t.part {
		// Where it is in the next part already, a call before this one has failed between the two parts.
		r, err := v.reading()
		if err != nil {
			return err
		}
		from, _ := v[movedFromColumn].(int64)
		if there, err := to.hasMoved(device, r.Origin, from, free); err != nil || there {
			return err
		}
		if to.old { // it may have it still from before the line, in its own way
			if _, err := to.exec(to.deleteMoved, int64(device), int64(r.Origin), from); err != nil {
				return err
			}
		}
	}
	ok, err := to.add(&v)
	if err == nil && !ok {
		err = errOccupied
	}
	return err
}

// nextFree returns the first millisecond from at on at which device has no reading.
func (w *writing) nextFree(device iot.DeviceID, at int64) (int64, error) {
	return w.store.occupied.NextFree(device, at, func(from int64, limit int) (times []int64, err error) {
		for at := from; len(times) < limit; at++ {
			t, err := w.at(at)
			if err != nil {
				return nil, err
			}
			if occupied, err := t.isOccupied(device, at); err != nil || !occupied {
				return times, err
			}
			times = append(times, at)
		}
		return times, nil
	})
}
