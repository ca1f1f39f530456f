// Package metadatatest is the contract of metadata.Store as tests. A package that keeps users and devices
// in some database passes Run; one that speaks to a server passes RunOutages too. Benchmark
// measures it.
package metadatatest

import (
	"context"
	"database/sql"
	"errors"
	"os"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/pressly/goose/v3"

	"github.com/telltale-iot/telltale/pkg/iot"
	"github.com/telltale-iot/telltale/pkg/metadata"
	"github.com/telltale-iot/telltale/pkg/metadata/sqlite"
	"github.com/telltale-iot/telltale/pkg/tlsfiles"
)

// Database is one that is empty, and that nothing else uses.
type Database struct {
	URL  string  // a store's, of this database; "" for SQLite
	File string  // of SQLite
	SQL  *sql.DB // the same database without a store
	// Versions is how the store records the versions of its tables.
	Versions goose.Dialect
	// DropUsers are statements that drop the table of users, and leave that of devices.
	DropUsers []string
	// Waiting is a query that returns to a transaction how many others wait for it; "" where a database
	// does not show that.
	Waiting string
}

// Run tests stores in the databases that empty returns. It removes them by t.Cleanup.
func Run(t *testing.T, empty func(testing.TB) Database) {
	groups := []struct {
		name     string
		promises []promise
	}{
		{"users", users()},
		{"devices", devices()},
		{"texts", texts()},
		{"generated ids", generatedIDs()},
		{"registration", registration()},
		{"keys", keys()},
		{"admission", admission()},
		{"descriptions", descriptions()},
		{"contacts", contacts()},
		{"searches", searches()},
		{"identities", identities()},
		{"accounts", accounts()},
		{"tokens", tokens()},
		{"credentials", credentials()},
		{"provisioning", provisioning()},
		{"audit", audit()},
		{"preparation", preparation()},
		{"before keys", before()},
		{"before contacts", beforeContacts()},
		{"before access", beforeAccess()},
		{"dropped tables", dropped()},
		{"together", together()},
	}
	for _, g := range groups {
		t.Run(g.name, func(t *testing.T) {
			for _, p := range g.promises {
				t.Run(p.name, func(t *testing.T) { p.test(t, &database{empty(t), t}) })
			}
		})
	}
}

// promise is one of the contract's, and the test of it on an empty database.
type promise struct {
	name string
	test func(t *testing.T, db *database)
}

// database is where the stores of one test are.
type database struct {
	Database
	t testing.TB
}

// open returns a new store, whose tables may not be there yet.
func (db *database) open() metadata.Store {
	db.t.Helper()
	s := db.openUnclosed()
	db.t.Cleanup(func() {
		if err := s.Close(); err != nil {
			db.t.Errorf("close: %v", err)
		}
	})
	return s
}

// openUnclosed returns a store that the test closes itself.
func (db *database) openUnclosed() metadata.Store {
	db.t.Helper()
	var (
		s   metadata.Store
		err error
	)
	if db.File != "" {
		s, err = sqlite.Open(db.File)
	} else {
		s, err = metadata.Open(db.URL, tlsfiles.Files{})
	}
	if err != nil {
		db.t.Fatal(err)
	}
	return s
}

// exec runs statements past the stores.
func (db *database) exec(statements ...string) {
	db.t.Helper()
	for _, statement := range statements {
		if _, err := db.SQL.Exec(statement); err != nil {
			db.t.Fatalf("%s: %v", statement, err)
		}
	}
}

// prepared returns a new store with its tables. Several of one database are like several processes.
func (db *database) prepared() metadata.Store {
	db.t.Helper()
	s := db.open()
	if err := s.Prepare(context.Background()); err != nil {
		db.t.Fatal(err)
	}
	return s
}

// ServerURL returns the URL of a real server that the environment names. Without it the test is skipped,
// or fails when TEST_REQUIRE is 1.
func ServerURL(t testing.TB, variable string) string {
	t.Helper()
	url := os.Getenv(variable)
	switch {
	case url != "":
	case os.Getenv("TEST_REQUIRE") == "1":
		t.Fatalf("%s is not set", variable)
	default:
		t.Skipf("%s is not set", variable)
	}
	return url
}

// The helpers below fail the test at the line that calls them. They use t.Fatal, so goroutines of a test do
// not call them.

func newUser(t *testing.T, s metadata.Store, name string) iot.User {
	t.Helper()
	u, err := s.CreateUser(t.Context(), iot.User{Username: name, Email: "someone@example.com"})
	if err != nil {
		t.Fatal(err)
	}
	return u
}

func newDevice(t *testing.T, s metadata.Store, d iot.Device) iot.Device {
	t.Helper()
	created, err := s.CreateDevice(t.Context(), d)
	if err != nil {
		t.Fatal(err)
	}
	return created
}

func findUser(t *testing.T, s metadata.Store, id int64) iot.User {
	t.Helper()
	u, err := s.User(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	return u
}

func findDevice(t *testing.T, s metadata.Store, id iot.DeviceID) iot.Device {
	t.Helper()
	d, err := s.Device(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// allDevices returns all devices, of which there are fewer than 10,000.
func allDevices(t *testing.T, s metadata.Store) []iot.Device {
	t.Helper()
	all, err := s.Devices(t.Context(), iot.DeviceQuery{Limit: 10000})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// errOf returns the error of a call that returns more.
func errOf[T any](_ T, err error) error { return err }

func wantError(t *testing.T, err, want error) {
	t.Helper()
	if !errors.Is(err, want) {
		t.Fatalf("error %v, want %v", err, want)
	}
}

func wantEqual(t *testing.T, got, want any) {
	t.Helper()
	if diff := cmp.Diff(want, got); diff != "" {
		t.Fatalf("(-want +got)\n%s", diff)
	}
}

// wantOutage checks that err is an outage.
func wantOutage(t *testing.T, err error) {
	t.Helper()
	if err == nil || errors.Is(err, iot.ErrNotFound) || errors.Is(err, iot.ErrConflict) || errors.Is(err, iot.ErrInvalid) {
		t.Fatalf("error %v, want that of an outage", err)
	}
}

// wantFresh checks a time of creation that was set just now.
func wantFresh(t *testing.T, at time.Time) {
	t.Helper()
	if at.Location() != time.UTC || !at.Equal(at.Truncate(time.Millisecond)) || time.Since(at).Abs() > time.Minute {
		t.Fatalf("created at %v: not the time of now in whole milliseconds, UTC", at)
	}
}

func ptr[T any](v T) *T { return &v }
