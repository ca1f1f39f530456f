// Command query-api serves the HTTP API from MySQL or PostgreSQL, MongoDB and Redis, registers the devices
// whose readings pass on Kafka, and replays dead letters to it.
package main

import (
	"context"
	"net"
	"os"
	"slices"
	"strings"

	"golang.org/x/sync/errgroup"

	"github.com/telltale-iot/telltale/pkg/auth"
	"github.com/telltale-iot/telltale/pkg/daemon"
	"github.com/telltale-iot/telltale/pkg/deadletters"
	"github.com/telltale-iot/telltale/pkg/doctor"
	"github.com/telltale-iot/telltale/pkg/httpguard"
	"github.com/telltale-iot/telltale/pkg/iot"
	"github.com/telltale-iot/telltale/pkg/kafka"
	"github.com/telltale-iot/telltale/pkg/latest"
	"github.com/telltale-iot/telltale/pkg/mapping"
	"github.com/telltale-iot/telltale/pkg/metadata"
	"github.com/telltale-iot/telltale/pkg/mongodb"
	"github.com/telltale-iot/telltale/pkg/readings"
	"github.com/telltale-iot/telltale/pkg/report"
	"github.com/telltale-iot/telltale/pkg/tlsfiles"
	"github.com/telltale-iot/telltale/services/query-api/access"
	"github.com/telltale-iot/telltale/services/query-api/api"
	"github.com/telltale-iot/telltale/services/query-api/dynsec"
	"github.com/telltale-iot/telltale/services/query-api/newcredential"
	"github.com/telltale-iot/telltale/services/query-api/newtoken"
	"github.com/telltale-iot/telltale/services/query-api/oidc"
	"github.com/telltale-iot/telltale/services/query-api/registrar"
)

type command struct {
	daemon.Flags
	kafka.Config
	Mapping     mapping.Config
	HTTPAddr    string            `env:"HTTP_ADDR" default:":8000" help:"Address of the HTTP API."`
	HTTPTLS     tlsfiles.Listener `envprefix:"HTTP_"`
	DatabaseURL string            `env:"DATABASE_URL" default:"mysql://iot:iot@localhost:3306/iot" help:"Where users and devices are kept: mysql:// or postgres://."`
	DatabaseTLS tlsfiles.Files    `envprefix:"DATABASE_"`
	MongoDBURI  string            `env:"MONGODB_URI" default:"mongodb://localhost:27017/iot" help:"Where readings and dead letters are stored."`
	MongoDBTLS  tlsfiles.Files    `envprefix:"MONGODB_"`
	RedisURL    string            `env:"REDIS_URL" default:"redis://localhost:6379/0" help:"Where latest readings are cached."`
	RedisTLS    tlsfiles.Files    `envprefix:"REDIS_"`
	Latest      latest.TTL
	Admit       registrar.Config
	CORS        httpguard.CORS
	Auth        auth.Config
	OIDC        oidc.Config
	Proxies     access.Proxies
	Mosquitto   dynsec.Config
	tlsfiles.Word
	AdminToken access.AdminToken
}

func main() {
	if flags, ok := newtoken.In(os.Args[1:]); ok {
		os.Args = append(os.Args[:1], flags...)
		daemon.Main("query-api token create", newtoken.About, new(tokenCommand))
	}
	if request, flags, ok := newcredential.In(os.Args[1:]); ok {
		os.Args = append(os.Args[:1], flags...)
		daemon.Main("query-api credential", newcredential.About, &credentialCommand{Request: request})
	}
	daemon.Main("query-api", "Serves the HTTP API, and registers the devices whose readings pass on Kafka.\n\n"+
		"Commands:\n"+
		"  query-api token create --role=ROLE [--user=NAME] [--name=TEXT] [--days=N]\n"+
		"      Print a new token, while the service runs or not. See query-api token create --help.\n"+
		"  query-api credential create --device=DEVICE\n"+
		"      Let a device in, while the service runs or not; list and delete, too. See query-api credential --help.\n"+
		"  query-api doctor\n"+
		"      Say what is wrong with settings, servers, topics, clock and ports.", new(command))
}

// Validate is called when the settings are read.
func (c *command) Validate() error {
	if err := c.TLS.Check("HTTP_CERT_FILE", c.HTTPTLS); err != nil {
		return err
	}
	if _, err := c.AdminToken.Load(); err != nil {
		return err
	}
	_, err := c.Mapping.Load()
	return err
}

// Checks are those of query-api doctor.
func (c *command) Checks() []doctor.Check {
	checks := []doctor.Check{
		doctor.Port("HTTP_ADDR", c.HTTPAddr, c.OpsAddr),
		kafka.Examine(c.Config),
		metadata.Examine("DATABASE_URL", c.DatabaseURL, c.DatabaseTLS),
		mongodb.Examine("MONGODB_URI", c.MongoDBURI, c.MongoDBTLS),
		latest.Examine("REDIS_URL", c.RedisURL, c.RedisTLS),
		doctor.Access(c.Auth.Mode, doctor.Listener{Variable: "HTTP_ADDR", Addr: c.HTTPAddr}),
		daemon.Quiet(&c.Flags, c.Auth.Mode == auth.Warn),
	}
	if c.AdminToken == (access.AdminToken{}) && c.OIDC.Issuer == "" && c.Proxies.UserHeader == "" {
		checks = append(checks, access.ExamineAdmins(c.Auth.Mode, c.HTTPAddr, "query-api", func() (access.Admins, error) {
			return metadata.Open(c.DatabaseURL, c.DatabaseTLS)
		}))
	}
	return slices.Concat(checks, c.HTTPTLS.Examine("HTTP_"), c.OpsTLS.Examine("OPS_"))
}

func (c *command) Run(ctx context.Context, p *daemon.Process) error {
	c.ClientID = api.Name
	rules, err := c.Mapping.Load()
	if err != nil {
		return err
	}
	adminToken, err := c.AdminToken.Load()
	if err != nil {
		return err
	}
	devices, err := metadata.Open(c.DatabaseURL, c.DatabaseTLS)
	if err != nil {
		return &daemon.ConfigError{Variable: "DATABASE_URL", Value: c.DatabaseURL, Err: err}
	}
	database, _, _ := strings.Cut(c.DatabaseURL, ":") // mysql or postgres
	defer daemon.Close(p.Log, database, devices)
	stored, err := readings.Open(c.MongoDBURI, c.MongoDBTLS)
	if err != nil {
		return &daemon.ConfigError{Variable: "MONGODB_URI", Value: c.MongoDBURI, Err: err}
	}
	defer daemon.Close(p.Log, "mongodb", stored)
	deadLetters, err := deadletters.Open(c.MongoDBURI, c.MongoDBTLS)
	if err != nil {
		return &daemon.ConfigError{Variable: "MONGODB_URI", Value: c.MongoDBURI, Err: err}
	}
	defer daemon.Close(p.Log, "mongodb", deadLetters)
	cache, err := latest.Open(c.RedisURL, c.RedisTLS)
	if err != nil {
		return &daemon.ConfigError{Variable: "REDIS_URL", Value: c.RedisURL, Err: err}
	}
	defer daemon.Close(p.Log, "redis", cache)
	secured, err := c.HTTPTLS.Config(p.Log)
	if err != nil {
		return err
	}
	listener, err := daemon.Listen("HTTP_ADDR", c.HTTPAddr)
	if err != nil {
		return err
	}
	p.Started()
	p.Health.Expect("kafka ("+api.Name+")", "kafka ("+registrar.Group+")")
	p.Health.Register(ctx, database, devices)
	p.Health.Register(ctx, "mongodb", stored)
	p.Health.Register(ctx, "redis", cache)

	mosquitto, err := dynsec.New(c.Mosquitto, devices, rules, p.Log, p.Metrics)
	if err != nil {
		return err
	}
	stores := api.Stores{Metadata: devices, Accounts: devices, Readings: stored, Latest: cache, DeadLetters: deadLetters}
	g, ctx := errgroup.WithContext(ctx)
	settings := api.Settings{
		Kafka: c.Config, Rules: rules, OfflineAfter: c.Latest.TTL, CORS: c.CORS, TLS: secured, Auth: c.Auth, OIDC: c.OIDC, Proxies: c.Proxies,
		Mosquitto: mosquitto, AdminToken: adminToken,
	}
	if secured == nil && c.TLS != tlsfiles.Off {
		settings.Before = func(ctx context.Context) error { return c.checkClear(ctx, p, listener.Addr(), devices) }
	}
	g.Go(func() error { return api.Run(ctx, p, settings, stores, listener) })
	g.Go(func() error { return mosquitto.Run(ctx) })
	g.Go(func() error { return registrar.Run(ctx, p, c.Config, c.Admit, devices, 0) })
	g.Go(func() error { return report.Run(ctx, p, c.Config, api.Reported) })
	return g.Wait()
}

// checkClear is waited for before anything is served. It returns an error where passwords and tokens would pass a network in the clear. That may depend on what the database
// says of the site, which is waited for.
func (c *command) checkClear(ctx context.Context, p *daemon.Process, listener net.Addr, store iot.AccessStore) error {
	clear, err := c.Auth.Mode.InClear(listener, func() (moved bool, err error) {
		err = p.Health.Await(ctx, p.Log, "whether the site is from before there were accounts", func(ctx context.Context) error {
			moved, err = store.Moved(ctx)
			return err
		})
		if moved {
			p.Log.Warn("passwords and tokens pass the network in the clear, as the site is from before there were accounts: name a certificate by HTTP_CERT_FILE when its clients can do TLS")
		}
		return moved, err
	})
	switch {
	case ctx.Err() != nil:
		return nil
	case err != nil || !clear:
		return err
	}
	return tlsfiles.ErrInClear(listener, "HTTP_ADDR", "HTTP_CERT_FILE")
}
