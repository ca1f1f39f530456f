package kafka

import (
	"cmp"
	"errors"

	"github.com/IBM/sarama"
	"github.com/xdg-go/scram"

	"github.com/telltale-iot/telltale/pkg/settings"
	"github.com/telltale-iot/telltale/pkg/tlsfiles"
)

// Security is how clients and brokers prove who they are. The zero value is for brokers without TLS and SASL.
type Security struct {
	TLS       bool           `env:"KAFKA_TLS" help:"Use TLS to the brokers."`
	Files     tlsfiles.Files `envprefix:"KAFKA_"`
	Username  string         `env:"KAFKA_USERNAME" help:"User name for SASL."`
	Password  string         `env:"KAFKA_PASSWORD" help:"Password for SASL."`
	Mechanism string         `env:"KAFKA_SASL_MECHANISM" default:"SCRAM-SHA-512" help:"SASL mechanism: PLAIN, SCRAM-SHA-256 or SCRAM-SHA-512."`
}

// Validate returns the first setting that cannot work as a *settings.Error.
func (s Security) Validate() error {
	switch {
	case s.Files.Set() && !s.TLS:
		file := cmp.Or(s.Files.CA, s.Files.Cert, s.Files.Key)
		return &settings.Error{Variable: "KAFKA_TLS", Value: "", Err: errors.New("must be true when a file for TLS is given: " + file)}
	case (s.Username == "") != (s.Password == ""):
		return &settings.Error{Variable: "KAFKA_USERNAME", Value: s.Username, Err: errors.New("must be given together with KAFKA_PASSWORD")}
	}
	switch s.Mechanism {
	case sarama.SASLTypePlaintext, sarama.SASLTypeSCRAMSHA256, sarama.SASLTypeSCRAMSHA512:
		return nil
	default:
		return &settings.Error{Variable: "KAFKA_SASL_MECHANISM", Value: s.Mechanism, Err: errors.New("must be PLAIN, SCRAM-SHA-256 or SCRAM-SHA-512")}
	}
}

// logIn has sc log in. TLS is the dialer's.
func (s Security) logIn(sc *sarama.Config) {
	if s.Username == "" {
		return
	}
	sasl := &sc.Net.SASL
	sasl.Enable, sasl.User, sasl.Password, sasl.Mechanism = true, s.Username, s.Password, sarama.SASLMechanism(s.Mechanism)
	switch s.Mechanism {
	case sarama.SASLTypeSCRAMSHA256:
		sasl.SCRAMClientGeneratorFunc = func() sarama.SCRAMClient { return &scramClient{hash: scram.SHA256} }
	case sarama.SASLTypeSCRAMSHA512:
		sasl.SCRAMClientGeneratorFunc = func() sarama.SCRAMClient { return &scramClient{hash: scram.SHA512} }
	}
}

// scramClient proves to a broker that it knows a password, and has the broker prove that it does.
type scramClient struct {
	hash scram.HashGeneratorFcn
	*scram.ClientConversation
}

// Begin begins the conversation, of which Step and Done are the rest.
func (c *scramClient) Begin(user, password, authzID string) error {
	client, err := c.hash.NewClient(user, password, authzID)
	if err != nil {
		return err
	}
	c.ClientConversation = client.NewConversation()
	return nil
}
