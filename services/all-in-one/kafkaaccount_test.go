package main

import (
	"strings"
	"testing"

	"github.com/telltale-iot/telltale/pkg/kafka"
)

// TestKafkaAccount reads topics of the embedded Kafka with a token as the password, and not without.
func TestKafkaAccount(t *testing.T) {
	t.Parallel()
	s, dir := freeAddrs(t), t.TempDir()
	s["AUTH"] = "on"
	p := start(t, dir, s)
	if err := p.WaitReady(t.Context()); err != nil {
		t.Fatal(err)
	}
	token, _, exit := createToken(t, dir, "create", "--role=viewer")
	if exit != 0 {
		t.Fatal("no token")
	}
	look := func(password string) error {
		cfg := kafka.Config{Brokers: []string{s["KAFKA_LISTEN_ADDR"]}, Topic: "raw-data"}
		if password != "" {
			cfg.Security = kafka.Security{Username: "token", Password: password, Mechanism: "PLAIN"}
		}
		client, err := kafka.NewClient(cfg)
		if err != nil {
			return err
		}
		defer func() { _ = client.Close() }()
		_, err = client.Partitions(cfg.Topic)
		return err
	}
	for _, password := range []string{"", "tt_guessed"} {
		if err := look(password); err == nil {
			t.Errorf("the topic is shown to who shows %q", password)
		}
	}
	if err := look(strings.TrimSpace(token)); err != nil {
		t.Error(err)
	}
	if err := p.Stop(); err != nil {
		t.Error(err)
	}
}
