package kafka_test

import (
	"errors"
	"testing"
	"time"

	"github.com/telltale-iot/telltale/pkg/kafka"
	"github.com/telltale-iot/telltale/pkg/settings"
)

func TestValidate(t *testing.T) {
	for _, tt := range []struct {
		name     string
		change   func(*kafka.Config)
		variable string // that the error names; "" for none
	}{
		{"names, IPv4 and IPv6", func(c *kafka.Config) { c.Brokers = []string{"kafka:9092", "127.0.0.1:9092", "[::1]:9092"} }, ""},
		{"no brokers, as long as they are embedded", func(c *kafka.Config) { c.Brokers = nil }, ""},
		{"a comma alone", func(c *kafka.Config) { c.Brokers = []string{"", ""} }, "KAFKA_BROKERS"},
		{"a broker without a port", func(c *kafka.Config) { c.Brokers = []string{"kafka:9092", "kafka"} }, "KAFKA_BROKERS"},
		{"a broker without a host", func(c *kafka.Config) { c.Brokers = []string{":9092"} }, "KAFKA_BROKERS"},
		{"a port that is no number", func(c *kafka.Config) { c.Brokers = []string{"kafka:bar"} }, "KAFKA_BROKERS"},
		{"no topic", func(c *kafka.Config) { c.Topic = "" }, "KAFKA_TOPIC"},
		{"a topic with a space", func(c *kafka.Config) { c.Topic = "raw data" }, "KAFKA_TOPIC"},
		{"a topic that is a folder's name", func(c *kafka.Config) { c.Topic = ".." }, "KAFKA_TOPIC"},
		{"no partitions", func(c *kafka.Config) { c.Partitions = 0 }, "KAFKA_PARTITIONS"},
		{"no replicas", func(c *kafka.Config) { c.Replication = 0 }, "KAFKA_REPLICATION"},
		{"a retention that has passed", func(c *kafka.Config) { c.Retention = -time.Hour }, "KAFKA_RETENTION"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			cfg := kafka.Config{Brokers: []string{"kafka:9092"}, Topic: "raw-data", Partitions: 12, Replication: -1, Retention: time.Hour}
			tt.change(&cfg)
			err := cfg.Validate()
			var wrong *settings.Error
			switch {
			case tt.variable == "" && err != nil:
				t.Error(err)
			case tt.variable != "" && (!errors.As(err, &wrong) || wrong.Variable != tt.variable):
				t.Errorf("got %v, want an error about %s", err, tt.variable)
			}
		})
	}
}
