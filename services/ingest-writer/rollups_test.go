package main

import (
	"errors"
	"log/slog"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/telltale-iot/telltale/pkg/daemon"
	"github.com/telltale-iot/telltale/pkg/readings"
)

func TestRollupsSettingsThatCannotWork(t *testing.T) {
	log, metrics := slog.New(slog.DiscardHandler), prometheus.NewRegistry()
	err := (&rollups{MongoDBURI: "http://localhost"}).Run(t.Context(), &daemon.Process{Log: log, Metrics: metrics, Health: daemon.NewHealth(log, metrics)})
	var config *daemon.ConfigError
	if !errors.As(err, &config) || config.Variable != "MONGODB_URI" {
		t.Errorf("got %v, want an error of MONGODB_URI", err)
	}
}

func TestRetention(t *testing.T) {
	const daily = 24 * time.Hour
	for _, c := range []struct {
		readings, rollups time.Duration
		variable          string // that is wrong
	}{
		{0, 0, ""},
		{30 * daily, 0, ""},
		{30 * daily, 30 * daily, ""},
		{time.Hour, 0, "RETENTION_READINGS"},
		{-daily, 0, "RETENTION_READINGS"},
		{30 * daily, 29 * daily, "RETENTION_ROLLUPS"},
		{0, 30 * daily, "RETENTION_ROLLUPS"},
	} {
		variable := ""
		var wrong *daemon.ConfigError
		if err := (readings.Retention{Readings: c.readings, Rollups: c.rollups}).Validate(); errors.As(err, &wrong) {
			variable = wrong.Variable
		}
		if variable != c.variable {
			t.Errorf("%v and %v: %q is wrong, want %q", c.readings, c.rollups, variable, c.variable)
		}
	}
}
