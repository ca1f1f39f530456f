// Package rollups is the programs `rollups check` and `rollups rebuild`, which run while the service does: they compare what
// charts are made of with the readings, and compute it once more. The stores do the work.
//
// A check that fails in the middle says nothing, and a rebuild may be repeated.
package rollups

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strings"
	"time"

	"github.com/telltale-iot/telltale/pkg/daemon"
	"github.com/telltale-iot/telltale/pkg/readings/mongo"
	"github.com/telltale-iot/telltale/pkg/rollup"
	"github.com/telltale-iot/telltale/pkg/tlsfiles"
)

// Work is what to do, by the name of its program.
type Work string

const (
	Check   Work = "check"
	Rebuild Work = "rebuild"
)

// In returns the work that the arguments of a program ask for, where `rollups` comes first, and the arguments behind it. What
// work that is may be missing, or be none.
func In(args []string) (work Work, flags []string, ok bool) {
	switch {
	case len(args) == 0 || args[0] != "rollups":
		return "", nil, false
	case len(args) == 1 || strings.HasPrefix(args[1], "-"):
		return "", args[1:], true
	default:
		return Work(args[1]), args[2:], true
	}
}

// Validate reports what is no work.
func (w Work) Validate() error {
	if w != Check && w != Rebuild {
		return errors.New("say which: rollups check|rebuild")
	}
	return nil
}

// About says what the program does.
func (w Work) About() string {
	switch w {
	case Check:
		return "Compares the rollups, which charts are made of, with the readings, while the service runs."
	case Rebuild:
		return "Computes the rollups, which charts are made of, once more from the readings, while the service runs."
	default:
		return "rollups check compares the rollups, which charts are made of, with the readings, and rollups rebuild computes them once more."
	}
}

// Store is a store with rollups.
type Store interface {
	CheckRollups(ctx context.Context, log *slog.Logger) (rollup.Checked, error)
	RebuildRollups(ctx context.Context, log *slog.Logger) (rollup.Checked, error)
}

// DoOnMongoDB does the work of program on the store at uri.
func (w Work) DoOnMongoDB(ctx context.Context, p *daemon.Process, uri string, files tlsfiles.Files, program string) error {
	store, err := mongo.Open(uri, files, mongo.Options{Log: p.Log})
	if err != nil {
		return &daemon.ConfigError{Variable: "MONGODB_URI", Value: uri, Err: err}
	}
	defer daemon.Close(p.Log, "mongodb", store)
	p.Started()
	return w.Do(ctx, store, program, p.Log, os.Stdout)
}

// Do does the work of program on store, and writes what came of it to out. It is an error when rollups differ from readings.
func (w Work) Do(ctx context.Context, store Store, program string, log *slog.Logger, out io.Writer) error {
	work, done := store.CheckRollups, "compared"
	if w == Rebuild {
		work, done = store.RebuildRollups, "computed"
	}
	checked, err := work(ctx, log)
	if ctx.Err() != nil {
		return errors.New("interrupted before the end; run it again")
	}
	if err != nil {
		return err
	}
	if checked.Days == 0 {
		_, err := fmt.Fprintln(out, "nothing is rolled up yet: an hour is some time after its end")
		return err
	}
	_, err = fmt.Fprintf(out, "%d days of devices %s, from %v to %v\n", checked.Days, done, checked.From.Format(time.RFC3339), checked.To.Format(time.RFC3339))
	for _, d := range checked.Differ {
		_, failed := fmt.Fprintf(out, "device %d, hour %v: differs from the readings\n", d.Device, d.Hour.Format(time.RFC3339))
		err = errors.Join(err, failed)
	}
	if n := len(checked.Differ); n > 0 {
		return fmt.Errorf("%d hours differ from their readings: run %s rollups rebuild", n, program)
	}
	return err
}
