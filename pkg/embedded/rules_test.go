package embedded

import (
	"encoding/binary"
	"errors"
	"fmt"
	"reflect"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
	"github.com/twmb/franz-go/pkg/kversion"
)

// requestCase is a request from outside, and the error that it gets.
type requestCase struct {
	name    string
	request kmsg.Request
	want    error
}

func testRequests(t *testing.T, client *kgo.Client, cases []requestCase) {
	t.Helper()
	for _, tc := range cases {
		t.Run(tc.name, func(t *testing.T) {
			response, err := client.Broker(0).Request(t.Context(), tc.request)
			if err != nil {
				t.Fatal(err)
			}
			if got := errorOf(response); !errors.Is(got, tc.want) {
				t.Errorf("error %v, want %v", got, tc.want)
			}
		})
	}
}

// errorOf is the first error that a response gives.
func errorOf(response kmsg.Response) error {
	var first func(v reflect.Value) error
	first = func(v reflect.Value) (err error) {
		switch v.Kind() {
		case reflect.Slice:
			for i := 0; i < v.Len() && err == nil; i++ {
				err = first(v.Index(i))
			}
		case reflect.Struct:
			if code := v.FieldByName("ErrorCode"); code.IsValid() {
				err = kerr.ErrorForCode(int16(code.Int()))
			}
			for i := 0; i < v.NumField() && err == nil; i++ {
				err = first(v.Field(i))
			}
		}
		return err
	}
	return first(reflect.ValueOf(response).Elem())
}

func TestTopicsOfClientsThatRead(t *testing.T) {
	k := reader(t, t.TempDir())
	deleted := kmsg.NewPtrDeleteRecordsRequest()
	deleted.Topics = []kmsg.DeleteRecordsRequestTopic{{Topic: logTopic, Partitions: []kmsg.DeleteRecordsRequestTopicPartition{{Offset: 1}}}}
	created := kmsg.NewPtrCreateTopicsRequest()
	created.Topics = []kmsg.CreateTopicsRequestTopic{{Topic: "another", NumPartitions: 1, ReplicationFactor: 1}}
	grown := kmsg.NewPtrCreatePartitionsRequest()
	grown.Topics = []kmsg.CreatePartitionsRequestTopic{{Topic: logTopic, Count: 9}}
	configured := kmsg.NewPtrIncrementalAlterConfigsRequest()
	configured.Resources = []kmsg.IncrementalAlterConfigsRequestResource{{ResourceType: kmsg.ConfigResourceTypeTopic, ResourceName: logTopic}}
	described := kmsg.NewPtrDescribeConfigsRequest()
	for range maxResources + 1 {
		described.Resources = append(described.Resources, kmsg.DescribeConfigsRequestResource{ResourceType: kmsg.ConfigResourceTypeTopic, ResourceName: logTopic})
	}
	transaction := kmsg.NewPtrInitProducerIDRequest()
	transaction.TransactionalID = kmsg.StringPtr("t")
	testRequests(t, raw(t, k), []requestCase{
		{"produce", produceRequest(logTopic, -1, 1), kerr.TopicAuthorizationFailed},
		{"delete records", deleted, kerr.TopicAuthorizationFailed},
		{"create a topic", created, kerr.TopicAuthorizationFailed},
		{"add partitions", grown, kerr.TopicAuthorizationFailed},
		{"delete a topic", deleteTopic(logTopic), kerr.TopicAuthorizationFailed},
		{"configure a topic", configured, kerr.TopicAuthorizationFailed},
		{"describe many topics", described, kerr.InvalidRequest},
		{"become a producer", kmsg.NewPtrInitProducerIDRequest(), kerr.ClusterAuthorizationFailed},
		{"become a producer with transactions", transaction, kerr.ClusterAuthorizationFailed},
		{"read", fetchRequest(logTopic, 0), nil},
	})
	if n := records(k, logTopic); n != 1 || k.cluster.TopicInfo("another") != nil {
		t.Errorf("%d records in the topic, want 1; another topic: %v", n, k.cluster.TopicInfo("another"))
	}
	t.Run("a request without a response is dropped", func(t *testing.T) {
		c := dialTCP(t, k)
		r := produceRequest(logTopic, -1, 1)
		r.Acks = 0
		r.SetVersion(9)
		frame := header{correlation: 1, request: r}.encode()
		if err := send(t, c, append(frame, placeholder(2)...)); err != nil {
			t.Errorf("the request behind it: %v", err)
		}
	})
	t.Run("a whole consumer works", func(t *testing.T) {
		cfg := insideConfig(k)
		cfg.Dial = nil
		client{cfg}.consume(t, "theirs", 1)
	})
}

// deleteTopic names the topic as every version of the request does.
func deleteTopic(name string) *kmsg.DeleteTopicsRequest {
	r := kmsg.NewPtrDeleteTopicsRequest()
	r.TopicNames = []string{name}
	r.Topics = []kmsg.DeleteTopicsRequestTopic{{Topic: kmsg.StringPtr(name)}}
	return r
}

// commitRequest commits an offset for a group without members.
func commitRequest(group string) *kmsg.OffsetCommitRequest {
	r := kmsg.NewPtrOffsetCommitRequest()
	r.Group, r.Generation = group, -1
	r.Topics = []kmsg.OffsetCommitRequestTopic{{Topic: logTopic, Partitions: []kmsg.OffsetCommitRequestTopicPartition{{Offset: 1}}}}
	return r
}

func TestOurGroupsAreOurs(t *testing.T) {
	k := reader(t, t.TempDir())
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
	testRequests(t, raw(t, k), []requestCase{
		{"commit", commitRequest("ours"), kerr.GroupAuthorizationFailed},
		{"commit for others", commitRequest("theirs"), nil},
		{"delete offsets", uncommit, kerr.GroupAuthorizationFailed},
		{"delete", dissolve, kerr.GroupAuthorizationFailed},
		{"join", join, kerr.GroupAuthorizationFailed},
		{"synchronise", sync, kerr.GroupAuthorizationFailed},
		{"keep members alive", beat, kerr.GroupAuthorizationFailed},
		{"leave", leave, kerr.GroupAuthorizationFailed},
		{"join as Kafka 4 does", beat848, kerr.GroupAuthorizationFailed},
	})
}

func TestGroupsFromOutsideAreBounded(t *testing.T) {
	k := reader(t, t.TempDir())
	outside := raw(t, k)
	commit := func(group string) error {
		response, err := outside.Broker(0).Request(t.Context(), commitRequest(group))
		if err != nil {
			t.Fatal(err)
		}
		return errorOf(response)
	}
	if err := commit("oldest"); err != nil {
		t.Fatal(err)
	}
	var newest string // group that there is
	t.Run("there are so many groups and no more", func(t *testing.T) {
		var last error
		for n := range maxGroups {
			name := fmt.Sprint("group ", n)
			if last = commit(name); last == nil {
				newest = name
			}
		}
		if !errors.Is(last, kerr.GroupAuthorizationFailed) {
			t.Errorf("error of the last %v", last)
		}
		client{insideConfig(k)}.consume(t, "ours", 1) // is not among them
	})
	t.Run("those that nobody is a member of make room, but for those that committed last", func(t *testing.T) {
		sweep(t, k, time.Hour, 0, "ours")
		if g := k.cluster.GroupInfo("ours"); g == nil || g.Commits[logTopic][0].Offset != 1 {
			t.Errorf("our group is %+v", g)
		}
		if k.cluster.GroupInfo("oldest") != nil || k.cluster.GroupInfo(newest) == nil {
			t.Error("it is not the oldest that are gone")
		}
		for n := range maxGroups - keptGroups {
			if err := commit(fmt.Sprint("another group ", n)); err != nil {
				t.Fatal(n, err)
			}
		}
	})
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
	forged := produceRequest(logTopic, -1, 0)
	batch := forged.Topics[0].Partitions[0].Records
	batch[22] |= 0x08 // the time is the broker's
	binary.BigEndian.PutUint32(batch[17:], checksum(batch))
	testRequests(t, client, []requestCase{
		{"a topic of many partitions", &kmsg.CreateTopicsRequest{Topics: []kmsg.CreateTopicsRequestTopic{
			{Topic: "a", NumPartitions: 1 << 30, ReplicationFactor: 1}}}, kerr.InvalidPartitions},
		{"a topic that is a path", &kmsg.CreateTopicsRequest{Topics: []kmsg.CreateTopicsRequestTopic{
			{Topic: "../a", NumPartitions: 1, ReplicationFactor: 1}}}, kerr.InvalidTopicException},
		{"many partitions", &kmsg.CreatePartitionsRequest{Topics: []kmsg.CreatePartitionsRequestTopic{
			{Topic: logTopic, Count: 1 << 30}}}, kerr.InvalidPartitions},
		{"a transaction", &kmsg.InitProducerIDRequest{TransactionalID: kmsg.StringPtr("t")}, kerr.TransactionalIDAuthorizationFailed},
		{"our offsets", &kmsg.OffsetDeleteRequest{Group: "ours"}, kerr.GroupAuthorizationFailed},
		{"a batch that kfake would change", forged, kerr.InvalidRecord},
	})
}

// TestRefusals has every kind of request refused, but for the one that gets its response in every version.
func TestRefusals(t *testing.T) {
	versions.EachMaxKeyVersion(func(key, newest int16) {
		if key == apiVersionsKey {
			return
		}
		for version := range newest + 1 {
			r := kmsg.RequestForKey(key)
			r.SetVersion(version)
			response := refuse(r, kerr.PolicyViolation)
			if _, correlation, err := decode(r, encode(response, 7)); err != nil || correlation != 7 || response.GetVersion() != version {
				t.Errorf("%s: version %d, correlation %d, %v", kmsg.NameForKey(key), response.GetVersion(), correlation, err)
			}
		}
	})
}

func TestVersions(t *testing.T) {
	k := reader(t, "")
	response, err := kmsg.NewPtrApiVersionsRequest().RequestWith(t.Context(), raw(t, k))
	if err != nil {
		t.Fatal(err)
	}
	offered := kversion.FromApiVersionsResponse(response)
	for key, want := range map[kmsg.Key]int16{
		kmsg.DescribeTopicPartitions: -1, kmsg.CreateTopics: 4, // Java's client falls over the null arrays of newer ones
		kmsg.Fetch: 12, kmsg.Produce: 11, kmsg.AlterConfigs: -1, kmsg.EndTxn: -1,
	} {
		if got, _ := offered.LookupMaxKeyVersion(int16(key)); got != want {
			t.Errorf("%s is offered up to version %d, want %d", key.Name(), got, want)
		}
	}
}
