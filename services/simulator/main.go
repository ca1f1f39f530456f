// Simulator publishes readings of simulated devices over MQTT. See package simulator, and --help.
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"time"

	"golang.org/x/term"

	"github.com/telltale-iot/telltale/pkg/daemon"
	"github.com/telltale-iot/telltale/services/simulator/simulator"
)

func main() {
	daemon.Main("simulator", "Simulates devices that publish readings over MQTT, and reports what became of their messages.\n\n"+
		"A thousand devices for a minute, a reading per second each, 1% of the readings sent twice:\n"+
		"  simulator --devices 1000 --duration 1m --duplicate 1\n"+
		"Tasmota's, Shelly's and ESPHome's devices, in turns:\n"+
		"  simulator --family tasmota,shelly,esphome\n"+
		"As fast as the broker takes them, with a file to check afterwards that none was lost:\n"+
		"  simulator --devices 100 --rate 0 --count 1000000 --publish-ledger ledger.jsonl", &command{})
}

type command struct {
	simulator.Config
	JSON     bool       `name:"json" env:"SIM_JSON" help:"Print the summary as JSON."`
	LogLevel slog.Level `env:"LOG_LEVEL" default:"info" help:"Minimum log level: debug, info, warn or error."`
}

// Operations gives the simulator an operations port that collides with no service on the same machine.
func (c *command) Operations() *daemon.Flags {
	return &daemon.Flags{OpsAddr: "127.0.0.1:0", LogLevel: c.LogLevel}
}

func (c *command) Run(ctx context.Context, p *daemon.Process) error {
	s, err := simulator.New(c.Config, p.Log)
	if err != nil {
		return err
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		err = s.Run(ctx)
	}()
	showProgress(s, p.Log, done)
	return printSummary(s.Report(), c.JSON, err)
}

// showProgress shows the progress until done: on a terminal each second, in a log every 5 s.
func showProgress(s *simulator.Simulator, log *slog.Logger, done <-chan struct{}) {
	terminal := term.IsTerminal(int(os.Stderr.Fd()))
	every := 5 * time.Second
	if terminal {
		every = time.Second
	}
	tick := time.NewTicker(every)
	defer tick.Stop()
	for last := s.Report(); ; {
		select {
		case <-done:
			return
		case <-tick.C:
		}
		total := s.Report()
		recent := total.Since(last)
		last = total
		if terminal {
			fmt.Fprintln(os.Stderr, progressLine(total, recent))
		} else {
			log.Info("progress", "acknowledged", total.Acknowledged, "per_second", int(recent.Rate()),
				"in_flight", total.Unacknowledged(), "puback_p50", recent.Latency(0.5).String(),
				"puback_p99", recent.Latency(0.99).String(), "errors", total.Errors, "reconnects", total.Reconnects)
		}
	}
}

// progressLine returns the counts of the whole run, with the rate and latency of its latest part.
func progressLine(total, recent *simulator.Report) string {
	asked := ""
	if total.Asked > 0 {
		asked = fmt.Sprintf(" of %.0f", total.Asked)
	}
	return fmt.Sprintf("%6s  %.0f%s/s  acknowledged %d  in flight %d  PUBACK p50 %v p99 %v  errors %d  reconnects %d",
		total.Elapsed.Round(time.Second), recent.Rate(), asked, total.Acknowledged, total.Unacknowledged(),
		recent.Latency(0.5), recent.Latency(0.99), total.Errors, total.Reconnects)
}

// printSummary writes r to standard output and returns err, the outcome of the run.
func printSummary(r *simulator.Report, asJSON bool, err error) error {
	if !asJSON {
		fmt.Print(r)
		return err
	}
	text, jsonErr := json.MarshalIndent(r, "", "  ")
	if jsonErr != nil {
		return jsonErr
	}
	fmt.Println(string(text))
	return err
}
