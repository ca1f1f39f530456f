package kafka_test

import (
	"bytes"
	"crypto/tls"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/twmb/franz-go/pkg/kfake"

	"github.com/telltale-iot/telltale/pkg/kafka"
	"github.com/telltale-iot/telltale/pkg/kafka/kafkatest"
	"github.com/telltale-iot/telltale/pkg/kafka/producer"
	"github.com/telltale-iot/telltale/pkg/tlsfiles"
	"github.com/telltale-iot/telltale/pkg/tlsfiles/tlsfilestest"
)

var mechanisms = []string{"PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"}

// secured starts a broker that speaks TLS only and knows one user by every mechanism, and returns what a
// client of it needs.
func secured(t *testing.T) ([]string, kafka.Security) {
	t.Helper()
	ca := tlsfilestest.New(t)
	cert, key := ca.Write(t, t.TempDir(), "broker", "127.0.0.1")
	pair, err := tls.LoadX509KeyPair(cert, key)
	if err != nil {
		t.Fatal(err)
	}
	options := []kfake.Opt{kfake.TLS(&tls.Config{Certificates: []tls.Certificate{pair}}), kfake.EnableSASL()}
	for _, mechanism := range mechanisms {
		options = append(options, kfake.Superuser(mechanism, "telltale", "hunter2"))
	}
	return kafkatest.Fake(t, options...).ListenAddrs(), kafka.Security{
		TLS: true, Files: tlsfiles.Files{CA: ca.WriteCA(t, t.TempDir())}, Username: "telltale", Password: "hunter2",
	}
}

func TestSecuredBroker(t *testing.T) {
	t.Parallel()
	brokers, security := secured(t)
	for _, mechanism := range mechanisms {
		t.Run("records go to it and come from it by "+mechanism, func(t *testing.T) {
			t.Parallel()
			security := security
			security.Mechanism = mechanism
			cfg := kafka.Config{Brokers: brokers, Topic: "readings-" + mechanism, Partitions: 2, Security: security}
			if err := kafka.EnsureTopics(t.Context(), cfg, kafkatest.Logger(t)); err != nil {
				t.Fatal(err)
			}
			p := producer.New(cfg, kafkatest.Logger(t), prometheus.NewRegistry())
			kafkatest.Start(t, p.Run)
			j := newJournal(t)
			c := kafka.NewConsumer(kafka.GroupConfig{Config: cfg, Group: mechanism, MaxBatch: 10}, j.handle, kafkatest.Logger(t), prometheus.NewRegistry())
			kafkatest.Start(t, c.Run)
			if err := kafkatest.Send(t.Context(), p, kafka.Record{Topic: cfg.Topic, Value: []byte("1")}); err != nil {
				t.Fatal(err)
			}
			kafkatest.Eventually(t, 20*time.Second, "the record is handled", func() bool { records, _ := j.distinct(); return records == 1 })
		})
	}
}

// A wrong password is tried out on a real broker (deploy/acceptance/secured): the fake one says nothing and
// hangs up.
func TestRefusedBroker(t *testing.T) {
	t.Parallel()
	brokers, right := secured(t)
	right.Mechanism = "SCRAM-SHA-512"
	tests := []struct {
		name   string
		change func(*kafka.Security)
		line   string // part of what Check and the log say
	}{
		{"an authority that is not the broker's", func(s *kafka.Security) { s.Files.CA = tlsfilestest.New(t).WriteCA(t, t.TempDir()) }, "unknown authority"},
		{"a CA file that is gone", func(s *kafka.Security) { s.Files.CA = "/no/such/ca.pem" }, "/no/such/ca.pem"},
	}
	for _, tt := range tests {
		t.Run(tt.name+" is named, in the log too", func(t *testing.T) {
			t.Parallel()
			security := right
			tt.change(&security)
			var log bytes.Buffer
			cfg := kafka.Config{Brokers: brokers, Topic: "readings", Partitions: 1, Security: security}
			p := producer.New(cfg, slog.New(slog.NewTextHandler(&log, nil)), prometheus.NewRegistry())
			stop := kafkatest.Start(t, p.Run)
			kafkatest.Eventually(t, 10*time.Second, "Check names it", func() bool {
				err := p.Check(t.Context())
				return err != nil && strings.Contains(err.Error(), tt.line)
			})
			stop()
			if !strings.Contains(log.String(), tt.line) {
				t.Errorf("the log: %s", log.String())
			}
		})
	}
}

func TestSecuritySettings(t *testing.T) {
	tests := []struct {
		name     string
		security kafka.Security
		variable string // that the error names
	}{
		{"no security is fine", kafka.Security{Mechanism: "PLAIN"}, ""},
		{"a password without a name", kafka.Security{Mechanism: "PLAIN", Password: "hunter2"}, "KAFKA_USERNAME"},
		{"a name without a password", kafka.Security{Mechanism: "PLAIN", Username: "telltale"}, "KAFKA_USERNAME"},
		{"a mechanism that is none", kafka.Security{Mechanism: "scram"}, "KAFKA_SASL_MECHANISM"},
		{"a file for TLS without TLS", kafka.Security{Mechanism: "PLAIN", Files: tlsfiles.Files{CA: "ca.pem"}}, "KAFKA_TLS"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			err := tt.security.Validate()
			if (err == nil) != (tt.variable == "") || err != nil && !strings.HasPrefix(err.Error(), tt.variable+"=") {
				t.Errorf("%v, want an error of %q", err, tt.variable)
			}
			if err != nil && strings.Contains(err.Error(), "hunter2") {
				t.Errorf("%v", err)
			}
		})
	}
}
