// Package postgres keeps users and devices in PostgreSQL 13 or newer.
package postgres

import (
	"context"
	"embed"
	"errors"
	"fmt"
	"net/url"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/pressly/goose/v3"
	"github.com/uptrace/bun/dialect/pgdialect"

	"github.com/telltale-iot/telltale/pkg/iot"
	"github.com/telltale-iot/telltale/pkg/metadata/sqlstore"
	"github.com/telltale-iot/telltale/pkg/settings"
	"github.com/telltale-iot/telltale/pkg/timeouts"
	"github.com/telltale-iot/telltale/pkg/tlsfiles"
)

//go:embed migrations/*.sql
var migrations embed.FS

// Open returns the store that a URL of the form postgres://user:password@host:5432/database names, or one
// with postgresql://. Parameters behind it are libpq's (sslmode, connect_timeout …), as pgx reads them. With
// an sslmode that does without TLS in no case the connection is secured by files, and the server's name is
// verified. Open connects to nothing.
func Open(rawURL string, files tlsfiles.Files) (*sqlstore.Store, error) {
	cfg, err := config(rawURL)
	if err != nil {
		return nil, err
	}
	var options []stdlib.OptionOpenDB
	if files.Set() {
		if cfg.TLSConfig == nil || len(cfg.Fallbacks) > 0 {
			return nil, errors.New("files for TLS are given, but the URL does not insist on it with sslmode=verify-full")
		}
		options = append(options, stdlib.OptionBeforeConnect(func(_ context.Context, c *pgx.ConnConfig) (err error) {
			c.TLSConfig, err = files.Client(c.Host)
			return err
		}))
	}
	db := stdlib.OpenDB(*cfg, options...)
	sqlstore.LimitPool(db)
	return sqlstore.New(db, db, sqlstore.Dialect{
		SQL:           pgdialect.New(),
		Versions:      goose.DialectPostgres,
		Migrations:    migrations,
		AddIdentities: []string{"ALTER TABLE users ADD COLUMN identity VARCHAR(64) UNIQUE"},
		AddKeys:       []string{`ALTER TABLE devices ADD COLUMN key VARCHAR(255) COLLATE "C" UNIQUE`},
		Lower:         `LOWER(%s COLLATE "default")`, // by the database's locale; "C", which is the key's, knows ASCII
		KeepLater:     sqlstore.KeepLater,
		Server:        "SELECT current_setting('server_version'), clock_timestamp()", LeastVersion: "13",
		// The number means nothing; it is this table set's among the locks of a database.
		Lock:      "SELECT pg_try_advisory_lock(7305808869229538416)::int",
		ForUpdate: " FOR UPDATE",
		Meaning:   meaning,
	}), nil
}

// config reads a URL. Its errors say nothing of what is in the URL, since any part of one that is
// misspelt may be the password, and have no @, which Redact of package settings would take for the end of one.
func config(rawURL string) (*pgx.ConnConfig, error) {
	const form = "must look like postgres://host:5432/database, with user and password (%-escaped) before the host"
	u, err := url.Parse(rawURL)
	if err != nil || (u.Scheme != "postgres" && u.Scheme != "postgresql") || len(u.Path) < 2 || u.Fragment != "" {
		return nil, errors.New(form)
	}
	cfg, err := pgx.ParseConfig(rawURL)
	if err != nil {
		var e *pgconn.ParseConfigError
		if errors.As(err, &e) && e.Unwrap() != nil {
			err = e.Unwrap() // e itself quotes the URL
		}
		return nil, fmt.Errorf("parameters of postgres URL: %w", settings.HideURL(err, rawURL))
	}
	if cfg.ConnectTimeout == 0 {
		cfg.ConnectTimeout = timeouts.SQLConnect
	}
	// Values stand in the text of a query, so that no two are alike: there is nothing to prepare.
	cfg.DefaultQueryExecMode = pgx.QueryExecModeExec
	// bun escapes quotes only; backslashes must not count.
	cfg.RuntimeParams["standard_conforming_strings"] = "on"
	return cfg, nil
}

// meaning maps the server's errors by their SQLSTATE: see sqlstore.Dialect.
func meaning(err error) error {
	var e *pgconn.PgError
	if !errors.As(err, &e) {
		return nil
	}
	switch e.Code {
	case "23505": // unique_violation
		if e.ConstraintName == "users_pkey" {
			// The id is a generated one that a row has which was put in with it. The next try generates the next.
			return sqlstore.ErrRolledBack
		}
		return iot.ErrConflict
	case "23503": // foreign_key_violation
		return iot.ErrInvalid
	case "40P01", "40001": // deadlock_detected, serialization_failure
		return sqlstore.ErrRolledBack
	case "42P01", "42703": // undefined_table, undefined_column
		return sqlstore.ErrIncomplete
	default:
		return nil
	}
}
