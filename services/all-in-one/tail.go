package main

import (
	"context"
	"log/slog"
	"os"

	"github.com/telltale-iot/telltale/pkg/apiclient"
	"github.com/telltale-iot/telltale/pkg/daemon"
)

// tailCommand is the program `all-in-one tail`, which `telltale tail` is too.
type tailCommand struct {
	API     string   `name:"api" env:"TELLTALE_URL" default:"http://localhost:8000" help:"Where Telltale is."`
	Token   string   `env:"TELLTALE_TOKEN" help:"Token to show, where Telltale asks for one."`
	CA      string   `name:"ca-file" env:"TELLTALE_CA_FILE" help:"PEM file of the authorities to trust instead of the system's."`
	Devices []string `name:"device" placeholder:"DEVICES" help:"Only of these devices, by id or key, separated by commas."`
	Metrics []string `name:"metric" placeholder:"METRICS" help:"Only with one of these metrics, separated by commas."`
	JSON    bool     `name:"json" help:"Print them as NDJSON, as the API has them."`
}

// Operations gives it an operations port that collides with no service on the same machine.
func (c *tailCommand) Operations() *daemon.Flags {
	return &daemon.Flags{OpsAddr: "127.0.0.1:0", LogLevel: slog.LevelWarn}
}

// Run prints readings as they come, until ctx ends.
func (c *tailCommand) Run(ctx context.Context, _ *daemon.Process) error {
	t := apiclient.Tail{
		Client: apiclient.Client{URL: c.API, Token: c.Token, CA: c.CA}, Devices: c.Devices, Metrics: c.Metrics, JSON: c.JSON, Out: os.Stdout, Err: os.Stderr,
	}
	if err := t.Trust(); err != nil {
		return &daemon.ConfigError{Variable: "TELLTALE_CA_FILE", Value: c.CA, Err: err}
	}
	return t.Run(ctx)
}
