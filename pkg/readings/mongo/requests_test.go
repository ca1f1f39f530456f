package mongo_test

import (
	"encoding/binary"
	"sync"
	"testing"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/telltale-iot/telltale/pkg/iot"
	"github.com/telltale-iot/telltale/pkg/proxytest"
	"github.com/telltale-iot/telltale/pkg/readings/mongo"
)

// requests are the commands that pass a proxy.
type requests struct {
	mu   sync.Mutex
	sent []bson.Raw
}

// record keeps what passes p from now on.
func record(p *proxytest.Proxy) *requests {
	r := new(requests)
	p.HangResponses(func(packet []byte) (hang bool) {
		const start = 4*4 + 4 + 1 // the header of a message, flags, the kind of a section
		if len(packet) < start+4 {
			return false
		}
		if n := binary.LittleEndian.Uint32(packet[start:]); int(n) <= len(packet)-start {
			r.mu.Lock()
			defer r.mu.Unlock()
			r.sent = append(r.sent, append(bson.Raw(nil), packet[start:][:n]...))
		}
		return false
	})
	return r
}

// of returns those that do something to a collection.
func (r *requests) of(command, collection string) (sent []bson.Raw) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, c := range r.sent {
		if name, err := c.IndexErr(0); err == nil && name.Key() == command && name.Value().StringValue() == collection {
			sent = append(sent, c)
		}
	}
	return sent
}

// TestDevicesByTheHour: what is counted to roll up a day is an hour at a time, of which a busy one is counted within a minute.
func TestDevicesByTheHour(t *testing.T) {
	opened, proxy := behindProxy(t)
	store := opened.(*mongo.Store)
	insertAll(t, store, []iot.Reading{reading(1, 0, 20), reading(2, 4000, 20), reading(3, 40_000, 20)}) // 12:00, 13:06, 23:06
	sent := record(proxy)
	maintain(t, store)
	if _, err := store.RebuildRollups(t.Context(), discard); err != nil {
		t.Fatal(err)
	}
	counts := sent.of("aggregate", "readings")
	for _, c := range counts {
		times := c.Lookup("pipeline", "0", "$match", "timestamp").Document()
		if span := times.Lookup("$lt").Time().Sub(times.Lookup("$gte").Time()); span > time.Hour {
			t.Errorf("%v are counted at once", span)
		}
	}
	if len(counts) == 0 {
		t.Error("nothing is counted")
	}
	wantChecked(t, store, 3)
}

// TestLateFleet: where each device of a fleet has marked hours, charts and counts of all ask for the readings of many at once.
func TestLateFleet(t *testing.T) {
	opened, proxy := behindProxy(t)
	store := opened.(*mongo.Store)
	store.ForgetProgress()
	const devices, days = 60, 2
	fleet := func(offset func(device int) time.Duration) (batch []iot.Reading) {
		for device := range devices {
			for at := range days {
				r := reading(iot.DeviceID(1+device), 0, 20+float64(device))
				r.At = r.At.Add(time.Duration(at)*daily + offset(device))
				batch = append(batch, r)
			}
		}
		return batch
	}
	insertAll(t, store, fleet(func(int) time.Duration { return 0 }))
	maintain(t, store)
	insertAll(t, store, fleet(func(device int) time.Duration { return time.Duration(device%7) * time.Hour }))
	insertAll(t, store, fleet(func(device int) time.Duration { return time.Duration(9+device%2) * time.Hour }))
	sent := record(proxy)
	wantExact(t, store)
	if finds, counts := len(sent.of("find", "readings")), len(sent.of("aggregate", "readings")); finds+counts > 50 {
		t.Errorf("%d finds and %d counts in the readings", finds, counts)
	}
}

// TestInOrder: where another primary takes over between the steps of a computation, or of an answer, what is read of it is not
// older than what was read of the one before.
func TestInOrder(t *testing.T) {
	id := bson.D{{Key: "d", Value: int64(1)}, {Key: "hour", Value: bson.DateTime(0)}}
	mark := bson.D{{Key: "_id", Value: id}, {Key: "v", Value: bson.NewObjectID()}}
	at := bson.Timestamp{T: 7, I: 1}
	found := append(indexes(mark), bson.E{Key: "operationTime", Value: at})
	for name, read := range map[string]func(*mongo.Store) error{
		"a computation": func(s *mongo.Store) error { return s.Drain(t.Context()) },
		"a chart": func(s *mongo.Store) error {
			return s.ReadBuckets(t.Context(), iot.BucketQuery{Width: iot.Day}, func(iot.Buckets) error { return nil })
		},
		"a count": func(s *mongo.Store) error { _, err := s.CountReadings(t.Context()); return err },
	} {
		t.Run(name, func(t *testing.T) {
			asked := make(chan bson.Raw, 20)
			failed := bson.D{{Key: "ok", Value: 0}, {Key: "errmsg", Value: "that is enough"}}
			store := answers{"find": found, "delete": failed, "aggregate": failed}.open(t, func(name string, command bson.Raw) {
				if name == "find" || name == "aggregate" {
					asked <- command
				}
			}).(*mongo.Store)
			_ = read(store) // it ends with the failure
			if <-asked; len(asked) == 0 {
				t.Error("it asks once")
			}
			for len(asked) > 0 {
				command := <-asked
				var after bson.Timestamp
				after.T, after.I, _ = command.Lookup("readConcern", "afterClusterTime").TimestampOK()
				if level := command.Lookup("readConcern", "level"); after != at || level.StringValue() != "majority" {
					t.Errorf("read after %v, of a %v: %v", after, level, command)
				}
			}
		})
	}
}
