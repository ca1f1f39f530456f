package main

import (
	"github.com/spf13/cobra"

	"github.com/telltale-iot/telltale/pkg/apiclient"
)

func tailCommand(c *client) *cobra.Command {
	var t apiclient.Tail
	cmd := &cobra.Command{
		Use:   "tail",
		Short: "Print readings as they come, until it is interrupted",
		Long: `Print readings as they come, until it is interrupted: when, of which device, what, and how old that is. When the
connection breaks off it goes on behind the last one.`,
		Example: `  telltale tail --device kitchen-1
  telltale tail --metric temperature --json | jq .temperature`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			t.Client, t.Out, t.Err = c.Client, cmd.OutOrStdout(), cmd.ErrOrStderr()
			return asked(t.Run(cmd.Context()))
		},
	}
	f := cmd.Flags()
	f.StringArrayVarP(&t.Devices, "device", "d", nil, "only of this device, by id or key, and of others that are named so")
	f.StringArrayVarP(&t.Metrics, "metric", "m", nil, "only with this metric, and others that are named so")
	f.BoolVar(&t.JSON, "json", false, "print them as NDJSON, as the API has them")
	return cmd
}
