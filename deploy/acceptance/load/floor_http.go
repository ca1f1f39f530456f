package main

import (
	"bytes"
	"context"
	"database/sql"
	"net"
	"net/http"
	"os"
	"strconv"
	"strings"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo/options"
)

const readyReading = `{"device_id":4000000000,"temperature":21.5,"humidity":40.25,"timestamp":"2026-01-02T03:04:05.678Z","metrics":{},"attributes":{},"timestamp_source":"device"},`

// httpRedisGet answers each request with what one GET has returned.
func httpRedisGet(ctx context.Context, ready func()) error {
	client, err := redisClient()
	if err != nil {
		return err
	}
	defer client.Close()
	return serveHTTP(ctx, ready, func(r *http.Request) ([]byte, error) {
		return client.Do(r.Context(), client.B().Get().Key(latestKey(deviceIn(r))).Build()).AsBytes()
	})
}

// httpMongoFind reads the newest 100 documents of the device, and answers with as many constant readings.
func httpMongoFind(ctx context.Context, ready func()) error {
	collection, disconnect, err := mongoCollection("readings")
	if err != nil {
		return err
	}
	defer disconnect()
	answer := bytes.Repeat([]byte(readyReading), 100)
	newest := options.Find().SetSort(bson.D{{Key: "timestamp", Value: -1}}).SetLimit(100).SetBatchSize(100)
	return serveHTTP(ctx, ready, func(r *http.Request) ([]byte, error) {
		cursor, err := collection.Find(r.Context(), bson.D{{Key: "device_id", Value: deviceIn(r)}}, newest)
		if err != nil {
			return nil, err
		}
		defer func() { _ = cursor.Close(r.Context()) }()
		n := 0
		for cursor.Next(r.Context()) {
			n++
		}
		return answer[:n*len(readyReading)], cursor.Err()
	})
}

// httpMySQLSelect reads the devices, and answers with as many constant ones.
func httpMySQLSelect(ctx context.Context, ready func()) error {
	db, err := openMySQL(os.Getenv("DATABASE_URL"))
	if err != nil {
		return err
	}
	defer db.Close()
	db.SetMaxIdleConns(httpConnections)
	all, err := db.PrepareContext(ctx, "SELECT id, name, user_id, location, created_at FROM devices ORDER BY id LIMIT 10000")
	if err != nil {
		return err
	}
	const device = `{"id":4000000000,"name":"Device 4000000000","user":1,"location":null,"created_at":"2026-01-02T03:04:05.678Z"},`
	answer := bytes.Repeat([]byte(device), 10*queryDevices)
	return serveHTTP(ctx, ready, func(r *http.Request) ([]byte, error) {
		rows, err := all.QueryContext(r.Context())
		if err != nil {
			return nil, err
		}
		defer rows.Close()
		n := 0
		var fields [5]sql.RawBytes
		for ; rows.Next(); n++ {
			if err := rows.Scan(&fields[0], &fields[1], &fields[2], &fields[3], &fields[4]); err != nil {
				return nil, err
			}
		}
		return answer[:n*len(device)], rows.Err()
	})
}

// deviceIn is the device that the path names, as in /api/devices/7/latest/.
func deviceIn(r *http.Request) int64 {
	fields := strings.SplitN(r.URL.Path, "/", 5)
	id, _ := strconv.ParseInt(fields[3], 10, 64)
	return id
}

// serveHTTP answers at HTTP_ADDR, until ctx ends.
func serveHTTP(ctx context.Context, ready func(), answer func(*http.Request) ([]byte, error)) error {
	l, err := net.Listen("tcp", os.Getenv("HTTP_ADDR"))
	if err != nil {
		return err
	}
	server := http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := answer(r)
		if err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("Content-Length", strconv.Itoa(len(body)))
		_, _ = w.Write(body)
	})}
	defer context.AfterFunc(ctx, func() { _ = server.Close() })()
	ready()
	if err := server.Serve(l); ctx.Err() == nil {
		return err
	}
	return ctx.Err()
}
