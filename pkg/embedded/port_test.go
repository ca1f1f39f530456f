package embedded

import (
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"runtime"
	"testing"
	"testing/synctest"
	"time"

	"github.com/twmb/franz-go/pkg/kbin"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
	"github.com/twmb/franz-go/pkg/kversion"

	"github.com/telltale-iot/telltale/pkg/kafka"
)

// reader is a broker with a topic and a record in it, to whose port clients come that may only read.
func reader(t testing.TB, dir string) *Kafka {
	t.Helper()
	k, err := StartKafka(KafkaConfig{Addr: "127.0.0.1:0", Dir: dir, Groups: map[string]string{"ours": logTopic}, Log: testLog(t)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { shut(t, k) })
	if err := kafka.EnsureTopics(t.Context(), insideConfig(k), testLog(t)); err != nil {
		t.Fatal(err)
	}
	if err := produce(t, inside(t, k), logTopic, -1, 0); err != nil {
		t.Fatal(err)
	}
	return k
}

// insideConfig is that of a service of this process.
func insideConfig(k *Kafka) kafka.Config {
	return kafka.Config{
		Brokers: []string{k.Addr()}, Dial: k.Dial, Topic: logTopic, Partitions: 1, Replication: -1, Retention: time.Hour,
	}
}

func dialTCP(t testing.TB, k *Kafka) net.Conn {
	t.Helper()
	c, err := net.Dial("tcp", k.Addr())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	if err := c.SetDeadline(time.Now().Add(10 * time.Second)); err != nil {
		t.Fatal(err)
	}
	return c
}

// send writes bytes, and returns nil when there was an answer.
func send(t testing.TB, c net.Conn, frame []byte) error {
	t.Helper()
	if _, err := c.Write(frame); err != nil {
		return err
	}
	var size [frameSizeBytes]byte
	if _, err := io.ReadFull(c, size[:]); err != nil {
		return err
	}
	_, err := io.CopyN(io.Discard, c, int64(binary.BigEndian.Uint32(size[:])))
	return err
}

func TestBytesFromOutside(t *testing.T) {
	k := reader(t, t.TempDir())
	unhex := func(s string) []byte {
		b, err := hex.DecodeString(s)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	whole := harmless(7)
	for name, sent := range map[string][]byte{
		"an unknown key":              unhex("0000000b03e7000000000007000178"),
		"a negative key":              unhex("0000000bffff000000000007000178"),
		"a key that is not offered":   unhex("0000000b0026000000000007000178"),
		"a version yet to come":       unhex("0000000b0003007f00000007000178"),
		"a negative version":          unhex("0000000b0012ffff00000007000178"),
		"2 GB":                        unhex("7fffffff"),
		"4 GB":                        unhex("ffffffff"),
		"no bytes":                    unhex("00000000"),
		"a byte":                      unhex("0000000100"),
		"a header that is cut":        unhex("00000009001200000000000700"),
		"a client id beyond the end":  unhex("0000000a0012000000000007ffff")[:13],
		"a body that is cut":          append(unhex("0000000e0003000000000007000178"), 0x7f, 0xff, 0xff),
		"more topics than bytes":      unhex("0000000e000300010000000700007fffffff"),
		"another protocol":            []byte("GET / HTTP/1.1\r\nHost: x\r\n\r\n"),
		"a request behind garbage":    append(unhex("0000000b03e7000000000007000178"), whole...),
		"a request and half of one":   append(append([]byte{}, whole...), whole[:9]...),
		"many requests without pause": repeat(whole, 1000),
	} {
		t.Run(name, func(t *testing.T) {
			c := dialTCP(t, k)
			_, _ = c.Write(sent) // it may be cut off meanwhile
			_ = c.(*net.TCPConn).CloseWrite()
			if _, err := io.Copy(io.Discard, c); errors.Is(err, os.ErrDeadlineExceeded) {
				t.Error("the connection is left open")
			}
			if err := produce(t, inside(t, k), logTopic, -1, 0); err != nil {
				t.Errorf("after that: %v", err)
			}
		})
	}
}

func repeat(b []byte, n int) (all []byte) {
	for range n {
		all = append(all, b...)
	}
	return all
}

func TestConnectionsFromOutside(t *testing.T) {
	k := reader(t, "")
	before := heap()
	var held []net.Conn
	for range maxConnections {
		c := dialTCP(t, k)
		if err := send(t, c, harmless(1)); err != nil {
			t.Fatal(err)
		}
		held = append(held, c)
	}
	if err := send(t, dialTCP(t, k), harmless(1)); err == nil {
		t.Error("one more is served")
	}
	for _, c := range held { // each announces as much as it may, and sends all but a byte
		frame := make([]byte, frameSizeBytes+maxReadFrame-1)
		binary.BigEndian.PutUint32(frame, maxReadFrame)
		if _, err := c.Write(frame); err != nil {
			t.Fatal(err)
		}
	}
	if err := produce(t, inside(t, k), logTopic, -1, 0); err != nil {
		t.Errorf("from inside: %v", err)
	}
	if grown := heap() - before; grown > 64<<20 {
		t.Errorf("they take %d MiB", grown>>20)
	}
	for _, c := range held {
		_ = c.Close()
	}
	for deadline := time.Now().Add(10 * time.Second); ; {
		err := send(t, dialTCP(t, k), harmless(1))
		if err == nil {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("when they are gone: %v", err)
		}
	}
}

func heap() int64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

func TestSilenceFromOutside(t *testing.T) {
	for name, tc := range map[string]struct {
		sent  int // bytes of a request
		after time.Duration
	}{
		"before a request":           {0, idleTimeout},
		"in the middle of a request": {8, frameTimeout},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := testPort(t)
				client, server := net.Pipe()
				defer func() { _ = client.Close() }()
				c := newConn(server, p, false)
				go func() { _, _ = client.Write(harmless(1)[:tc.sent]) }()
				begin := time.Now()
				_, err := c.Read(make([]byte, 1))
				if !errors.Is(err, os.ErrDeadlineExceeded) || time.Since(begin) != tc.after {
					t.Errorf("%v after %v, want an end after %v", err, time.Since(begin), tc.after)
				}
			})
		})
	}
	t.Run("behind a request", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			p := testPort(t)
			client, server := net.Pipe()
			defer func() { _ = client.Close() }()
			c := newConn(server, p, false)
			go func() { _, _ = client.Write(harmless(1)) }()
			if _, err := c.Read(make([]byte, 100)); err != nil {
				t.Fatal(err)
			}
			begin := time.Now()
			_, err := c.Write(encode(kmsg.NewPtrApiVersionsResponse(), 1)) // which the client does not read
			if !errors.Is(err, os.ErrDeadlineExceeded) || time.Since(begin) != writeTimeout {
				t.Errorf("%v after %v, want an end after %v", err, time.Since(begin), writeTimeout)
			}
		})
	})
}

// testPort is a port without a listener.
func testPort(t *testing.T) *port {
	t.Helper()
	p := newPort(KafkaConfig{Log: testLog(t)}, newDisk("", nil, testLog(t)))
	p.outside = 1
	return p
}

func TestWhatClientsFromOutsideMayDo(t *testing.T) {
	k := reader(t, t.TempDir())
	outside := raw(t, k)
	topicDenied, groupDenied := kerr.TopicAuthorizationFailed, kerr.GroupAuthorizationFailed
	deleted := kmsg.NewPtrDeleteRecordsRequest()
	deleted.Topics = []kmsg.DeleteRecordsRequestTopic{{Topic: logTopic, Partitions: []kmsg.DeleteRecordsRequestTopicPartition{{Offset: 1}}}}
	created := kmsg.NewPtrCreateTopicsRequest()
	created.Topics = []kmsg.CreateTopicsRequestTopic{{Topic: "another", NumPartitions: 1, ReplicationFactor: 1}}
	grown := kmsg.NewPtrCreatePartitionsRequest()
	grown.Topics = []kmsg.CreatePartitionsRequestTopic{{Topic: logTopic, Count: 9}}
	gone := kmsg.NewPtrDeleteTopicsRequest()
	gone.TopicNames = []string{logTopic}
	gone.Topics = []kmsg.DeleteTopicsRequestTopic{{Topic: kmsg.StringPtr(logTopic)}}
	commit := func(group string) kmsg.Request {
		r := kmsg.NewPtrOffsetCommitRequest()
		r.Group, r.Generation = group, -1
		r.Topics = []kmsg.OffsetCommitRequestTopic{{Topic: logTopic, Partitions: []kmsg.OffsetCommitRequestTopicPartition{{Offset: 1}}}}
		return r
	}
	uncommit := kmsg.NewPtrOffsetDeleteRequest()
	uncommit.Group = "ours"
	uncommit.Topics = []kmsg.OffsetDeleteRequestTopic{{Topic: logTopic, Partitions: []kmsg.OffsetDeleteRequestTopicPartition{{}}}}
	join := kmsg.NewPtrJoinGroupRequest()
	join.Group, join.ProtocolType, join.SessionTimeoutMillis, join.RebalanceTimeoutMillis = "ours", "consumer", 10000, 10000
	sync := kmsg.NewPtrSyncGroupRequest()
	sync.Group = "ours"
	beat := kmsg.NewPtrHeartbeatRequest()
	beat.Group = "ours"
	leave := kmsg.NewPtrLeaveGroupRequest()
	leave.Group = "ours"
	beat848 := kmsg.NewPtrConsumerGroupHeartbeatRequest()
	beat848.Group = "ours"
	dissolve := kmsg.NewPtrDeleteGroupsRequest()
	dissolve.Groups = []string{"theirs", "ours"}
	transaction := kmsg.NewPtrInitProducerIDRequest()
	transaction.TransactionalID = kmsg.StringPtr("t")
	for _, tc := range []struct {
		name    string
		request kmsg.Request
		want    error
	}{
		{"produce", produceRequest(logTopic, -1, 1), topicDenied},
		{"delete records", deleted, topicDenied},
		{"create a topic", created, topicDenied},
		{"add partitions", grown, topicDenied},
		{"delete a topic", gone, topicDenied},
		{"become a producer", kmsg.NewPtrInitProducerIDRequest(), kerr.ClusterAuthorizationFailed},
		{"become a producer with transactions", transaction, kerr.ClusterAuthorizationFailed},
		{"commit for our groups", commit("ours"), groupDenied},
		{"commit for groups of their own", commit("theirs"), nil},
		{"delete our offsets", uncommit, groupDenied},
		{"delete our groups", dissolve, groupDenied},
		{"join our groups", join, groupDenied},
		{"synchronise our groups", sync, groupDenied},
		{"keep members of our groups alive", beat, groupDenied},
		{"leave our groups", leave, groupDenied},
		{"join our groups as Kafka 4 does", beat848, groupDenied},
		{"read", fetchRequest(logTopic, 0), nil},
	} {
		t.Run(tc.name, func(t *testing.T) {
			answer, err := outside.Broker(0).Request(t.Context(), tc.request)
			if err != nil {
				t.Fatal(err)
			}
			if got := errorOf(t, answer); !errors.Is(got, tc.want) {
				t.Errorf("error %v, want %v", got, tc.want)
			}
		})
	}
	if n := records(k, logTopic); n != 1 || k.cluster.TopicInfo("another") != nil {
		t.Errorf("%d records in the topic, want 1; another topic: %v", n, k.cluster.TopicInfo("another"))
	}
	t.Run("what is not answered anyway is forgotten", func(t *testing.T) {
		c := dialTCP(t, k)
		r := produceRequest(logTopic, -1, 1)
		r.Acks = 0
		r.SetVersion(9)
		frame := header{correlation: 1, request: r}.encode()
		if err := send(t, c, append(frame, harmless(2)...)); err != nil {
			t.Errorf("the request behind it: %v", err)
		}
	})
	t.Run("a whole consumer works", func(t *testing.T) {
		cfg := insideConfig(k)
		cfg.Dial = nil
		client{cfg}.consume(t, "theirs too", 1)
	})
	var newest string // group that there is
	t.Run("there are so many groups and no more", func(t *testing.T) {
		var last error
		for n := range maxGroups {
			name := fmt.Sprint("group ", n)
			answer, err := outside.Broker(0).Request(t.Context(), commit(name))
			if err != nil {
				t.Fatal(err)
			}
			if last = errorOf(t, answer); last == nil {
				newest = name
			}
		}
		if !errors.Is(last, groupDenied) {
			t.Errorf("error of the last %v", last)
		}
		client{insideConfig(k)}.consume(t, "ours", 1) // is not among them
	})
	t.Run("those that nobody is a member of make room, but for those that committed last", func(t *testing.T) {
		sweep(t, k, time.Hour, 0, "ours")
		if g := k.cluster.GroupInfo("ours"); g == nil || g.Commits[logTopic][0].Offset != 1 {
			t.Errorf("our group is %+v", g)
		}
		if k.cluster.GroupInfo("theirs") != nil || k.cluster.GroupInfo(newest) == nil {
			t.Error("it is not the oldest that are gone")
		}
		for n := range maxGroups - keptGroups {
			answer, err := outside.Broker(0).Request(t.Context(), commit(fmt.Sprint("another group ", n)))
			if err != nil || errorOf(t, answer) != nil {
				t.Fatal(n, errorOf(t, answer), err)
			}
		}
	})
}

// errorOf is the first error that an answer gives.
func errorOf(t testing.TB, answer kmsg.Response) error {
	t.Helper()
	var code int16
	switch a := answer.(type) {
	case *kmsg.ProduceResponse:
		code = a.Topics[0].Partitions[0].ErrorCode
	case *kmsg.FetchResponse:
		code = a.Topics[0].Partitions[0].ErrorCode
	case *kmsg.DeleteRecordsResponse:
		code = a.Topics[0].Partitions[0].ErrorCode
	case *kmsg.CreateTopicsResponse:
		code = a.Topics[0].ErrorCode
	case *kmsg.CreatePartitionsResponse:
		code = a.Topics[0].ErrorCode
	case *kmsg.DeleteTopicsResponse:
		code = a.Topics[0].ErrorCode
	case *kmsg.OffsetCommitResponse:
		code = a.Topics[0].Partitions[0].ErrorCode
	case *kmsg.OffsetDeleteResponse:
		code = a.ErrorCode
	case *kmsg.DeleteGroupsResponse:
		code = a.Groups[0].ErrorCode
	case *kmsg.InitProducerIDResponse:
		code = a.ErrorCode
	case *kmsg.JoinGroupResponse:
		code = a.ErrorCode
	case *kmsg.SyncGroupResponse:
		code = a.ErrorCode
	case *kmsg.HeartbeatResponse:
		code = a.ErrorCode
	case *kmsg.LeaveGroupResponse:
		code = a.ErrorCode
	case *kmsg.ConsumerGroupHeartbeatResponse:
		code = a.ErrorCode
	default:
		t.Fatalf("what is the error of %T?", answer)
	}
	return kerr.ErrorForCode(code)
}

func TestWrites(t *testing.T) {
	k := open(t, KafkaConfig{Dir: t.TempDir(), Groups: map[string]string{"ours": logTopic}})
	client := raw(t, k)
	if err := k.cluster.CreateTopic(logTopic, 1, nil); err != nil {
		t.Fatal(err)
	}
	if err := produce(t, client, logTopic, -1, 0); err != nil {
		t.Errorf("produce: %v", err)
	}
	for name, tc := range map[string]struct {
		request kmsg.Request
		want    error
	}{
		"a topic of many partitions": {&kmsg.CreateTopicsRequest{Topics: []kmsg.CreateTopicsRequestTopic{
			{Topic: "a", NumPartitions: 1 << 30, ReplicationFactor: 1}}}, kerr.InvalidPartitions},
		"a topic that is a path": {&kmsg.CreateTopicsRequest{Topics: []kmsg.CreateTopicsRequestTopic{
			{Topic: "../a", NumPartitions: 1, ReplicationFactor: 1}}}, kerr.InvalidTopicException},
		"many partitions": {&kmsg.CreatePartitionsRequest{Topics: []kmsg.CreatePartitionsRequestTopic{
			{Topic: logTopic, Count: 1 << 30}}}, kerr.InvalidPartitions},
		"a transaction": {&kmsg.InitProducerIDRequest{TransactionalID: kmsg.StringPtr("t")}, kerr.TransactionalIDAuthorizationFailed},
		"our offsets":   {&kmsg.OffsetDeleteRequest{Group: "ours"}, kerr.GroupAuthorizationFailed},
	} {
		t.Run(name, func(t *testing.T) {
			answer, err := client.Broker(0).Request(t.Context(), tc.request)
			if err != nil {
				t.Fatal(err)
			}
			if got := errorOf(t, answer); !errors.Is(got, tc.want) {
				t.Errorf("error %v, want %v", got, tc.want)
			}
		})
	}
	t.Run("a batch that kfake would change does not get there", func(t *testing.T) {
		r := produceRequest(logTopic, -1, 0)
		batch := r.Topics[0].Partitions[0].Records
		batch[22] |= 0x08 // the time is the broker's
		binary.BigEndian.PutUint32(batch[17:], checksum(batch))
		answer, err := r.RequestWith(t.Context(), client)
		if err != nil {
			t.Fatal(err)
		}
		if got := errorOf(t, answer); !errors.Is(got, kerr.InvalidRecord) {
			t.Errorf("error %v", got)
		}
	})
}

func TestVersions(t *testing.T) {
	k := reader(t, "")
	answer, err := kmsg.NewPtrApiVersionsRequest().RequestWith(t.Context(), raw(t, k))
	if err != nil {
		t.Fatal(err)
	}
	told := kversion.FromApiVersionsResponse(answer)
	for key, want := range map[kmsg.Key]int16{
		kmsg.DescribeTopicPartitions: -1, kmsg.CreateTopics: 4, // Java's client falls over the null arrays of newer ones
		kmsg.Fetch: 12, kmsg.Produce: 11, kmsg.AlterConfigs: -1, kmsg.EndTxn: -1,
	} {
		if got, _ := told.LookupMaxKeyVersion(int16(key)); got != want {
			t.Errorf("%s is offered up to version %d, want %d", key.Name(), got, want)
		}
	}
}

func TestAnAnswerWithRecordsIsBounded(t *testing.T) {
	k := open(t, KafkaConfig{Dir: t.TempDir()})
	c := newClient(t, k.Addr(), 1)
	for range 4 {
		c.send(t, 700, 1000, time.Now())
	}
	for name, tc := range map[string]struct {
		client *kgo.Client
		most   int
	}{"from outside": {raw(t, k), maxFetch + 900<<10}, "from inside": {inside(t, k), 1 << 30}} {
		r := fetchRequest(c.cfg.Topic, 0)
		r.MaxBytes, r.Topics[0].Partitions[0].PartitionMaxBytes = 1<<30, 1<<30
		answer, err := r.RequestWith(t.Context(), tc.client)
		if err != nil {
			t.Fatal(err)
		}
		n := len(answer.Topics[0].Partitions[0].RecordBatches)
		if n > tc.most || n < 700_000 || tc.most == 1<<30 && n < 2_700_000 {
			t.Errorf("%s: %d bytes", name, n)
		}
	}
}

// TestATopicMadeAgain has a topic that was deleted work as a new one, in the same process and in the next.
func TestATopicMadeAgain(t *testing.T) {
	dir := t.TempDir()
	for round := range 3 {
		k := open(t, KafkaConfig{Dir: dir})
		c := newClient(t, k.Addr(), 1)
		c.send(t, 10, 10, time.Now())
		for again := range 2 {
			gone := kmsg.NewPtrDeleteTopicsRequest()
			gone.TopicNames = []string{c.cfg.Topic}
			gone.Topics = []kmsg.DeleteTopicsRequestTopic{{Topic: &c.cfg.Topic}}
			if _, err := gone.RequestWith(t.Context(), raw(t, k)); err != nil {
				t.Fatal(err)
			}
			c = newClient(t, k.Addr(), 1)
			c.send(t, 5, 10, time.Now())
			c.consume(t, fmt.Sprintf("group %d.%d", round, again), 5)
		}
		if err := k.Check(t.Context()); err != nil {
			t.Error(err)
		}
		shut(t, k)
		k = open(t, KafkaConfig{Dir: dir})
		if n := records(k, c.cfg.Topic); n != 5 {
			t.Errorf("round %d: %d records after a restart, want 5", round, n)
		}
		gone := kmsg.NewPtrDeleteTopicsRequest()
		gone.TopicNames = []string{c.cfg.Topic}
		gone.Topics = []kmsg.DeleteTopicsRequestTopic{{Topic: &c.cfg.Topic}}
		if _, err := gone.RequestWith(t.Context(), raw(t, k)); err != nil {
			t.Fatal(err)
		}
		shut(t, k)
	}
}

// FuzzRequests sends requests of every kind that is offered, with anything in them, as a client that may write.
func FuzzRequests(f *testing.F) {
	k, err := StartKafka(KafkaConfig{Addr: "127.0.0.1:0", Writes: true, Groups: map[string]string{"ours": logTopic}})
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(func() { shut(f, k) })
	if err := k.cluster.CreateTopic(logTopic, 1, nil); err != nil {
		f.Fatal(err)
	}
	var keys []int16
	versions.EachMaxKeyVersion(func(key, newest int16) {
		keys = append(keys, key)
		for version := range newest + 1 {
			r := kmsg.RequestForKey(key)
			r.SetVersion(version)
			f.Add(int16(len(keys)-1), version, r.AppendTo(nil))
		}
	})
	for _, r := range []kmsg.Request{
		produceRequest(logTopic, 1, 0), fetchRequest(logTopic, 0),
		&kmsg.JoinGroupRequest{Group: "g", ProtocolType: "consumer", SessionTimeoutMillis: 10000, Protocols: []kmsg.JoinGroupRequestProtocol{{Name: "range", Metadata: []byte{0, 0}}}},
	} {
		for i, key := range keys {
			if key == r.Key() {
				r.SetVersion(8)
				f.Add(int16(i), int16(8), r.AppendTo(nil))
			}
		}
	}
	f.Fuzz(func(t *testing.T, index, version int16, body []byte) {
		if index < 0 || int(index) >= len(keys) {
			return
		}
		r := kmsg.RequestForKey(keys[index])
		r.SetVersion(version)
		frame := make([]byte, frameSizeBytes)
		frame = kbin.AppendInt16(frame, r.Key())
		frame = kbin.AppendInt16(frame, version)
		frame = kbin.AppendInt32(frame, 1)
		frame = kbin.AppendNullableString(frame, nil)
		if version >= 0 && r.IsFlexible() {
			frame = append(frame, 0)
		}
		client, server := net.Pipe()
		defer func() { _ = client.Close() }()
		if !k.port.enter() {
			t.Fatal("there are too many connections")
		}
		k.port.hand(newConn(server, k.port, false))
		_ = client.SetDeadline(time.Now().Add(20 * time.Millisecond)) // some requests wait for others
		_ = send(t, client, sized(append(frame, body...)))
	})
}

// fetchFrame asks for all that there is of the topic, and to wait for a day where there is nothing.
func fetchFrame(offset int64) []byte {
	r := kmsg.NewPtrFetchRequest()
	r.Version, r.MinBytes, r.MaxWaitMillis, r.MaxBytes = 4, 1, 86_400_000, 1<<31-1
	p := kmsg.NewFetchRequestTopicPartition()
	p.FetchOffset, p.PartitionMaxBytes = offset, 1<<31-1
	r.Topics = []kmsg.FetchRequestTopic{{Topic: logTopic, Partitions: []kmsg.FetchRequestTopicPartition{p}}}
	return header{correlation: 7, request: r}.encode()
}

func TestAnswersWithRecordsAreBounded(t *testing.T) {
	k := reader(t, t.TempDir())
	busy := func(n int) {
		t.Helper()
		for deadline := time.Now().Add(10 * time.Second); len(k.port.fetches) != n; time.Sleep(time.Millisecond) {
			if time.Now().After(deadline) {
				t.Fatalf("%d fetches are being answered, not %d", len(k.port.fetches), n)
			}
		}
	}
	var waiting []net.Conn
	for range maxFetches + 4 { // each waits for a record that does not come
		c := dialTCP(t, k)
		if _, err := c.Write(fetchFrame(1)); err != nil {
			t.Fatal(err)
		}
		waiting = append(waiting, c)
	}
	busy(maxFetches)
	if err := produce(t, inside(t, k), logTopic, -1, 0); err != nil {
		t.Errorf("the services beside them: %v", err)
	}
	for _, c := range waiting { // now it has come, for those that had to wait too
		var size [frameSizeBytes]byte
		if _, err := io.ReadFull(c, size[:]); err != nil {
			t.Fatal(err)
		}
	}
	busy(0)
	for _, c := range waiting {
		_, _ = c.Write(fetchFrame(2))
	}
	busy(maxFetches)
	for _, c := range waiting {
		_ = c.Close()
	}
	busy(0)
}
