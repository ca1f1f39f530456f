package history

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"maps"
	"slices"

	"github.com/telltale-iot/telltale/pkg/iot"
	"github.com/telltale-iot/telltale/pkg/sqlite"
)

// oldSchema is that of readings.db of the last version that kept all readings in one file.
const oldSchema = `
CREATE TABLE readings (
	timestamp        INTEGER NOT NULL,
	device_id        INTEGER NOT NULL,
	received_at      INTEGER NOT NULL,
	timestamp_source INTEGER NOT NULL,
	temperature      ANY,
	humidity         ANY,
	metrics          TEXT,
	attributes       TEXT,
	origin           INTEGER,
	moved_from       INTEGER,
	checksum         INTEGER,
	device_key       TEXT,
	device_timestamp TEXT,
	PRIMARY KEY (timestamp, device_id)
) STRICT, WITHOUT ROWID;
CREATE INDEX readings_by_device ON readings (device_id, timestamp);
CREATE UNIQUE INDEX readings_moved_from ON readings (device_id, origin, moved_from) WHERE moved_from IS NOT NULL;`

// WriteOld makes the file of readings at path, readings.db in the folder of all-in-one's data, as that version left it.
func WriteOld(ctx context.Context, path string, readings map[Key]Reading) (err error) {
	db, err := sqlite.Open(path)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	return db.Transact(ctx, func(tx *sql.Tx) error {
		if _, err := tx.ExecContext(ctx, oldSchema); err != nil {
			return err
		}
		for _, key := range slices.SortedFunc(maps.Keys(readings), Key.compare) {
			if err := insertOld(ctx, tx, readings[key]); err != nil {
				return err
			}
		}
		return nil
	})
}

func insertOld(ctx context.Context, tx *sql.Tx, r Reading) error {
	const deviceClock = 1
	metrics := maps.Clone(r.Metrics)
	column := func(name string) any {
		v, ok := metrics[name]
		delete(metrics, name)
		if !ok {
			return nil
		}
		return v
	}
	temperature, humidity := column(iot.Temperature), column(iot.Humidity)
	object := func(m any, empty bool) any {
		text, err := json.Marshal(m)
		if err != nil || empty {
			return nil // numbers and texts have a JSON form
		}
		return string(text)
	}
	key := any(r.DeviceKey)
	if r.DeviceKey == "" {
		key = nil
	}
	_, err := tx.ExecContext(ctx, "INSERT INTO readings VALUES (?, ?, ?, ?, ?, ?, ?, ?, NULL, NULL, NULL, ?, NULL)",
		r.At, int64(r.Device), r.At, deviceClock, temperature, humidity,
		object(metrics, len(metrics) == 0), object(r.Attributes, len(r.Attributes) == 0), key)
	return err
}
