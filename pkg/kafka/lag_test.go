package kafka_test

import (
	"context"
	"errors"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/telltale-iot/telltale/pkg/kafka"
	"github.com/telltale-iot/telltale/pkg/kafka/kafkatest"
)

func TestLag(t *testing.T) {
	t.Parallel()
	t.Run("a batch that fails is in flight, and is released when its partition is let go", func(t *testing.T) {
		t.Parallel()
		cluster := kafkatest.Fake(t)
		cfg := groupConfig(kafkatest.NewTopic(t, cluster.ListenAddrs(), 1))
		var released atomic.Int64
		cfg.Released = func(batch []kafka.Record) { released.Add(int64(len(batch))) }
		failed := make(chan struct{}, 1)
		metrics := prometheus.NewRegistry()
		c := kafka.NewConsumer(cfg, func(_ context.Context, batch []kafka.Record) error {
			if string(batch[0].Value) == "0" {
				return nil
			}
			select {
			case failed <- struct{}{}:
			default:
			}
			return errors.New("away")
		}, kafkatest.Logger(t), metrics)
		produce(t, cfg.Config, 1)
		stop := kafkatest.Start(t, c.Run)
		kafkatest.Eventually(t, kafkatest.Timeout, "the first record is resolved", func() bool {
			return kafkatest.Metric(t, metrics, "telltale_kafka_consumer_records_total") == 1
		})
		send(t, cfg.Config, kafka.Record{Topic: cfg.Topic, Value: []byte("poison")})
		<-failed
		if n := kafkatest.Metric(t, metrics, "telltale_kafka_consumer_in_flight_records"); n != 1 {
			t.Errorf("%v records are in flight, want 1", n)
		}
		if state := c.State(); !strings.Contains(state, "1 records behind") || !strings.Contains(state, "1 being handled") {
			t.Errorf("state: %s", state)
		}
		stop()
		if n := released.Load(); n != 1 {
			t.Errorf("%d records were released, want the 1 that failed", n)
		}
	})

	t.Run("records that the broker does not hand out get old, too", func(t *testing.T) {
		t.Parallel()
		cluster := kafkatest.Fake(t, kfake.SleepOutOfOrder())
		cfg := groupConfig(kafkatest.NewTopic(t, cluster.ListenAddrs(), 1))
		cfg.Hurry()
		hang := make(chan struct{})
		cluster.ControlKey(int16(kmsg.Fetch), func(kmsg.Request) (kmsg.Response, error, bool) {
			cluster.KeepControl()
			cluster.SleepControl(func() { <-hang })
			return nil, nil, false
		})
		metrics := prometheus.NewRegistry()
		j := newJournal(t)
		c := kafka.NewConsumer(cfg, j.handle, kafkatest.Logger(t), metrics)
		kafkatest.Start(t, c.Run)
		kafkatest.Eventually(t, kafkatest.Timeout, "the group is joined", func() bool { return c.Check(t.Context()) == nil })
		produce(t, cfg.Config, 10)
		kafkatest.Eventually(t, kafkatest.Timeout, "10 records are a second old", func() bool {
			return kafkatest.Metric(t, metrics, "telltale_kafka_consumer_lag_seconds") > 1 &&
				kafkatest.Metric(t, metrics, "telltale_kafka_consumer_lag_records") == 10
		})
		close(hang)
		j.waitFor(t, 10)
		kafkatest.Eventually(t, kafkatest.Timeout, "there is no lag", func() bool {
			return kafkatest.Metric(t, metrics, "telltale_kafka_consumer_lag_seconds") == 0
		})
	})
}
