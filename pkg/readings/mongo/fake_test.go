package mongo_test

import (
	"encoding/binary"
	"io"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/x/mongo/driver/wiremessage"

	"github.com/telltale-iot/telltale/pkg/iot"
	"github.com/telltale-iot/telltale/pkg/readings"
)

// answers is a server that gives the answers of a replica set's primary in trouble, which are hard to bring
// about otherwise: to each command, by name, always the same one.
type answers map[string]bson.D

// start serves a until t ends and returns a store on it, and what commands came that write.
func (a answers) start(t *testing.T) (store readings.Store, writes <-chan bson.Raw) {
	t.Helper()
	received := make(chan bson.Raw, 20)
	return a.open(t, func(name string, command bson.Raw) {
		switch name {
		case "insert", "update", "collMod", "createIndexes", "dropIndexes":
			received <- command
		}
	}), received
}

// open serves a until t ends and returns a store on it. It calls came with each command.
func (a answers) open(t *testing.T, came func(name string, command bson.Raw)) readings.Store {
	t.Helper()
	hello := bson.D{
		{Key: "ok", Value: 1}, {Key: "isWritablePrimary", Value: true}, {Key: "helloOk", Value: true}, {Key: "logicalSessionTimeoutMinutes", Value: 30},
		{Key: "minWireVersion", Value: 0}, {Key: "maxWireVersion", Value: 25},
		{Key: "localTime", Value: time.Now()}, {Key: "maxBsonObjectSize", Value: 16 << 20}, {Key: "maxMessageSizeBytes", Value: 48 << 20}, {Key: "maxWriteBatchSize", Value: 100_000},
	}
	if a["listIndexes"] == nil {
		a["listIndexes"] = indexes(
			bson.D{{Key: "key", Value: bson.D{{Key: "device_id", Value: 1.0}, {Key: "timestamp", Value: int64(1)}}}, {Key: "unique", Value: true}},
			bson.D{{Key: "key", Value: bson.D{{Key: "moved", Value: 1}}}, {Key: "unique", Value: true}, {Key: "sparse", Value: true}})
	}
	if a["find"] == nil {
		a["find"] = found() // also of the progress of the rollups
	}
	a["hello"], a["isMaster"], a["ismaster"], a["endSessions"] = hello, hello, hello, bson.D{{Key: "ok", Value: 1}}
	l := listen(t)
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			wg.Go(func() { a.serve(t, conn, came) })
		}
	})
	t.Cleanup(func() { _ = l.Close(); wg.Wait() })
	return openURI(t, "mongodb://"+l.Addr().String()+"/iot?directConnection=true")
}

func (a answers) serve(t *testing.T, conn net.Conn, came func(name string, command bson.Raw)) {
	defer func() { _ = conn.Close() }()
	for {
		var length [4]byte
		if _, err := io.ReadFull(conn, length[:]); err != nil {
			return
		}
		message := make([]byte, binary.LittleEndian.Uint32(length[:]))
		copy(message, length[:])
		if _, err := io.ReadFull(conn, message[4:]); err != nil {
			return
		}
		_, id, _, opcode, rest, _ := wiremessage.ReadHeader(message)
		const beforeQuery = len("....admin.$cmd.........") // flags, collection, 0, two numbers
		if opcode == wiremessage.OpMsg {
			rest = rest[5:] // flags, kind of section
		} else {
			rest = rest[beforeQuery:]
		}
		command := bson.Raw(rest)
		name := command.Index(0).Key()
		came(name, command[:binary.LittleEndian.Uint32(command)])
		answer, err := bson.Marshal(a[name])
		if err != nil || len(a[name]) == 0 {
			t.Errorf("no answer to %s: %v", name, err)
			return
		}
		start, reply := wiremessage.AppendHeaderStart(nil, 0, id, wiremessage.OpReply)
		if opcode == wiremessage.OpMsg {
			start, reply = wiremessage.AppendHeaderStart(nil, 0, id, wiremessage.OpMsg)
			reply = wiremessage.AppendMsgFlags(reply, 0)
			reply = wiremessage.AppendMsgSectionType(reply, wiremessage.SingleDocument)
		} else {
			reply = wiremessage.AppendReplyFlags(reply, 0)
			reply = wiremessage.AppendReplyCursorID(reply, 0)
			reply = wiremessage.AppendReplyStartingFrom(reply, 0)
			reply = wiremessage.AppendReplyNumberReturned(reply, 1)
		}
		reply = append(reply, answer...)
		binary.LittleEndian.PutUint32(reply[start:], uint32(len(reply)))
		if _, err := conn.Write(reply); err != nil {
			return
		}
	}
}

func TestInsertCommand(t *testing.T) {
	store, inserts := answers{"insert": {{Key: "ok", Value: 1}, {Key: "n", Value: 2}}}.start(t)
	full := reading(2, 0, 20)
	full.Metrics = append([]iot.Metric{{Name: "$a.b", Value: 1}}, full.Metrics...)
	full.Attributes = []iot.Attribute{{Name: "site", Value: "roof"}}
	bare := iot.Reading{Device: 1, At: full.At, Received: full.At, Metrics: []iot.Metric{{Name: "voltage", Value: 3.5}}}
	wantInserted(t, store, []iot.Reading{full, bare}, iot.Inserted{New: 2})
	// The documents are as the contract has them, and durable on a majority before the answer.
	want := `{"insert": "readings",
		"ordered": false,
		"writeConcern": {"w": "majority","j": true},
		"documents": [{
			"device_id": {"$numberLong":"2"},
			"timestamp": {"$date":{"$numberLong":"1772366400000"}},
			"temperature": {"$numberDouble":"20.0"},
			"humidity": {"$numberDouble":"40.5"},
			"metrics": {"$a.b": {"$numberDouble":"1.0"}},
			"attributes": {"site": "roof"},
			"timestamp_source": "device",
			"received_at": {"$date":{"$numberLong":"1772366400007"}}
		},{
			"device_id": {"$numberLong":"1"},
			"timestamp": {"$date":{"$numberLong":"1772366400000"}},
			"temperature": null,
			"humidity": null,
			"metrics": {"voltage": {"$numberDouble":"3.5"}},
			"attributes": {},
			"received_at": {"$date":{"$numberLong":"1772366400000"}}
		}],`
	want = strings.NewReplacer("\n", "", "\t", "").Replace(want)
	got := (<-inserts).String()
	if diff := cmp.Diff(want, got[:min(len(got), len(want))]); diff != "" {
		t.Errorf("command (-want +got):\n%s", diff)
	}
}

func TestMergeCommand(t *testing.T) {
	stored, also := reading(1, 0, 20), reading(1, 0, 0)
	also.Metrics = []iot.Metric{{Name: "$a.b", Value: 1}}
	also.Attributes = []iot.Attribute{{Name: "site", Value: "roof"}}
	refused := bson.A{bson.D{{Key: "index", Value: 0}, {Key: "code", Value: 11000}, {Key: "errmsg", Value: "refused"}}}
	store, writes := answers{
		"insert": {{Key: "ok", Value: 1}, {Key: "writeErrors", Value: refused}},
		"find":   found(stored),
		"update": {{Key: "ok", Value: 1}, {Key: "n", Value: 1}},
	}.start(t)
	wantInserted(t, store, []iot.Reading{also}, iot.Inserted{Merged: 1})
	<-writes // the insert
	// All members are in the filter as they were read.
	want := `{"update": "readings",
		"ordered": false,
		"writeConcern": {"w": "majority","j": true},
		"updates": [{
			"q": {
				"device_id": {"$eq": {"$numberLong":"1"}},
				"timestamp": {"$eq": {"$date":{"$numberLong":"1772366400000"}}},
				"temperature": {"$eq": {"$numberDouble":"20.0"}},
				"humidity": {"$eq": {"$numberDouble":"40.5"}},
				"metrics": {"$eq": null},
				"attributes": {"$eq": null}},
			"u": {"$set": {
				"temperature": {"$numberDouble":"20.0"},
				"humidity": {"$numberDouble":"40.5"},
				"metrics": {"$a.b": {"$numberDouble":"1.0"}},
				"attributes": {"site": "roof"},
				"timestamp_source": "device",
				"received_at": {"$date":{"$numberLong":"1772366400007"}}}}
		}],`
	want = strings.NewReplacer("\n", "", "\t", "").Replace(want)
	got := (<-writes).String()
	if diff := cmp.Diff(want, got[:min(len(got), len(want))]); diff != "" {
		t.Errorf("command (-want +got):\n%s", diff)
	}
}

// indexes is the answer to a look at them.
func indexes(specifications ...any) bson.D {
	return bson.D{{Key: "ok", Value: 1}, {Key: "cursor", Value: bson.D{
		{Key: "id", Value: int64(0)}, {Key: "ns", Value: "iot.readings"}, {Key: "firstBatch", Value: bson.A(specifications)},
	}}}
}

// found is the answer to a find.
func found(stored ...iot.Reading) bson.D {
	documents := bson.A{}
	for _, r := range stored {
		document := bson.D{{Key: "device_id", Value: int64(r.Device)}, {Key: "timestamp", Value: r.At}}
		for _, m := range r.Metrics { // temperature and humidity alone
			document = append(document, bson.E{Key: m.Name, Value: m.Value})
		}
		documents = append(documents, document)
	}
	return bson.D{{Key: "ok", Value: 1}, {Key: "cursor", Value: bson.D{
		{Key: "id", Value: int64(0)}, {Key: "ns", Value: "iot.readings"}, {Key: "firstBatch", Value: documents},
	}}}
}

func TestRepeatsInABatch(t *testing.T) {
	t.Run("only the first of a device and time is sent, so that the server has no choice", func(t *testing.T) {
		first, other := reading(1, 0, 20), reading(1, 0, 21)
		store, inserts := answers{"insert": {{Key: "ok", Value: 1}, {Key: "n", Value: 1}}, "find": found(first)}.start(t)
		wantInserted(t, store, []iot.Reading{first, other, first}, iot.Inserted{New: 1, Duplicates: 1, Conflicts: []int{1}})
		documents, err := (<-inserts).Lookup("documents").Array().Values()
		if err != nil || len(documents) != 1 {
			t.Errorf("%d documents were sent, %v; want 1", len(documents), err)
		}
	})
}

func TestServerInTrouble(t *testing.T) {
	ok := bson.E{Key: "ok", Value: 1}
	failed := bson.E{Key: "ok", Value: 0}
	refused := func(code int) bson.E {
		return bson.E{Key: "writeErrors", Value: bson.A{
			bson.D{{Key: "index", Value: 0}, {Key: "code", Value: code}, {Key: "errmsg", Value: "refused"}},
		}}
	}
	noMajority := bson.E{Key: "writeConcernError", Value: bson.D{{Key: "code", Value: 64}, {Key: "errmsg", Value: "timed out"}}}
	const duplicateKey, failedValidation, notPrimary = 11000, 121, 10107
	r, wet := reading(1, 0, 20), reading(1, 0, 20)
	wet.Metrics = wet.Metrics[:1]
	for _, c := range []struct {
		promise              string
		insert, find, update bson.D
		fails                bool
	}{
		{"a place taken by the same content is a duplicate", bson.D{ok, refused(duplicateKey)}, found(r), nil, false},
		{"what a majority does not have yet is not stored", bson.D{ok, noMajority}, nil, nil, true},
		{"a duplicate of what a majority does not have yet is not stored", bson.D{ok, refused(duplicateKey), noMajority}, found(r), nil, true},
		{"a place that is taken and empty is an error", bson.D{ok, refused(duplicateKey)}, found(), nil, true},
		{"a refusal for another reason is an error", bson.D{ok, refused(failedValidation)}, found(r), nil, true},
		{"a server that is no primary any more is an error", bson.D{failed, {Key: "code", Value: notPrimary}, {Key: "errmsg", Value: "not primary"}}, nil, nil, true},
		{"what is merged is stored", bson.D{ok, refused(duplicateKey)}, found(wet), bson.D{ok, {Key: "n", Value: 1}}, false},
		{"what is merged and a majority does not have yet is not stored", bson.D{ok, refused(duplicateKey)}, found(wet), bson.D{ok, {Key: "n", Value: 1}, noMajority}, true},
		{"a merge that is refused is an error", bson.D{ok, refused(duplicateKey)}, found(wet), bson.D{ok, {Key: "n", Value: 0}, refused(failedValidation)}, true},
		{"a document that is never as it was read is an error", bson.D{ok, refused(duplicateKey)}, found(wet), bson.D{ok, {Key: "n", Value: 0}}, true},
	} {
		t.Run(c.promise, func(t *testing.T) {
			store, _ := answers{"insert": c.insert, "find": c.find, "update": c.update}.start(t)
			inserted, err := store.InsertReadings(t.Context(), []iot.Reading{r})
			if (err != nil) != c.fails {
				t.Errorf("InsertReadings = %+v, %v; want an error: %v", inserted, err, c.fails)
			}
		})
	}
}
