// Package sqlite keeps users and devices in an SQLite file.
package sqlite

import (
	"embed"

	"github.com/pressly/goose/v3"
	"github.com/uptrace/bun/dialect/sqlitedialect"

	"github.com/telltale-iot/telltale/pkg/iot"
	"github.com/telltale-iot/telltale/pkg/metadata/sqlstore"
	"github.com/telltale-iot/telltale/pkg/sqlite"
)

//go:embed migrations/*.sql
var migrations embed.FS

// Open opens the file at path, and creates it when it is missing; its directory must exist.
func Open(path string) (*sqlstore.Store, error) {
	db, err := sqlite.Open(path)
	if err != nil {
		return nil, err
	}
	// No Lock and no ForUpdate: a transaction that writes is the only one from its beginning on.
	return sqlstore.New(db.Read, db.Write, sqlstore.Dialect{
		SQL:           sqlitedialect.New(),
		File:          db.Path,
		Versions:      goose.DialectSQLite3,
		Migrations:    migrations,
		AddIdentities: []string{"ALTER TABLE users ADD COLUMN identity TEXT", "CREATE UNIQUE INDEX users_identity ON users (identity)"},
		AddKeys:       []string{"ALTER TABLE devices ADD COLUMN key TEXT", "CREATE UNIQUE INDEX devices_key ON devices (key)"},
		Lower:         sqlite.Lower + "(%s)",
		KeepLater:     sqlstore.KeepLater,
		Meaning:       meaning,
	}), nil
}

func meaning(err error) error {
	switch {
	case sqlite.IsUnique(err):
		return iot.ErrConflict
	case sqlite.IsForeignKey(err):
		return iot.ErrInvalid
	case sqlite.IsMissing(err):
		return sqlstore.ErrIncomplete
	default:
		return nil
	}
}
