package sqlstore

import (
	"context"
	"errors"
	"fmt"

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
	for _, device := range devices {
		if err := s.describe(ctx, device, said[device.ID]); err != nil {
			return s.wrap("describe device", err)
		}
	}
	return nil
}

// describe fills in what device, as it was read, lacks of said.
func (s *Store) describe(ctx context.Context, device iot.Device, said iot.Description) error {
	nameless := device.Name == defaultName(iot.Identity{ID: device.ID, Key: device.Key})
	for _, f := range []struct {
		column, is, said string
		fill             bool
		change           iot.DeviceChange
	}{
		{"name", device.Name, said.Name, nameless, iot.DeviceChange{Name: &said.Name}},
		{"location", device.Location, said.Location, device.Location == "", iot.DeviceChange{Location: &said.Location}},
	} {
		if !f.fill || f.said == "" || f.said == f.is || checkDevice(f.change) != nil {
			continue
		}
		// The old value in the condition leaves what somebody wrote meanwhile as it is.
		query := fmt.Sprintf("UPDATE devices SET %s = ? WHERE id = ? AND COALESCE(%[1]s, '') = ?", f.column)
		err := s.transact(ctx, func(ctx context.Context, tx bun.Tx) error {
			return changed(tx.ExecContext(ctx, query, f.said, int64(device.ID), f.is))
		})
		if err != nil && !errors.Is(err, iot.ErrNotFound) {
			return err
		}
	}
	return nil
}
