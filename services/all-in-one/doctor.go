package main

import (
	"slices"

	"github.com/telltale-iot/telltale/pkg/auth"
	"github.com/telltale-iot/telltale/pkg/daemon"
	"github.com/telltale-iot/telltale/pkg/doctor"
	"github.com/telltale-iot/telltale/pkg/kafka"
	"github.com/telltale-iot/telltale/pkg/latest"
	"github.com/telltale-iot/telltale/pkg/metadata"
	"github.com/telltale-iot/telltale/pkg/mongodb"
	"github.com/telltale-iot/telltale/services/query-api/access"
)

// Checks are those of all-in-one doctor: of the embedded parts their ports and their folder, and of servers what the services' own
// doctors look at.
func (c *command) Checks() []doctor.Check {
	checks := []doctor.Check{doctor.Dir("DATA_DIR", c.DataDir), doctor.Port("HTTP_ADDR", c.HTTPAddr, c.OpsAddr)}
	if c.MQTTURL == "" {
		checks = append(checks, doctor.Port("MQTT_LISTEN_ADDR", c.MQTTListenAddr, c.OpsAddr))
	} else {
		checks = append(checks, c.bridgeConfig().Broker.Examine())
	}
	if c.MQTTWSListenAddr != "" {
		checks = append(checks, doctor.Port("MQTT_WS_LISTEN_ADDR", c.MQTTWSListenAddr, c.OpsAddr))
	}
	if len(c.KafkaBrokers) == 0 {
		checks = append(checks, doctor.Port("KAFKA_LISTEN_ADDR", c.KafkaListenAddr, c.OpsAddr))
	} else {
		cfg := c.kafkaConfig()
		cfg.Security = c.Kafka
		checks = append(checks, kafka.Examine(cfg))
	}
	if c.MongoDBURI != "" {
		checks = append(checks, mongodb.Examine("MONGODB_URI", c.MongoDBURI, c.MongoDBTLS))
	}
	if c.DatabaseURL != "" {
		checks = append(checks, metadata.Examine("DATABASE_URL", c.DatabaseURL, c.DatabaseTLS))
	}
	if c.RedisURL != "" {
		checks = append(checks, latest.Examine("REDIS_URL", c.RedisURL, c.RedisTLS))
	}
	return slices.Concat(checks, c.HTTPTLS.Examine("HTTP_"), c.MQTTTLS.Examine("MQTT_LISTEN_"), c.KafkaTLS.Examine("KAFKA_LISTEN_"), c.OpsTLS.Examine("OPS_"), c.accessChecks())
}

// accessChecks are those of who gets in.
func (c *command) accessChecks() []doctor.Check {
	listeners := []doctor.Listener{{Variable: "HTTP_ADDR", Addr: c.HTTPAddr}}
	if c.MQTTURL == "" {
		listeners = append(listeners, doctor.Listener{Variable: "MQTT_LISTEN_ADDR", Addr: c.MQTTListenAddr}, doctor.Listener{Variable: "MQTT_WS_LISTEN_ADDR", Addr: c.MQTTWSListenAddr})
	}
	if len(c.KafkaBrokers) == 0 {
		listeners = append(listeners, doctor.Listener{Variable: "KAFKA_LISTEN_ADDR", Addr: c.KafkaListenAddr})
	}
	checks := []doctor.Check{doctor.Access(c.Auth.Mode, listeners...), daemon.Quiet(c.Operations(), c.Auth.Mode == auth.Warn)}
	if c.AdminToken == (access.AdminToken{}) && c.OIDC.Issuer == "" && c.Proxies.UserHeader == "" {
		checks = append(checks, access.ExamineAdmins(c.Auth.Mode, c.HTTPAddr, "all-in-one", func() (access.Admins, error) {
			database := Database{DataDir: c.DataDir, DatabaseURL: c.DatabaseURL, DatabaseTLS: c.DatabaseTLS}
			return database.open()
		}))
	}
	return checks
}
