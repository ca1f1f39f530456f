package main

import (
	"errors"
	"log/slog"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/telltale-iot/telltale/pkg/daemon"
)

func TestSettingsThatCannotWork(t *testing.T) {
	tests := []struct {
		name     string
		command  command
		variable string
	}{
		{"a URL of something else", command{RedisURL: "http://localhost"}, "REDIS_URL"},
		{"a URL with no port number", command{RedisURL: "redis://localhost:port"}, "REDIS_URL"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			log, metrics := slog.New(slog.DiscardHandler), prometheus.NewRegistry()
			err := tt.command.Run(t.Context(), &daemon.Process{Log: log, Metrics: metrics, Health: daemon.NewHealth(log, metrics)})
			var config *daemon.ConfigError
			if !errors.As(err, &config) || config.Variable != tt.variable {
				t.Errorf("got %v, want an error of %s", err, tt.variable)
			}
		})
	}
}
