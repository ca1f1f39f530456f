package updater

import (
	"context"
	"fmt"
	"time"

	"github.com/telltale-iot/telltale/pkg/iot"
)

// rebuildPage is how many devices are looked up between two writes to the cache.
const rebuildPage = 500

// Rebuild offers cache the newest stored reading of every registered device. It is for a cache that a
// restart empties (latest/memory): the group's committed offsets do not bring back what the cache had.
//
// It makes one look-up per device, however many readings there are, and may run beside Run: newest wins.
// A device whose newest reading by timestamp arrived longer than ttl ago stays away until its next one,
// also when an older one arrived later; so does a device that is not registered yet.
func Rebuild(ctx context.Context, devices iot.MetadataStore, readings iot.ReadingReader, cache iot.LatestCache, ttl time.Duration) error {
	q := iot.DeviceQuery{Limit: rebuildPage}
	for {
		page, err := devices.Devices(ctx, q)
		if err != nil {
			return fmt.Errorf("rebuild latest cache: list devices: %w", err)
		}
		if len(page) == 0 {
			return nil
		}
		var newest []iot.Reading
		for _, d := range page {
			found, err := readings.FindReadings(ctx, iot.ReadingQuery{Device: d.ID, Limit: 1})
			if err != nil {
				return fmt.Errorf("rebuild latest cache: newest reading of device %d: %w", d.ID, err)
			}
			newest = append(newest, found.Readings...)
		}
		if _, err := cache.PutLatest(ctx, newest, ttl); err != nil {
			return fmt.Errorf("rebuild latest cache: %w", err)
		}
		q.After = page[len(page)-1].ID
	}
}
