package main

import (
	"fmt"
	"net/url"

	"github.com/spf13/cobra"
)

func traceCommand(c *client) *cobra.Command {
	return &cobra.Command{
		Use:     "trace DEVICE",
		Short:   "Say why a device does not appear, by its id or key",
		Example: `  telltale trace kitchen-1`,
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			var trace struct{ Hints []string }
			path := "/api/devices/" + url.PathEscape(args[0]) + "/trace/"
			if err := c.Get(cmd.Context(), path, nil, &trace); err != nil {
				return asked(err)
			}
			for _, hint := range trace.Hints {
				_, _ = fmt.Fprintln(cmd.OutOrStdout(), hint)
			}
			return nil
		},
	}
}
