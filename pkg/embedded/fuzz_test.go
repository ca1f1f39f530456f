package embedded

import (
	"net"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kbin"
	"github.com/twmb/franz-go/pkg/kmsg"
)

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
		k.port.deliver(newConn(server, k.port, false))
		_ = client.SetDeadline(time.Now().Add(20 * time.Millisecond)) // some requests wait for others
		_ = send(t, client, sized(append(frame, body...)))
	})
}
