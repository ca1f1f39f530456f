// Command all-in-one is the whole of Telltale in one process: the four services, unchanged, on embedded
// components. Each component is replaced by a real server when its variable is set.
package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"strings"
	"time"
	_ "time/tzdata" // rules name time zones, also where the system has none

	_ "golang.org/x/crypto/x509roots/fallback" // authorities for TLS to servers, where the system has none: in the image

	"github.com/telltale-iot/telltale/pkg/auth"
	"github.com/telltale-iot/telltale/pkg/daemon"
	"github.com/telltale-iot/telltale/pkg/httpguard"
	"github.com/telltale-iot/telltale/pkg/kafka"
	"github.com/telltale-iot/telltale/pkg/latest"
	"github.com/telltale-iot/telltale/pkg/mapping"
	"github.com/telltale-iot/telltale/pkg/readings"
	"github.com/telltale-iot/telltale/pkg/settings"
	"github.com/telltale-iot/telltale/pkg/timeouts"
	"github.com/telltale-iot/telltale/pkg/tlsfiles"
	"github.com/telltale-iot/telltale/services/ingest-writer/rollups"
	"github.com/telltale-iot/telltale/services/mqtt-bridge/subscribe"
	"github.com/telltale-iot/telltale/services/query-api/access"
	"github.com/telltale-iot/telltale/services/query-api/newcredential"
	"github.com/telltale-iot/telltale/services/query-api/newtoken"
	"github.com/telltale-iot/telltale/services/query-api/oidc"
	"github.com/telltale-iot/telltale/services/query-api/registrar"
)

// command holds the settings of all services. Those that name a server have no default here: without
// one, the component is embedded.
type command struct {
	DataDir           string            `env:"DATA_DIR" default:"./data" help:"Folder for all data that is not on a server."`
	MQTTListenAddr    string            `env:"MQTT_LISTEN_ADDR" default:"127.0.0.1:1883" help:"Where devices connect."`
	MQTTWSListenAddr  string            `env:"MQTT_WS_LISTEN_ADDR" help:"Where devices connect by MQTT over WebSocket: nowhere without it. Pages of another origin are refused."`
	MQTTTLS           tlsfiles.Listener `envprefix:"MQTT_LISTEN_"`
	MQTTClientCA      string            `env:"MQTT_LISTEN_CLIENT_CA_FILE" help:"PEM file of the authorities that may have signed the devices' certificates; a device without such a certificate is refused then."`
	MQTTAnonymousFrom []string          `env:"MQTT_ANONYMOUS_FROM" help:"Networks (10.1.0.0/16, an address) whose devices get in without user name and password, separated by commas: those that cannot have credentials. They send for devices without credentials of their own."`
	MQTTTopics        []string          `env:"MQTT_TOPICS" help:"Filters of the topics to read, separated by commas. A topic that no rule is for is read in Telltale's own form, and the first + stands for its device. Default: the topics that the rules of MAPPINGS are for."`
	Mapping           mapping.Config
	KafkaListenAddr   string            `env:"KAFKA_LISTEN_ADDR" default:"127.0.0.1:9092" help:"Where the embedded Kafka broker listens."`
	KafkaListenWrites bool              `env:"KAFKA_LISTEN_WRITES" help:"Let clients of the embedded Kafka broker produce, and make and delete topics. Without it they read."`
	KafkaTLS          tlsfiles.Listener `envprefix:"KAFKA_LISTEN_"`
	KafkaTopic        string            `env:"KAFKA_TOPIC" default:"raw-data" help:"Topic of the readings. Dead letters go to the topic of that name with .dlq appended."`
	LogRetention      time.Duration     `env:"LOG_RETENTION" default:"24h" help:"How long the embedded Kafka broker keeps records."`
	LogMaxBytes       settings.Bytes    `env:"LOG_MAX_BYTES" default:"1073741824" help:"Most bytes of readings that the embedded Kafka broker keeps, also as 500MB, 10GB or 10GiB."`
	SealAfter         time.Duration     `env:"SEAL_AFTER" default:"2h" help:"How long after its end an hour of readings is compressed. Readings of such an hour that come later are stored all the same."`
	Retention         readings.Retention
	DataMaxBytes      settings.Bytes `env:"DATA_MAX_BYTES" default:"0" help:"Most bytes that readings and rollups in DATA_DIR take: beyond that the oldest readings are removed, a month at a time, then the oldest rollups, and at last readings of the newest month by days. A warning in the log comes at nine tenths of it. At least 100MB, also as 10GB or 10GiB. 0: as many as there are."`
	Latest            latest.TTL
	Admit             registrar.Config
	TLS               tlsfiles.Mode     `env:"TLS" help:"Certificate of the HTTP API, MQTT, MQTT over WebSocket and the embedded Kafka broker where their …_CERT_FILE names none: self (signed by an authority of Telltale's own, in DATA_DIR/tls), or off. Default: self where a listener is reached by other machines and needs credentials, else off."`
	HTTPAddr          string            `env:"HTTP_ADDR" default:"127.0.0.1:8000" help:"Address of the HTTP API."`
	HTTPTLS           tlsfiles.Listener `envprefix:"HTTP_"`
	OpsAddr           string            `env:"OPS_ADDR" default:"127.0.0.1:9100" help:"Address for health and metrics: /livez, /readyz, /metrics."`
	OpsTLS            tlsfiles.Listener `envprefix:"OPS_"`
	LogLevel          slog.Level        `env:"LOG_LEVEL" default:"info" help:"Minimum log level: debug, info, warn or error."`
	Pprof             bool              `env:"PPROF" help:"Serve profiles of the process on the operations port, under /debug/pprof/."`
	HTTP              httpguard.Config
	CORS              httpguard.CORS
	Auth              auth.Config
	OIDC              oidc.Config
	Proxies           access.Proxies
	AdminToken        access.AdminToken
	Demo              int `name:"demo" placeholder:"N" help:"Run N simulated devices, 900001 and on, which publish a reading per second each."`

	Servers `group:"Real servers instead of embedded parts"`
}

// Servers are the settings of servers in place of embedded components.
type Servers struct {
	MQTTURL      string `env:"MQTT_URL" help:"Broker to subscribe to, instead of listening for devices."`
	MQTT         subscribe.Security
	KafkaBrokers []string `env:"KAFKA_BROKERS" help:"Kafka bootstrap servers, host:port, separated by commas."`
	Kafka        kafka.Security
	MongoDBURI   string         `env:"MONGODB_URI" help:"Where readings and dead letters are stored."`
	MongoDBTLS   tlsfiles.Files `envprefix:"MONGODB_"`
	RedisURL     string         `env:"REDIS_URL" help:"Where latest readings are cached."`
	RedisTLS     tlsfiles.Files `envprefix:"REDIS_"`
	DatabaseURL  string         `env:"DATABASE_URL" help:"Where users and devices are kept: mysql:// or postgres://."`
	DatabaseTLS  tlsfiles.Files `envprefix:"DATABASE_"`
}

func main() {
	closeNew()
	if work, flags, ok := rollups.In(os.Args[1:]); ok {
		os.Args = append(os.Args[:1], flags...)
		daemon.Main(strings.TrimSpace("all-in-one rollups "+string(work)), work.About(), &rollupsCommand{work: work})
	}
	if flags, ok := newtoken.In(os.Args[1:]); ok {
		os.Args = append(os.Args[:1], flags...)
		daemon.Main("all-in-one token create", newtoken.About, new(tokenCommand))
	}
	if request, flags, ok := newcredential.In(os.Args[1:]); ok {
		os.Args = append(os.Args[:1], flags...)
		daemon.Main("all-in-one credential", newcredential.About, &credentialCommand{Request: request})
	}
	if len(os.Args) > 1 && os.Args[1] == "tail" {
		os.Args = slices.Delete(os.Args, 1, 2)
		daemon.Main("all-in-one tail", "Prints readings as they come: when, of which device, what, and how old that is.", new(tailCommand))
	}
	daemon.Main("all-in-one", "The whole of Telltale in one process, on embedded parts: an MQTT endpoint, a Kafka broker, SQLite. "+
		"Each part is replaced by a real server when its variable is set.\n\n"+
		"Commands:\n"+
		"  all-in-one rollups check\n"+
		"      Compare the rollups with the readings, while the service runs. It exits with 1 where they differ.\n"+
		"  all-in-one rollups rebuild\n"+
		"      Compute the rollups once more, while the service runs.\n"+
		"  all-in-one token create --role=ROLE [--user=NAME] [--name=TEXT] [--days=N]\n"+
		"      Print a new token, while the service runs or not. See all-in-one token create --help.\n"+
		"  all-in-one credential create --device=DEVICE\n"+
		"      Let a device in, while the service runs or not; list and delete, too. See all-in-one credential --help.\n"+
		"  all-in-one doctor\n"+
		"      Say what is wrong with settings, servers, topics, disk, clock and ports.\n"+
		"  all-in-one tail [--device=DEVICES] [--metric=METRICS] [--api=URL] [--json]\n"+
		"      Print readings as they come, until it is interrupted.", new(command))
}

// Operations gives the process the operations port of a program on a laptop: on this machine only.
func (c *command) Operations() *daemon.Flags {
	return &daemon.Flags{OpsAddr: c.OpsAddr, OpsTLS: c.OpsTLS, LogLevel: c.LogLevel, Pprof: c.Pprof, HTTP: c.HTTP}
}

// minDataBytes is the least that readings may take: a slip (10 for 10GB) would remove all but the last hours. A day of a few
// hundred devices fits, with its rollups and what is not sealed yet.
const minDataBytes settings.Bytes = 100e6

// Validate is called when the settings are read, before anything is opened.
func (c *command) Validate() error {
	if c.LogRetention <= 0 {
		return &daemon.ConfigError{Variable: "LOG_RETENTION", Value: c.LogRetention.String(), Err: errors.New("must be more than 0")}
	}
	bridge := c.bridgeConfig()
	if err := bridge.Validate(); err != nil {
		return err
	}
	if c.TLS == tlsfiles.Self {
		bridge.Listen.TLS = new(tls.Config) // there will be one
	}
	if err := bridge.Listen.Validate(); err != nil {
		return err
	}
	if err := c.validateTLS(); err != nil {
		return err
	}
	if c.MQTTWSListenAddr != "" && c.MQTTURL != "" {
		return &daemon.ConfigError{Variable: "MQTT_WS_LISTEN_ADDR", Value: c.MQTTWSListenAddr, Err: errors.New("is of no use with MQTT_URL")}
	}
	if err := c.kafkaConfig().Validate(); err != nil {
		return err
	}
	if c.LogMaxBytes <= 0 {
		return &daemon.ConfigError{Variable: "LOG_MAX_BYTES", Value: c.LogMaxBytes.String(), Err: errors.New("must be more than 0")}
	}
	if c.SealAfter < 0 {
		return &daemon.ConfigError{Variable: "SEAL_AFTER", Value: c.SealAfter.String(), Err: errors.New("must not be less than 0")}
	}
	if c.DataMaxBytes != 0 && c.DataMaxBytes < minDataBytes {
		return &daemon.ConfigError{Variable: "DATA_MAX_BYTES", Value: c.DataMaxBytes.String(), Err: fmt.Errorf("must be %v at least, or 0", minDataBytes)}
	}
	if c.DataMaxBytes > 0 && c.MongoDBURI != "" {
		return &daemon.ConfigError{Variable: "DATA_MAX_BYTES", Value: c.DataMaxBytes.String(), Err: errors.New("is of no use with MONGODB_URI")}
	}
	for variable, addr := range map[string]string{"KAFKA_LISTEN_ADDR": c.KafkaListenAddr, "HTTP_ADDR": c.HTTPAddr} {
		if err := daemon.CheckAddr(variable, addr); err != nil {
			return err
		}
	}
	return nil
}

// Run starts the components that are embedded, runs the services on them, and stops in the reverse order.
func (c *command) Run(ctx context.Context, p *daemon.Process) error {
	rules, err := c.Mapping.Load()
	if err != nil {
		return err
	}
	components, err := c.open(ctx, p)
	if errors.Is(err, context.Canceled) {
		return nil // ctx ended before all was open
	}
	if err != nil {
		return err
	}
	ctx, stop := context.WithCancel(ctx)
	closing, giveUp := context.WithCancel(context.WithoutCancel(ctx))
	defer giveUp()
	context.AfterFunc(ctx, func() { time.AfterFunc(timeouts.LogClosed, giveUp) })
	defer components.close(closing, p.Log)
	defer stop()
	first, err := c.prepareFirst(ctx, p, components, os.Stdout)
	if c.Demo > 0 && first != nil && first.mqtt && err == nil {
		components.demo, err = letDemoIn(ctx, components.metadata, c.Demo)
	}
	if ctx.Err() != nil {
		return nil
	}
	if err != nil {
		return err
	}
	p.Started()
	go func() {
		if p.Health.AwaitReady(ctx); ctx.Err() == nil {
			c.welcome(ctx, p, components, first)
		}
	}()
	return c.runServices(ctx, p, components, rules)
}
