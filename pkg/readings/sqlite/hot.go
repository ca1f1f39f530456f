package sqlite

import (
	"cmp"
	"slices"

	"github.com/telltale-iot/telltale/pkg/iot"
)

// hot is the index of the rows of all months by device, which no file has: with many devices each reading would write a
// page of its own for it. It has the times of each device's rows, ascending. It may have more than there are rows, never
// less: times come before the transaction that adds their rows, and go after the one that removes them.
//
// What between returns is never overwritten: a list grows behind it, or is replaced.
type hot map[iot.DeviceID][]int64

// place is that of a row.
type place struct {
	device iot.DeviceID
	at     int64
}

// add adds places. It overwrites their order.
func (h hot) add(places []place) {
	late := places[:0]
	for _, p := range places {
		times := h[p.device]
		if n := len(times); n > 0 && p.at <= times[n-1] {
			late = append(late, p)
			continue
		}
		h[p.device] = append(times, p.at)
	}
	slices.SortFunc(late, func(a, b place) int { return cmp.Or(cmp.Compare(a.device, b.device), cmp.Compare(a.at, b.at)) })
	for i := 0; i < len(late); {
		n := i
		for n < len(late) && late[n].device == late[i].device {
			n++
		}
		h[late[i].device] = union(h[late[i].device], late[i:n])
		i = n
	}
}

// union returns a new list of times and those of late, both ascending.
func union(times []int64, late []place) []int64 {
	all := make([]int64, 0, len(times)+len(late)+len(times)/8)
	for _, p := range late {
		n, there := slices.BinarySearch(times, p.at)
		all = append(all, times[:n]...)
		times = times[n:]
		if !there && (len(all) == 0 || all[len(all)-1] != p.at) {
			all = append(all, p.at)
		}
	}
	return append(all, times...)
}

// remove removes the times of device with from <= at < until.
func (h hot) remove(device iot.DeviceID, from, until int64) {
	times := h[device]
	first, _ := slices.BinarySearch(times, from)
	n, _ := slices.BinarySearch(times, until)
	switch {
	case first == n:
	case n-first == len(times):
		delete(h, device)
	case first == 0:
		h[device] = times[n:]
	default:
		h[device] = slices.Concat(times[:first], times[n:])
	}
}

// between returns the times of device with from <= at < until.
func (h hot) between(device iot.DeviceID, from, until int64) []int64 {
	times := h[device]
	first, _ := slices.BinarySearch(times, from)
	n, _ := slices.BinarySearch(times, until)
	return times[first:max(first, n):max(first, n)]
}

// ofDevices returns what between does for each of devices.
func (h hot) ofDevices(devices []iot.DeviceID, from, until int64) map[iot.DeviceID][]int64 {
	all := make(map[iot.DeviceID][]int64, len(devices))
	for _, device := range devices {
		if times := h.between(device, from, until); len(times) > 0 {
			all[device] = times
		}
	}
	return all
}

// len returns how many times there are.
func (h hot) len() (n int) {
	for _, times := range h {
		n += len(times)
	}
	return n
}
