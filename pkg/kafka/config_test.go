package kafka_test

import (
	"errors"
	"testing"

	"github.com/telltale-iot/telltale/pkg/kafka"
	"github.com/telltale-iot/telltale/pkg/settings"
)

func TestValidate(t *testing.T) {
	for _, tt := range []struct {
		name     string
		brokers  []string
		topic    string
		variable string // that the error names; "" for none
	}{
		{"names, IPv4 and IPv6", []string{"kafka:9092", "127.0.0.1:9092", "[::1]:9092"}, "raw-data", ""},
		{"no brokers, as long as they are embedded", nil, "raw-data", ""},
		{"a comma alone", []string{"", ""}, "raw-data", "KAFKA_BROKERS"},
		{"a broker without a port", []string{"kafka:9092", "kafka"}, "raw-data", "KAFKA_BROKERS"},
		{"a broker without a host", []string{":9092"}, "raw-data", "KAFKA_BROKERS"},
		{"no topic", nil, "", "KAFKA_TOPIC"},
		{"a topic with a space", nil, "raw data", "KAFKA_TOPIC"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			err := kafka.Config{Brokers: tt.brokers, Topic: tt.topic}.Validate()
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
