// Command telltale exports, imports and follows readings, and says why a device does not appear, with the HTTP API of a Telltale that runs somewhere.
package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"runtime/debug"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/telltale-iot/telltale/pkg/apiclient"
)

// What the program ends with.
const (
	exitFailed     = 1
	exitUsage      = 2
	exitIncomplete = 3 // a file broke off, or was interrupted: go on with it, or send it again
	exitRejected   = 4 // lines of a file were rejected, and the others taken
)

// exitError is an error that the program ends with a code of its own for.
type exitError struct {
	code int
	err  error
}

func (e *exitError) Error() string { return e.err.Error() }
func (e *exitError) Unwrap() error { return e.err }

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	context.AfterFunc(ctx, stop) // a second signal ends it at once
	root := command()
	err := root.ExecuteContext(ctx)
	if err != nil {
		fmt.Fprintln(os.Stderr, "telltale:", err)
	}
	os.Exit(code(err)) //nolint:gocritic // nothing is left to stop
}

// code is what the program ends with after err.
func code(err error) int {
	var exit *exitError
	switch {
	case err == nil:
		return 0
	case errors.As(err, &exit):
		return exit.code
	default:
		return exitUsage
	}
}

// version is set by the linker, in what make builds.
var version string

// recordedVersion is what the go command recorded of the checkout.
func recordedVersion() string {
	if info, ok := debug.ReadBuildInfo(); ok {
		return info.Main.Version
	}
	return ""
}

// command returns the program's commands; `telltale completion` is cobra's own.
func command() *cobra.Command {
	c := client{Client: apiclient.Client{Token: os.Getenv("TELLTALE_TOKEN")}}
	root := &cobra.Command{
		Use:   "telltale",
		Short: "Exports, imports and follows the readings of a Telltale, by its HTTP API.",
		Long: `Exports, imports and follows the readings of a Telltale, by its HTTP API.

The variable TELLTALE_TOKEN has the token to show, where Telltale asks for one.

It ends with 0 when all was done, 1 when it failed, 2 when it is called wrongly, 3 when a file
broke off, and 4 when lines of an import were rejected.`,
		Version:       cmp.Or(version, recordedVersion(), "unknown"),
		SilenceErrors: true,
		SilenceUsage:  true,

		PersistentPreRunE: func(*cobra.Command, []string) error { return c.Trust() },
	}
	url := os.Getenv("TELLTALE_URL")
	if url == "" {
		url = "http://localhost:8000"
	}
	root.PersistentFlags().StringVar(&c.URL, "url", url, "where Telltale is; TELLTALE_URL is the default")
	root.PersistentFlags().StringVar(&c.CA, "ca-file", os.Getenv("TELLTALE_CA_FILE"), "PEM file of the authorities to trust instead of the system's; TELLTALE_CA_FILE is the default")
	root.PersistentFlags().BoolVarP(&c.quiet, "quiet", "q", false, "say nothing but what went wrong")
	root.AddCommand(exportCommand(&c), importCommand(&c), tailCommand(&c), traceCommand(&c))
	return root
}
