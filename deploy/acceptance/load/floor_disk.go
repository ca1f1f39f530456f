package main

import (
	"bytes"
	"context"
	"database/sql"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	_ "modernc.org/sqlite" // the driver of all-in-one's stores
)

// ready row of a reading that waits to be stored.
type taken struct {
	conn    *mqttConn
	id      uint16
	device  int64
	payload []byte
}

// endpointToDisk is the endpoint of devices that appends what it gets to a file, syncs it, acknowledges it, and inserts
// it as ready rows into SQLite: all that waits at once.
func endpointToDisk(ctx context.Context, ready func()) error {
	dir := os.Getenv("DATA_DIR")
	log, err := os.Create(filepath.Join(dir, "log"))
	if err != nil {
		return err
	}
	defer log.Close()
	db, err := sql.Open("sqlite", "file:"+filepath.Join(dir, "rows.db")+"?_pragma=journal_mode(WAL)&_pragma=synchronous(FULL)&_pragma=wal_autocheckpoint(4000)")
	if err != nil {
		return err
	}
	defer db.Close()
	db.SetMaxOpenConns(1)
	if _, err := db.ExecContext(ctx, `CREATE TABLE readings (timestamp INTEGER, device_id INTEGER, received_at INTEGER, temperature, humidity,
		PRIMARY KEY (timestamp, device_id)) WITHOUT ROWID; CREATE INDEX by_device ON readings (device_id, timestamp)`); err != nil {
		return err
	}

	var mu sync.Mutex
	var waiting []taken
	wake := make(chan struct{}, 1)
	var stored atomic.Int64
	go func() {
		http.ListenAndServe(os.Getenv("HTTP_ADDR"), http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { //nolint:errcheck // it ends with the process
			_, _ = fmt.Fprintf(w, `{"total_readings":%d}`, stored.Load())
		}))
	}()
	failed := make(chan error, 1)
	go func() {
		var batch []taken
		for {
			select {
			case <-ctx.Done():
				return
			case <-wake:
			}
			mu.Lock()
			batch, waiting = waiting, batch[:0]
			mu.Unlock()
			if err := storeTaken(ctx, log, db, batch, stored.Load()); err != nil {
				failed <- err
				return
			}
			stored.Add(int64(len(batch)))
		}
	}()
	go func() {
		failed <- serveDevices(ctx, ready, func(c *mqttConn) error {
			return c.read(ctx, func(topic []byte, id uint16, payload []byte) {
				device, _ := strconv.ParseInt(string(bytes.Split(topic, []byte("/"))[1]), 10, 64)
				mu.Lock()
				waiting = append(waiting, taken{c, id, device, append([]byte(nil), payload...)})
				mu.Unlock()
				select {
				case wake <- struct{}{}:
				default:
				}
			})
		})
	}()
	return <-failed
}

const rowsPerInsert = 500

// storeTaken stores batch behind the rows that there are; their times differ by their numbers.
func storeTaken(ctx context.Context, log *os.File, db *sql.DB, batch []taken, before int64) error {
	var lines []byte
	for _, t := range batch {
		lines = append(append(lines, t.payload...), '\n')
	}
	if _, err := log.Write(lines); err != nil {
		return err
	}
	if err := log.Sync(); err != nil {
		return err
	}
	for _, t := range batch {
		t.conn.acknowledge(t.id)
	}
	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer func() { _ = tx.Rollback() }()
	now := time.Now().UnixMilli()
	for len(batch) > 0 {
		n := min(rowsPerInsert, len(batch))
		statement := "INSERT INTO readings VALUES (?,?,?,?,?)" + string(bytes.Repeat([]byte(",(?,?,?,?,?)"), n-1))
		values := make([]any, 0, 5*n)
		for i, t := range batch[:n] {
			values = append(values, before+int64(i), t.device, now, 21.5, 40.25)
		}
		if _, err := tx.ExecContext(ctx, statement, values...); err != nil {
			return err
		}
		batch, before = batch[n:], before+int64(n)
	}
	return tx.Commit()
}
