package api

import (
	"context"
	"slices"
	"strconv"

	"github.com/telltale-iot/telltale/pkg/iot"
	"github.com/telltale-iot/telltale/pkg/readingjson"
	"github.com/telltale-iot/telltale/services/query-api/scope"
)

// deviceKeys returns the keys of those of the devices that are registered with one. While the store of the devices is away
// some are missing: no answer needs them.
func (a *API) deviceKeys(ctx context.Context, r *request, ids []iot.DeviceID) map[iot.DeviceID]string {
	ctx, cancel := context.WithTimeout(ctx, keysTimeout)
	defer cancel()
	keys, err := findKeys(ctx, r.Metadata, ids)
	if err != nil {
		if n := a.failures.Event("keys of devices"); n > 0 {
			a.Log.Warn("keys of devices are left out: their store is not available", "err", err, "count", n)
		}
	}
	return keys
}

// findKeys returns the keys of devices; after an error those that it has found until then.
func findKeys(ctx context.Context, store scope.Metadata, ids []iot.DeviceID) (map[iot.DeviceID]string, error) {
	keys := map[iot.DeviceID]string{}
	ids = slices.DeleteFunc(slices.Clone(ids), func(id iot.DeviceID) bool { return id < iot.FirstKeyID })
	slices.Sort(ids)
	for len(ids) > 0 {
		page, err := store.Devices(ctx, iot.DeviceQuery{After: ids[0] - 1, Limit: min(len(ids), smallPage)})
		if err != nil || len(page) == 0 {
			return keys, err
		}
		for _, d := range page {
			if _, asked := slices.BinarySearch(ids, d.ID); asked && d.Key != "" {
				keys[d.ID] = d.Key
			}
		}
		last := page[len(page)-1].ID
		ids = slices.DeleteFunc(ids, func(id iot.DeviceID) bool { return id <= last })
	}
	return keys, nil
}

// appendCharted appends the id of a device and, where it has one, its key, as the first members of an object.
func appendCharted(dst []byte, id iot.DeviceID, keys map[iot.DeviceID]string) []byte {
	dst = strconv.AppendInt(append(dst, `{"device_id":`...), int64(id), 10)
	if key := keys[id]; key != "" {
		dst = readingjson.AppendString(append(dst, `,"device_key":`...), key)
	}
	return dst
}
