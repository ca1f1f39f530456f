package postgres

import (
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/telltale-iot/telltale/pkg/settings"
	"github.com/telltale-iot/telltale/pkg/tlsfiles"
)

func TestURL(t *testing.T) {
	for _, scheme := range []string{"postgres", "postgresql"} {
		cfg, err := config(scheme + "://i%40t:p%40ss%2F@db.example:5433/telltale?sslmode=require&application_name=telltale")
		if err != nil {
			t.Fatal(err)
		}
		if cfg.Host != "db.example" || cfg.Port != 5433 || cfg.User != "i@t" || cfg.Password != "p@ss/" || cfg.Database != "telltale" {
			t.Errorf("%s:%d as %q with %q, database %q", cfg.Host, cfg.Port, cfg.User, cfg.Password, cfg.Database)
		}
		if cfg.TLSConfig == nil || cfg.RuntimeParams["application_name"] != "telltale" {
			t.Errorf("TLS %v, parameters %v", cfg.TLSConfig, cfg.RuntimeParams)
		}
	}
}

func TestParameters(t *testing.T) {
	cfg, err := config("postgres://db.example/telltale?connect_timeout=3&default_query_exec_mode=simple_protocol&standard_conforming_strings=off")
	if err != nil {
		t.Fatal(err)
	}
	if cfg.ConnectTimeout != 3*time.Second {
		t.Errorf("connect timeout %v", cfg.ConnectTimeout)
	}
	// What the store relies on cannot be changed.
	if cfg.DefaultQueryExecMode != pgx.QueryExecModeExec || cfg.RuntimeParams["standard_conforming_strings"] != "on" {
		t.Errorf("mode %v, parameters %v", cfg.DefaultQueryExecMode, cfg.RuntimeParams)
	}
}

func TestABadURLIsAnErrorThatDoesNotShowIt(t *testing.T) {
	for _, url := range []string{
		"", "postgres:", "postgres://", "postgres://iot:secret@db.example", "postgres://iot:secret@db.example/",
		"postgres://iot:sec#ret@db.example/telltale", "postgres://iot:secret/@db.example/telltale#x", "postgres://iot:secret%@db.example/telltale",
		"postgres://iot:secret@db.example:port/telltale", "postgres://iot:secret@db.example/telltale?sslmode=perhaps",
		"postgres://iot:secret@db.example/telltale?connect_timeout=soon", "mysql://iot:secret@db.example/telltale",
		"host=db.example password=secret@", "postgres://db.example/telltale?password=secret@&sslmode=perhaps",
	} {
		if _, err := Open(url, tlsfiles.Files{}); err == nil {
			t.Errorf("%s: no error", url)
		} else if strings.Contains(err.Error(), "iot:sec") || strings.Contains(err.Error(), "secret") || strings.Contains(err.Error(), "ret@") {
			t.Errorf("%s: %v", url, err)
		} else if text := err.Error(); settings.Redact(text) != text {
			t.Errorf("%s: the error is shown as %s", url, settings.Redact(text))
		}
	}
}
