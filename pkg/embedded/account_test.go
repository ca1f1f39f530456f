package embedded

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
	"github.com/twmb/franz-go/pkg/sasl"
	"github.com/twmb/franz-go/pkg/sasl/plain"
	"github.com/twmb/franz-go/pkg/sasl/scram"
)

// TestAccounts: who comes from outside may do what his account may, and nothing without one.
func TestAccounts(t *testing.T) {
	var gone atomic.Bool
	k, err := StartKafka(KafkaConfig{
		Addr: "127.0.0.1:0", Writes: true, Log: testLog(t),
		Account: func(_ context.Context, secret string) Access {
			switch {
			case secret == "reader":
				return Reads
			case secret == "writer" && !gone.Load():
				return ReadsAndWrites
			}
			return Nothing
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
