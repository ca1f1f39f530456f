package main

import (
	"errors"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/telltale-iot/telltale/pkg/daemon"
	"github.com/telltale-iot/telltale/pkg/readings"
)

func TestRollupsSettingsThatCannotWork(t *testing.T) {
	log, metrics := slog.New(slog.DiscardHandler), prometheus.NewRegistry()
	if err := (&rollupsCommand{work: "mend"}).Validate(); err == nil {
		t.Error("another work than there is is taken")
	}
	err := (&rollupsCommand{MongoDBURI: "http://localhost"}).Run(t.Context(), &daemon.Process{Log: log, Metrics: metrics, Health: daemon.NewHealth(log, metrics)})
	var config *daemon.ConfigError
	if !errors.As(err, &config) || config.Variable != "MONGODB_URI" {
		t.Errorf("got %v, want an error of MONGODB_URI", err)
	}
}

func TestRetention(t *testing.T) {
	const daily = 24 * time.Hour
	for _, c := range []struct {
		readings, rollups time.Duration
		said              string // in the error
	}{
		{0, 0, ""},
		{30 * daily, 0, ""},
		{30 * daily, 30 * daily, ""},
		{time.Hour, 0, "RETENTION_READINGS"},
		{-daily, 0, "RETENTION_READINGS"},
		{30 * daily, 29 * daily, `RETENTION_ROLLUPS="696h0m0s": must not be shorter`},
		{0, 30 * daily, `RETENTION_ROLLUPS="720h0m0s": is of no use without RETENTION_READINGS`},
	} {
		err := (readings.Retention{Readings: c.readings, Rollups: c.rollups}).Validate()
		if c.said == "" && err != nil || c.said != "" && (err == nil || !strings.Contains(err.Error(), c.said)) {
			t.Errorf("%v and %v: %v, want %q", c.readings, c.rollups, err, c.said)
		}
	}
}
