// Command cache-updater keeps each device's latest value in Redis: the newest of each metric and attribute.
package main

import (
	"context"

	"golang.org/x/sync/errgroup"

	"github.com/telltale-iot/telltale/pkg/daemon"
	"github.com/telltale-iot/telltale/pkg/doctor"
	"github.com/telltale-iot/telltale/pkg/kafka"
	"github.com/telltale-iot/telltale/pkg/latest"
	"github.com/telltale-iot/telltale/pkg/report"
	"github.com/telltale-iot/telltale/pkg/tlsfiles"
	"github.com/telltale-iot/telltale/services/cache-updater/updater"
)

type command struct {
	daemon.Flags
	kafka.Config
	RedisURL string         `env:"REDIS_URL" default:"redis://localhost:6379/0" help:"Where latest readings are cached."`
	RedisTLS tlsfiles.Files `envprefix:"REDIS_"`
	Latest   latest.TTL
}

func main() {
	daemon.Main("cache-updater", "Keeps each device's latest value in Redis.\n\n"+
		"Commands:\n"+
		"  cache-updater doctor\n"+
		"      Say what is wrong with settings, servers, topics, clock and ports.", new(command))
}

// Checks are those of cache-updater doctor.
func (c *command) Checks() []doctor.Check {
	return []doctor.Check{kafka.Examine(c.Config), latest.Examine("REDIS_URL", c.RedisURL, c.RedisTLS)}
}

func (c *command) Run(ctx context.Context, p *daemon.Process) error {
	cache, err := latest.Open(c.RedisURL, c.RedisTLS)
	if err != nil {
		return &daemon.ConfigError{Variable: "REDIS_URL", Value: c.RedisURL, Err: err}
	}
	defer daemon.Close(p.Log, "redis", cache)
	c.ClientID = updater.Group
	p.Started()
	p.Health.Expect("kafka (" + updater.Group + ")")
	p.Health.Register(ctx, "redis", cache)
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return updater.Run(ctx, p, c.Config, cache, c.Latest.TTL) })
	g.Go(func() error { return report.Run(ctx, p, c.Config, updater.Reported) })
	return g.Wait()
}
