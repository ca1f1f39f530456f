// Package metadata opens the store of users and devices on a server. The table in Open is the list of the
// databases that it can be kept in; each is a package beside this one, and passes the suite in metadatatest.
// So does package sqlite, which keeps it in a file; it is not in the table, because it is large and only one
// program needs it.
package metadata

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/telltale-iot/telltale/pkg/doctor"
	"github.com/telltale-iot/telltale/pkg/iot"
	"github.com/telltale-iot/telltale/pkg/metadata/mysql"
	"github.com/telltale-iot/telltale/pkg/metadata/postgres"
	"github.com/telltale-iot/telltale/pkg/metadata/sqlstore"
	"github.com/telltale-iot/telltale/pkg/tlsfiles"
)

// Store keeps users, devices, and who may do what. While its server is away every call fails and may be repeated; the
// store goes on by itself when the server is back. A server that hangs is away, too: no call takes much
// longer than 10 s, but for Prepare, which may have work to do.
//
// Texts are kept to the letter. ErrInvalid: one is not UTF-8, holds a NUL, is empty where it must not be, or is too
// long; or a new device's id or a query's limit is out of range.
type Store interface {
	iot.MetadataStore
	iot.AccessStore
	// Prepare brings the tables to the version that this program needs, and makes those again that were
	// dropped. Running it in several processes at once is safe. The owner repeats it while it fails, or Check
	// does.
	Prepare(ctx context.Context) error
	// Check is nil when the store answers and, once prepared, has its tables.
	Check(ctx context.Context) error
	Close() error
}

// Open returns the store that url names: mysql:// or postgres:// (or postgresql://). files are for TLS, where
// url asks for it. It fails where url makes no sense, and does not wait for the server. Its errors do not
// show passwords.
func Open(url string, files tlsfiles.Files) (Store, error) {
	store, err := open(url, files)
	if err != nil {
		return nil, fmt.Errorf("metadata store: %w", err) // not store: a nil pointer in an interface is not nil
	}
	return store, nil
}

func open(url string, files tlsfiles.Files) (*sqlstore.Store, error) {
	backends := map[string]func(url string, files tlsfiles.Files) (*sqlstore.Store, error){
		"mysql":      mysql.Open,
		"postgres":   postgres.Open,
		"postgresql": postgres.Open,
	}
	scheme, _, _ := strings.Cut(url, "://")
	open, ok := backends[scheme]
	if !ok {
		return nil, errors.New("the URL must start with mysql:// or postgres://")
	}
	return open(url, files)
}

// Examine looks at the server that url, the value of variable, names.
func Examine(variable, url string, files tlsfiles.Files) doctor.Check {
	return doctor.Check{Part: variable, Look: func(ctx context.Context) []doctor.Finding {
		store, err := open(url, files)
		if err != nil {
			return doctor.Fail(err.Error(), "correct "+variable)
		}
		defer func() { _ = store.Close() }()
		return doctor.AskServer(ctx, variable, doctor.Place(url), store.LeastVersion(), store.Server)
	}}
}
