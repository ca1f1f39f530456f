package producer_test

import (
	"testing"

	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/telltale-iot/telltale/pkg/kafka"
	"github.com/telltale-iot/telltale/pkg/kafka/kafkatest"
	"github.com/telltale-iot/telltale/pkg/kafka/producer"
)

// TestProducerDurability looks at what the producer asks for, since one broker alone answers the same to less.
func TestProducerDurability(t *testing.T) {
	t.Parallel()
	cluster := kafkatest.Fake(t)
	cfg := kafkatest.NewTopic(t, cluster.ListenAddrs(), 1)
	requests := make(chan *kmsg.ProduceRequest, 100)
	cluster.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Produce}, When: func(r kmsg.Request) bool {
		requests <- r.(*kmsg.ProduceRequest)
		return false
	}})
	p := producer.New(cfg, kafkatest.Logger(t), nil)
	kafkatest.Start(t, p.Run)
	if err := kafkatest.Send(t.Context(), p, kafka.Record{Topic: cfg.Topic, Value: []byte("x")}); err != nil {
		t.Fatal(err)
	}
	const allInSync = -1
	if acks := (<-requests).Acks; acks != allInSync {
		t.Errorf("acks is %d, want %d: all in-sync replicas", acks, allInSync)
	}
}
