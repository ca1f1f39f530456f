package embedded

import (
	"context"
	"errors"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
	"github.com/twmb/franz-go/pkg/sasl"
	"github.com/twmb/franz-go/pkg/sasl/plain"
	"github.com/twmb/franz-go/pkg/sasl/scram"

	"github.com/telltale-iot/telltale/pkg/kafka"
)

// TestAccounts: who comes from outside may do what his account may, and nothing without one.
func TestAccounts(t *testing.T) {
	var gone atomic.Bool
	k, err := StartKafka(KafkaConfig{
		Addr: "127.0.0.1:0", Writes: true, Log: testLog(t),
		Account: func(_ context.Context, l Login) (Account, error) {
			switch {
			case l.Password == "reader":
				return Account{Name: "ada"}, nil
			case l.Password == "writer" && !gone.Load():
				return Account{Name: "bob", Access: ReadsAndWrites}, nil
			}
			return Account{}, Denied("No.")
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = k.Close(context.Background()) })
	connect := func(by ...sasl.Mechanism) *kgo.Client {
		client, err := kgo.NewClient(kgo.SeedBrokers(k.Addr()), kgo.SASL(by...), kgo.RequestRetries(0), kgo.RetryTimeout(time.Second))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(client.Close)
		return client
	}
	password := func(secret string) sasl.Mechanism { return plain.Auth{User: "anybody", Pass: secret}.AsMechanism() }
	create := func(client *kgo.Client, topic string) error {
		request := kmsg.NewPtrCreateTopicsRequest()
		request.Topics = []kmsg.CreateTopicsRequestTopic{{Topic: topic, NumPartitions: 1, ReplicationFactor: 1}}
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		response, err := request.RequestWith(ctx, client)
		if err != nil {
			return err
		}
		return kerr.ErrorForCode(response.Topics[0].ErrorCode)
	}
	ping := func(client *kgo.Client) error {
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		return client.Ping(ctx)
	}

	if err := ping(connect()); err == nil {
		t.Error("who shows nothing may ask")
	}
	for what, mechanism := range map[string]sasl.Mechanism{
		"wrong password": password("wrong"), "no password": password(""), "SCRAM": scram.Auth{User: "anybody", Pass: "reader"}.AsSha256Mechanism(),
	} {
		if err := ping(connect(mechanism)); err == nil {
			t.Errorf("%s: may ask", what)
		}
	}
	if err := ping(connect(password("wrong"))); !errors.Is(err, kerr.SaslAuthenticationFailed) {
		t.Errorf("a wrong password: %v", err)
	}
	reader, writer := connect(password("reader")), connect(password("writer"))
	if err := ping(reader); err != nil {
		t.Error(err)
	}
	if err := create(reader, "a"); !errors.Is(err, kerr.TopicAuthorizationFailed) {
		t.Errorf("a reader creates: %v", err)
	}
	if err := create(writer, "a"); err != nil {
		t.Error(err)
	}
	gone.Store(true)
	for deadline := time.Now().Add(10 * time.Second); ping(writer) == nil; time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("an account that is gone still counts")
		}
	}
	if err := ping(reader); err != nil {
		t.Error(err)
	}
}

// testAccounts is a broker with a topic that is internal, a client of each account, and what is told of refusals.
func testAccounts(t *testing.T, warn bool) (connect func(password string) *kgo.Client, told func() []Refusal) {
	t.Helper()
	var mu sync.Mutex
	var all []Refusal
	k, err := StartKafka(KafkaConfig{
		Addr: "127.0.0.1:0", Writes: true, Log: testLog(t), Internal: []string{"secret"},
		Account: func(_ context.Context, l Login) (Account, error) {
			access := map[string]Access{"ada": Reads, "bob": ReadsAndWrites, "root": Everything}[l.Password]
			return Account{Name: l.Password, Access: access, Warn: warn}, nil
		},
		Refused: func(r Refusal) {
			mu.Lock()
			defer mu.Unlock()
			all = append(all, r)
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = k.Close(context.Background()) })
	for _, topic := range []string{logTopic, "secret"} {
		cfg := insideConfig(k)
		cfg.Topic = topic
		if err := kafka.EnsureTopics(t.Context(), cfg, testLog(t)); err != nil {
			t.Fatal(err)
		}
		if err := produce(t, inside(t, k), topic, -1, 0); err != nil {
			t.Fatal(err)
		}
	}
	clients := map[string]*kgo.Client{}
	connect = func(password string) *kgo.Client {
		if clients[password] == nil {
			client, err := kgo.NewClient(kgo.SeedBrokers(k.Addr()), kgo.SASL(plain.Auth{User: "any", Pass: password}.AsMechanism()))
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(client.Close)
			clients[password] = client
		}
		return clients[password]
	}
	return connect, func() []Refusal {
		mu.Lock()
		defer mu.Unlock()
		return slices.Clone(all)
	}
}

// outcome is the first error that the response to a request gives.
func outcome(t *testing.T, client *kgo.Client, request kmsg.Request) error {
	t.Helper()
	response, err := client.Broker(0).Request(t.Context(), request)
	if err != nil {
		t.Fatalf("%s: %v", kmsg.NameForKey(request.Key()), err)
	}
	return errorOf(response)
}

// aboutTopic are requests for a topic by a client that has written, too.
func aboutTopic(topic string) []kmsg.Request {
	offsets := kmsg.NewPtrListOffsetsRequest()
	offsets.Topics = []kmsg.ListOffsetsRequestTopic{{Topic: topic, Partitions: []kmsg.ListOffsetsRequestTopicPartition{{Timestamp: -1}}}}
	epochs := kmsg.NewPtrOffsetForLeaderEpochRequest()
	epochs.Topics = []kmsg.OffsetForLeaderEpochRequestTopic{{Topic: topic, Partitions: []kmsg.OffsetForLeaderEpochRequestTopicPartition{{CurrentLeaderEpoch: -1}}}}
	configs := kmsg.NewPtrDescribeConfigsRequest()
	configs.Resources = []kmsg.DescribeConfigsRequestResource{{ResourceType: kmsg.ConfigResourceTypeTopic, ResourceName: topic}}
	return []kmsg.Request{fetchRequest(topic, 0), offsets, epochs, configs}
}

// changesTopic are requests that change a topic, of whose whole there is one left to delete.
func changesTopic(topic string) []kmsg.Request {
	grown := kmsg.NewPtrCreatePartitionsRequest()
	grown.Topics = []kmsg.CreatePartitionsRequestTopic{{Topic: topic, Count: 2}}
	records := kmsg.NewPtrDeleteRecordsRequest()
	records.Topics = []kmsg.DeleteRecordsRequestTopic{{Topic: topic, Partitions: []kmsg.DeleteRecordsRequestTopicPartition{{Offset: 1}}}}
	created := kmsg.NewPtrCreateTopicsRequest()
	created.Topics = []kmsg.CreateTopicsRequestTopic{{Topic: topic, NumPartitions: 1, ReplicationFactor: 1}}
	return []kmsg.Request{produceRequest(topic, -1, 1), grown, records, deleteTopic(topic), created}
}

// TestInternalTopics: an account without access to everything neither reads nor writes what services tell each other.
func TestInternalTopics(t *testing.T) {
	connect, told := testAccounts(t, false)
	for _, user := range []string{"ada", "bob"} {
		for _, request := range append(aboutTopic("secret"), changesTopic("secret")...) {
			if err := outcome(t, connect(user), request); !errors.Is(err, kerr.TopicAuthorizationFailed) {
				t.Errorf("%s of %s: %v", kmsg.NameForKey(request.Key()), user, err)
			}
		}
	}
	if n := len(told()); n != 2*9 {
		t.Errorf("told of %d refusals: %+v", n, told())
	}
	if got := told()[0]; got.Name != "ada" || got.Why != "topic" || got.Request != "Fetch secret" || !got.Denied || got.Address == "" {
		t.Errorf("told %+v", got)
	}
	for _, request := range append(aboutTopic("secret"), changesTopic("secret")...) {
		if err := outcome(t, connect("root"), request); err != nil {
			t.Errorf("%s of root: %v", kmsg.NameForKey(request.Key()), err)
		}
	}
	for _, request := range append(aboutTopic(logTopic), changesTopic(logTopic)...) {
		if err := outcome(t, connect("bob"), request); err != nil {
			t.Errorf("%s of another topic: %v", kmsg.NameForKey(request.Key()), err)
		}
	}
}

// TestMetadataOfInternalTopics: who asks for all topics gets those that he may read; who names one that he may not gets its error,
// and the others.
func TestMetadataOfInternalTopics(t *testing.T) {
	connect, told := testAccounts(t, false)
	metadata := func(user string, topics ...string) map[string]error {
		request := kmsg.NewPtrMetadataRequest()
		for _, topic := range topics {
			request.Topics = append(request.Topics, kmsg.MetadataRequestTopic{Topic: kmsg.StringPtr(topic)})
		}
		response, err := connect(user).Broker(0).Request(t.Context(), request)
		if err != nil {
			t.Fatal(err)
		}
		got := map[string]error{}
		for _, topic := range response.(*kmsg.MetadataResponse).Topics {
			got[*topic.Topic] = kerr.ErrorForCode(topic.ErrorCode)
			if (topic.ErrorCode != 0) != (len(topic.Partitions) == 0) {
				t.Errorf("%+v", topic)
			}
		}
		return got
	}
	all := metadata("ada")
	if _, hidden := all["secret"]; hidden || all[logTopic] != nil || len(all) < 2 {
		t.Errorf("all topics: %v", all)
	}
	if n := len(told()); n != 0 {
		t.Errorf("told of %d refusals", n)
	}
	if got := metadata("ada", logTopic, "secret"); !maps.Equal(got, map[string]error{logTopic: nil, "secret": kerr.TopicAuthorizationFailed}) {
		t.Errorf("two topics: %v", got)
	}
	if n := len(told()); n != 1 {
		t.Errorf("told of %d refusals", n)
	}
	if got := metadata("root"); got["secret"] != nil || len(got) < 2 {
		t.Errorf("all topics of root: %v", got)
	}
}

// TestGroupsOfAccounts: nobody changes, joins or resets a group of another's account.
func TestGroupsOfAccounts(t *testing.T) {
	connect, told := testAccounts(t, false)
	requests := func(group string) []kmsg.Request {
		join, sync, beat := kmsg.NewPtrJoinGroupRequest(), kmsg.NewPtrSyncGroupRequest(), kmsg.NewPtrHeartbeatRequest()
		leave, consumer, remove := kmsg.NewPtrLeaveGroupRequest(), kmsg.NewPtrConsumerGroupHeartbeatRequest(), kmsg.NewPtrOffsetDeleteRequest()
		join.Group, sync.Group, beat.Group, leave.Group, consumer.Group, remove.Group = group, group, group, group, group, group
		end := kmsg.NewPtrDeleteGroupsRequest()
		end.Groups = []string{group}
		return []kmsg.Request{commitRequest(group), join, sync, beat, leave, consumer, remove, end}
	}
	for _, group := range []string{"bob", "bob/report", "adam", "ada.report", ""} {
		for _, request := range requests(group) {
			if err := outcome(t, connect("ada"), request); !errors.Is(err, kerr.GroupAuthorizationFailed) {
				t.Errorf("%s of %q: %v", kmsg.NameForKey(request.Key()), group, err)
			}
		}
	}
	if n := len(told()); n != 5*8 || told()[0].Why != "group" || told()[0].Request != "OffsetCommit bob" {
		t.Errorf("told of %d refusals: %+v", n, told())
	}
	for user, group := range map[string]string{"ada": "ada", "bob": "bob/report", "root": "ada"} {
		if err := outcome(t, connect(user), commitRequest(group)); err != nil {
			t.Errorf("%s commits for %s: %v", user, group, err)
		}
	}
}

// TestAccountsThatAreWarned do all, and what they may not is told.
func TestAccountsThatAreWarned(t *testing.T) {
	connect, told := testAccounts(t, true)
	for _, request := range append(aboutTopic("secret"), commitRequest("bob")) {
		if err := outcome(t, connect("ada"), request); err != nil {
			t.Errorf("%s: %v", kmsg.NameForKey(request.Key()), err)
		}
	}
	if all := told(); len(all) != 5 || slices.ContainsFunc(all, func(r Refusal) bool { return r.Denied }) {
		t.Errorf("told %+v", all)
	}
}
