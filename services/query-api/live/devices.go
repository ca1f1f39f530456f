package live

import (
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"strconv"
	"time"

	"github.com/telltale-iot/telltale/pkg/iot"
)

const (
	// lookEvery is at least between two looks at the devices.
	lookEvery = time.Second
	// lookShare is the part of the time that looking may take, as its inverse: with so many devices that one look takes
	// longer than lookEvery/lookShare they are looked at less often.
	lookShare = 10
	// lookPage is how many devices are read at once.
	lookPage = 1000
)

// Devices is where what is known of devices is looked up.
type Devices struct {
	// List returns the devices that q selects, as iot.MetadataStore does.
	List func(ctx context.Context, q iot.DeviceQuery) ([]iot.Device, error)
	// Append appends a device as clients see it.
	Append func(dst []byte, d iot.Device) []byte
	// Compared appends what of that is worth an event when it changes.
	Compared func(dst []byte, d iot.Device) []byte
}

// watcher adds events to a feed of what changes of devices.
type watcher struct {
	Devices
	feed *feed

	looked bool // at all of them, once
	// What each device was like, ascending by id: 16 bytes for each.
	ids    []iot.DeviceID
	hashes []uint64
	sum    uint64 // of hashes: the same on each replica
}

// run looks at the devices until ctx ends.
func (w *watcher) run(ctx context.Context) {
	select {
	case <-w.feed.ready:
	case <-ctx.Done():
	}
	for ctx.Err() == nil {
		began := time.Now()
		if err := w.look(ctx); err != nil && ctx.Err() == nil {
			w.feed.log.Debug("devices cannot be looked at, trying again", "err", err)
		}
		took := time.Since(began)
		select {
		case <-ctx.Done():
		case <-time.After(max(lookEvery-took, lookShare*took)):
		}
	}
}

// look reads all devices, and tells what changed. After an error it goes on with what it has seen, and with what the others
// were like before.
func (w *watcher) look(ctx context.Context) error {
	before := *w
	w.ids, w.hashes = make([]iot.DeviceID, 0, len(before.ids)), make([]uint64, 0, len(before.ids))
	for after := iot.DeviceID(0); ; {
		page, err := w.List(ctx, iot.DeviceQuery{After: after, Limit: lookPage})
		if err != nil {
			w.ids, w.hashes = append(w.ids, before.ids...), append(w.hashes, before.hashes...)
			return err
		}
		last := len(page) < lookPage
		w.compare(page, &before, last)
		if last {
			break
		}
		after = page[len(page)-1].ID
	}
	if !w.looked {
		w.looked = true
		w.feed.tellOfDevices(nil, w.sum)
	}
	return nil
}

// change is what became of a device.
type change struct {
	id   iot.DeviceID
	json []byte
	sum  uint64 // of all devices, then
}

// compare tells how the devices of a page differ from those of before, which it takes away there. After the last page no more
// devices are.
func (w *watcher) compare(page []iot.Device, before *watcher, last bool) {
	var changes []change
	add := func(id iot.DeviceID, json []byte, difference uint64) {
		w.sum += difference
		if before.looked {
			changes = append(changes, change{id, json, w.sum})
		}
	}
	gone := func(until iot.DeviceID) {
		for len(before.ids) > 0 && before.ids[0] < until {
			add(before.ids[0], appendDeleted(nil, before.ids[0]), -before.hashes[0])
			before.ids, before.hashes = before.ids[1:], before.hashes[1:]
		}
	}
	var text []byte
	for _, d := range page {
		gone(d.ID)
		text = w.Compared(text[:0], d)
		is, was := hashOf(text), uint64(0)
		w.ids, w.hashes = append(w.ids, d.ID), append(w.hashes, is)
		if len(before.ids) > 0 && before.ids[0] == d.ID {
			was = before.hashes[0]
			before.ids, before.hashes = before.ids[1:], before.hashes[1:]
		}
		if is != was {
			add(d.ID, w.Append(nil, d), is-was)
		}
	}
	if last {
		gone(iot.MaxDeviceID + 1)
	}
	if len(changes) > 0 {
		w.feed.tellOfDevices(changes, w.sum)
	}
}

// hashOf returns a hash that is the same everywhere; never 0.
func hashOf(text []byte) uint64 {
	h := fnv.New64a()
	_, _ = h.Write(text) // a hash never fails
	return max(h.Sum64(), 1)
}

// fingerprint is what of a sum is in a place; never 0.
func fingerprint(sum uint64) uint32 { return max(uint32(sum>>32)^uint32(sum), 1) }

// tellOfDevices adds events of changes; sum is that of all devices then.
func (f *feed) tellOfDevices(changes []change, sum uint64) {
	f.building.Lock()
	defer f.building.Unlock()
	for _, c := range changes {
		_ = f.builder.addDevice(c.id, c.json, fingerprint(c.sum)) // publish does not fail
	}
	f.builder.begin()
	f.builder.at.devices = fingerprint(sum)
	f.signal()
}

// appendDeleted appends that there is no such device any more.
func appendDeleted(dst []byte, id iot.DeviceID) []byte {
	dst = strconv.AppendInt(append(dst, `{"id":`...), int64(id), 10)
	return append(dst, `,"deleted":true}`...)
}

// errDevices is of devices that cannot be looked up at the moment.
var errDevices = errors.New("devices cannot be looked up")

// tellDevices tells a client that comes back what all its devices are like, unless nothing of any device has changed since it
// was told last. Where that is not known yet, or cannot be looked up, it is left for later.
func (l *listener) tellDevices(ctx context.Context) error {
	switch now := l.at.devices; {
	case !l.devicesOwed || now == 0:
		return nil
	case l.devicesTold == now:
		l.devicesOwed = false
		return nil
	}
	l.devicesTold = 0
	for after, more := iot.DeviceID(0), true; more; {
		var err error
		after, more, err = l.tellPage(ctx, after)
		switch {
		case errors.Is(err, errDevices):
			return nil
		case err != nil:
			return err
		}
	}
	l.devicesOwed = false
	return l.Send(appendID(nil, l.told()))
}

// tellPage tells a client of some of its devices, those with the lowest ids above after. It takes a turn: when a replica
// starts again, all clients come back at once.
func (l *listener) tellPage(ctx context.Context, after iot.DeviceID) (last iot.DeviceID, more bool, err error) {
	release, err := l.waitForTurn(ctx)
	if err != nil {
		return after, false, err
	}
	defer release()
	page, err := l.hub.devices.List(ctx, iot.DeviceQuery{After: after, Limit: lookPage})
	if err != nil {
		return after, false, fmt.Errorf("%w: %w", errDevices, err)
	}
	for _, d := range page {
		last = d.ID
		if !l.Filter.device(d.ID) {
			continue
		}
		l.buffer = append(l.hub.devices.Append(append(l.buffer, deviceHead...), d), '\n')
		l.buffer = appendID(l.buffer, l.told())
		if len(l.buffer) >= sendBytes {
			if err := l.flush(); err != nil {
				return last, false, err
			}
		}
	}
	return last, len(page) == lookPage, l.flush()
}
