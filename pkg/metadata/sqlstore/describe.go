package sqlstore

import (
	"context"
	"fmt"
	"slices"

	"github.com/uptrace/bun"

	"github.com/telltale-iot/telltale/pkg/iot"
	"github.com/telltale-iot/telltale/pkg/timeouts"
)

// DescribeDevices implements iot.MetadataStore.
func (s *Store) DescribeDevices(ctx context.Context, described []iot.Description) error {
	ctx, cancel := context.WithTimeout(ctx, timeouts.SQLCall)
	defer cancel()
	ids, said := make([]iot.DeviceID, len(described)), make(map[iot.DeviceID]iot.Description, len(described))
	for i, d := range described {
		ids[i], said[d.ID] = d.ID, d
	}
	if len(ids) == 0 {
		return nil
	}
	devices, err := find(ctx, s.read, scanDevice, selectDevices+"WHERE id IN (?) ORDER BY id", bun.List(ids))
	if err != nil {
		return s.wrap("find described devices", err)
	}
	changes := make([]change, 0, len(devices))
	for _, device := range devices {
		changes = appendChanges(changes, device, said[device.ID])
	}
	for chunk := range slices.Chunk(changes, ensureChunk) {
		err := s.transact(ctx, func(ctx context.Context, tx bun.Tx) error {
			for _, c := range chunk {
				// The old value in the condition leaves what somebody wrote meanwhile as it is.
				query := fmt.Sprintf("UPDATE devices SET %s = ? WHERE id = ? AND COALESCE(%[1]s, '') = ?", c.column)
				if _, err := tx.ExecContext(ctx, query, c.to, int64(c.device), c.from); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			return s.wrap("describe devices", err)
		}
	}
	return nil
}

// change is of one column of a device.
type change struct {
	device           iot.DeviceID
	column, from, to string
}

// appendChanges appends what device, as it was read, lacks of said.
func appendChanges(all []change, device iot.Device, said iot.Description) []change {
	nameless := device.Name == defaultName(iot.Identity{ID: device.ID, Key: device.Key})
	if nameless && said.Name != "" && said.Name != device.Name && checkDevice(iot.DeviceChange{Name: &said.Name}) == nil {
		all = append(all, change{device.ID, "name", device.Name, said.Name})
	}
	if device.Location == "" && said.Location != "" && checkDevice(iot.DeviceChange{Location: &said.Location}) == nil {
		all = append(all, change{device.ID, "location", "", said.Location})
	}
	return all
}
