// Package mysql keeps users and devices in MySQL 8.0.17 or newer.
package mysql

import (
	"cmp"
	"context"
	"database/sql"
	"embed"
	"errors"
	"fmt"
	"net"
	"net/url"
	"strings"
	"time"

	"github.com/go-sql-driver/mysql"
	"github.com/pressly/goose/v3"
	"github.com/uptrace/bun/dialect/mysqldialect"

	"github.com/telltale-iot/telltale/pkg/iot"
	"github.com/telltale-iot/telltale/pkg/metadata/sqlstore"
	"github.com/telltale-iot/telltale/pkg/settings"
	"github.com/telltale-iot/telltale/pkg/timeouts"
	"github.com/telltale-iot/telltale/pkg/tlsfiles"
)

//go:embed migrations/*.sql
var migrations embed.FS

// Open returns the store that a URL of the form mysql://user:password@host:3306/database names. Parameters
// behind it are those of github.com/go-sql-driver/mysql (tls, timeout, readTimeout, writeTimeout …), or
// else variables of the session. With tls=true the connection is secured by files. Open connects to nothing.
func Open(rawURL string, files tlsfiles.Files) (*sqlstore.Store, error) {
	cfg, err := config(rawURL)
	if err != nil {
		return nil, err
	}
	if err := secure(cfg, files); err != nil {
		return nil, err
	}
	connector, err := mysql.NewConnector(cfg)
	if err != nil {
		return nil, fmt.Errorf("open mysql: %w", err)
	}
	db := sql.OpenDB(connector)
	sqlstore.LimitPool(db)
	return sqlstore.New(db, db, sqlstore.Dialect{
		SQL:        mysqldialect.New(),
		Versions:   goose.DialectMySQL,
		Migrations: migrations,
		// utf8mb4_0900_bin compares code points, and does not ignore spaces at the end.
		AddIdentities: []string{"ALTER TABLE users ADD COLUMN identity VARCHAR(64) CHARACTER SET ascii COLLATE ascii_bin NULL UNIQUE"},
		AddKeys:       []string{"ALTER TABLE devices ADD COLUMN `key` VARCHAR(255) CHARACTER SET utf8mb4 COLLATE utf8mb4_0900_bin NULL UNIQUE"},
		Lower:         "LOWER(%s)",
		// VALUES() is also known to servers that do not know the newer way to say it.
		KeepLater: " ON DUPLICATE KEY UPDATE last_seen = GREATEST(last_seen, VALUES(last_seen))",
		Server:    "SELECT VERSION(), UTC_TIMESTAMP(3)", LeastVersion: "8.0.17",
		// Locks are the whole server's, so the name says the database. It asks for 1 s, less than readTimeout.
		Lock:      "SELECT GET_LOCK(LEFT(CONCAT('telltale.', SHA2(DATABASE(), 256)), 64), 1)",
		ForUpdate: " FOR UPDATE",
		Meaning:   meaning,
	}), nil
}

// config reads a URL. Its errors say nothing of what is in the URL, since any part of one that is
// misspelt may be the password, and have no @, which Redact of package settings would take for the end of one.
func config(rawURL string) (*mysql.Config, error) {
	const form = "must look like mysql://host:3306/database, with user and password (%-escaped) before the host"
	u, err := url.Parse(rawURL)
	if err != nil || u.Scheme != "mysql" || u.Hostname() == "" || len(u.Path) < 2 || u.Fragment != "" {
		return nil, errors.New(form)
	}
	// The driver reads its parameters itself. Again escaped, they hold no slash that it could mistake for
	// the one before the database's name.
	addr := net.JoinHostPort(u.Hostname(), cmp.Or(u.Port(), "3306"))
	cfg, err := mysql.ParseDSN("tcp(" + addr + ")/?" + u.Query().Encode())
	if err != nil {
		return nil, fmt.Errorf("parameters of mysql URL: %w", settings.HideURL(err, rawURL))
	}
	cfg.DBName = strings.TrimPrefix(u.Path, "/")
	cfg.User = u.User.Username()
	cfg.Passwd, _ = u.User.Password()

	cfg.Timeout = cmp.Or(cfg.Timeout, timeouts.SQLConnect)
	cfg.ReadTimeout = cmp.Or(cfg.ReadTimeout, timeouts.SQLCall)
	cfg.WriteTimeout = cmp.Or(cfg.WriteTimeout, timeouts.SQLCall)
	cfg.ParseTime, cfg.Loc = true, time.UTC
	cfg.ClientFoundRows = true // an update that changes nothing has found its row all the same
	cfg.MultiStatements = false
	cfg.Logger = &mysql.NopLogger{} // what it would print are the errors that calls return
	if err := cfg.Apply(mysql.Charset("utf8mb4", "")); err != nil {
		return nil, err
	}
	if cfg.Params == nil {
		cfg.Params = map[string]string{}
	}
	// Strict, so that nothing is shortened silently; and bun escapes with backslashes, which must count.
	cfg.Params["sql_mode"] = "'STRICT_ALL_TABLES,NO_ENGINE_SUBSTITUTION'"
	return cfg, nil
}

// secure has each connection read files.
func secure(cfg *mysql.Config, files tlsfiles.Files) error {
	if !files.Set() {
		return nil
	}
	if cfg.TLSConfig != "true" {
		return errors.New("files for TLS are given, but the URL does not ask for it with tls=true")
	}
	host, _, err := net.SplitHostPort(cfg.Addr)
	if err != nil {
		return err
	}
	return cfg.Apply(mysql.BeforeConnect(func(_ context.Context, c *mysql.Config) (err error) {
		c.TLS, err = files.Client(host)
		return err
	}))
}

// meaning maps the server's errors by their numbers: see sqlstore.Dialect.
func meaning(err error) error {
	var e *mysql.MySQLError
	if !errors.As(err, &e) {
		return nil
	}
	switch e.Number {
	case 1062, 1586: // ER_DUP_ENTRY, ER_DUP_ENTRY_WITH_KEY_NAME
		return iot.ErrConflict
	case 1452: // ER_NO_REFERENCED_ROW_2
		return iot.ErrInvalid
	case 1213: // ER_LOCK_DEADLOCK
		return sqlstore.ErrRolledBack
	case 1146, 1054: // ER_NO_SUCH_TABLE, ER_BAD_FIELD_ERROR
		return sqlstore.ErrIncomplete
	default:
		return nil
	}
}
