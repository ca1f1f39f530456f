package main

import (
	"context"
	"database/sql"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"path/filepath"
	"slices"
)

// Where blocks and their summaries of a device below 128, which are not compressed as a whole, have its number: see package
// column.
const (
	blockDevice   = 5
	summaryDevice = 6
)

// copyDevice gives the devices from 2 on, so many in all, what the store in a folder has of device 1, all of which is sealed. So
// there are 1,000 million readings, as a store has them, in minutes: each block is encoded once.
func copyDevice(ctx context.Context, folder string, devices int) error {
	months, err := filepath.Glob(filepath.Join(folder, "readings", "????-??.db"))
	if err != nil {
		return err
	}
	for _, month := range months {
		db, err := sql.Open("sqlite", "file:"+month+"?_pragma=synchronous(OFF)")
		if err != nil {
			return err
		}
		db.SetMaxOpenConns(1)
		if err := errors.Join(copyIn(ctx, db, devices), db.Close()); err != nil {
			return fmt.Errorf("copy a device in %s: %w", month, err)
		}
	}
	return nil
}

func copyIn(ctx context.Context, db *sql.DB, devices int) error {
	type block struct {
		start, until, n int64
		summary, data   []byte
	}
	var blocks []block
	rows, err := db.QueryContext(ctx, `SELECT start, until, n, summary, data FROM blocks WHERE device_id = 1 ORDER BY start`)
	if err != nil {
		return err
	}
	defer func() { _ = rows.Close() }()
	for rows.Next() {
		var b block
		if err := rows.Scan(&b.start, &b.until, &b.n, &b.summary, &b.data); err != nil {
			return err
		}
		blocks = append(blocks, b)
	}
	if err := rows.Err(); err != nil {
		return err
	}
	for device := 2; device <= devices; device++ {
		tx, err := db.BeginTx(ctx, nil)
		if err != nil {
			return err
		}
		for _, b := range blocks {
			summary, data := ofDevice(b.summary, summaryDevice, device), ofDevice(b.data, blockDevice, device)
			if _, err = tx.ExecContext(ctx, `INSERT INTO blocks (device_id, start, until, n, summary, data) VALUES (?, ?, ?, ?, ?, ?)`,
				device, b.start, b.until, b.n, summary, data); err != nil {
				break
			}
		}
		for _, insert := range []string{
			`INSERT INTO devices (device_id, n) SELECT ?, n FROM devices WHERE device_id = 1`,
			`INSERT INTO days (device_id, day, data) SELECT ?, day, data FROM days WHERE device_id = 1`,
		} {
			if err == nil {
				_, err = tx.ExecContext(ctx, insert, device)
			}
		}
		if err != nil {
			return errors.Join(err, tx.Rollback())
		}
		if err := tx.Commit(); err != nil {
			return err
		}
	}
	return nil
}

// ofDevice returns data, of device 1, with another device in its place, and the checksum of that.
func ofDevice(data []byte, place, device int) []byte {
	const checksum = 1 // from here to the place of a block's device
	castagnoli := crc32.MakeTable(crc32.Castagnoli)
	data = slices.Concat(data[:place], binary.AppendUvarint(nil, uint64(device)), data[place+1:])
	sum := crc32.Update(crc32.Checksum(data[:checksum], castagnoli), castagnoli, data[blockDevice:])
	binary.LittleEndian.PutUint32(data[checksum:], sum)
	return data
}
