package main

import (
	"errors"
	"log/slog"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/telltale-iot/telltale/pkg/daemon"
)

func TestBackfillSettingsThatCannotWork(t *testing.T) {
	const noon, one = "2026-01-02T12:00:00Z", "2026-01-02T13:00:00+00:00"
	tests := []struct {
		name     string
		command  backfill
		variable string
	}{
		{"no time to begin with", backfill{MongoDBURI: "mongodb://localhost/iot"}, "--from"},
		{"a time without a zone", backfill{From: "2026-01-02T12:00:00", MongoDBURI: "mongodb://localhost/iot"}, "--from"},
		{"an end that is no time", backfill{From: noon, To: "now", MongoDBURI: "mongodb://localhost/iot"}, "--to"},
		{"an end before the beginning", backfill{From: one, To: noon, MongoDBURI: "mongodb://localhost/iot"}, "--to"},
		{"a URL of something else", backfill{From: noon, To: one, MongoDBURI: "http://localhost"}, "MONGODB_URI"},
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
