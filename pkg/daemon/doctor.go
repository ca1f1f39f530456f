package daemon

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"net"
	"net/http"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/telltale-iot/telltale/pkg/doctor"
	"github.com/telltale-iot/telltale/pkg/settings"
)

// Examined is a Command that has the program `NAME doctor`: it says what its Run needs.
type Examined interface {
	Command
	Checks() []doctor.Check
}

const aboutDoctor = "Says in a line each what is wrong with the settings, servers, topics, disk, clock, ports, certificates and who gets in, and what to do about it. " +
	"It changes nothing, also while the service runs, and takes 5 s at most. It exits with 1 where something fails."

// examine makes checks, and those that every program has.
func examine(ctx context.Context, w io.Writer, flags *Flags, checks []doctor.Check) bool {
	common := []doctor.Check{
		{Part: "settings", Look: lookAtSettings},
		doctor.Clock(),
		{Part: "service", Look: func(ctx context.Context) []doctor.Finding { return lookAtService(ctx, flags) }},
		doctor.Port("OPS_ADDR", flags.OpsAddr, flags.OpsAddr),
	}
	return doctor.Run(ctx, w, append(common, checks...))
}

func lookAtSettings(context.Context) (findings []doctor.Finding) {
	for _, s := range settings.Strays(os.Environ()) {
		findings = append(findings, doctor.Warn("no program reads the variable "+s.Variable, s.Meant+" may be meant")...)
	}
	if findings == nil {
		return doctor.Fine("they can be read")
	}
	return findings
}

// lookAtService asks the process that has the same flags, where one runs, what it waits for.
func lookAtService(ctx context.Context, flags *Flags) []doctor.Finding {
	_, version, err := ask(ctx, flags, "/livez")
	var failed *net.OpError
	switch {
	case errors.As(err, &failed) && failed.Op == "dial" && !failed.Timeout():
		return doctor.Fine("does not run: nothing answers on OPS_ADDR=%q", flags.OpsAddr)
	case err != nil:
		return doctor.Warn(fmt.Sprintf("whether it runs is not known: OPS_ADDR=%q: %v", flags.OpsAddr, innermost(err)), "look at what listens there")
	case !strings.HasPrefix(version, "ok "):
		return doctor.Fail(fmt.Sprintf("what answers on OPS_ADDR=%q is no service of Telltale", flags.OpsAddr), "set OPS_ADDR to another address")
	}
	version = strings.TrimPrefix(version, "ok ")
	status, ready, err := ask(ctx, flags, "/readyz?verbose")
	if err != nil {
		return doctor.Fail("runs, and does not say whether it is ready: "+innermost(err).Error(), "look at its log")
	}
	var findings []doctor.Finding
	for line := range strings.Lines(ready) {
		if what, failed := strings.CutPrefix(line, "[-]"); failed {
			findings = append(findings, doctor.Fail("runs, and waits: "+strings.TrimSpace(what), "see the other lines, and its log")...)
		}
	}
	if findings == nil && status != http.StatusOK {
		return doctor.Warn("runs, version "+version+", and is not ready", "wait: it starts, or stops")
	}
	if findings == nil {
		findings = doctor.Fine("runs, version %s, and is ready", version)
	}
	return append(findings, lookAtGrowth(ctx, flags)...)
}

// fullSoon is when a disk that fills worries, in days: as in the alert of Prometheus.
const fullSoon = 14

// lookAtGrowth asks the process that has the same flags when its disk is full, where it knows that.
func lookAtGrowth(ctx context.Context, flags *Flags) []doctor.Finding {
	_, metrics, err := ask(ctx, flags, "/metrics")
	if err != nil {
		return nil // of more than this no service knows
	}
	for line := range strings.Lines(metrics) {
		value, ok := strings.CutPrefix(line, "telltale_store_days_until_full ")
		days, err := strconv.ParseFloat(strings.TrimSpace(value), 64)
		if !ok || err != nil || math.IsNaN(days) || days > 10*365 {
			continue
		}
		what := fmt.Sprintf("at this rate readings have no more room in %.0f days", days)
		if days < fullSoon {
			return doctor.Warn(what, "make room, or set RETENTION_READINGS")
		}
		return doctor.Fine("%s", what)
	}
	return nil
}

// quietFor is for how long nobody must have been let in who would be refused until AUTH=on is worth a try.
const quietFor = 7 * 24 * time.Hour

// Quiet asks the process that has the same flags whether AUTH can be on by now: whether nobody was let in for a week who would be
// refused then. warns says that AUTH is warn; a site from before there were accounts may warn without.
func Quiet(flags *Flags, warns bool) doctor.Check {
	return doctor.Check{Part: "AUTH", Look: func(ctx context.Context) []doctor.Finding {
		_, metrics, err := ask(ctx, flags, "/metrics")
		if err != nil {
			return nil // of a process that does not run nobody knows
		}
		started, _ := newest(metrics, "process_start_time_seconds")
		last, listed := newest(metrics, "telltale_auth_would_deny_last_seconds")
		quiet := time.Since(time.Unix(int64(max(started, last)), 0)).Round(time.Minute)
		switch {
		case !listed && (!warns || started == 0):
			return nil
		case quiet >= quietFor:
			return doctor.Warn(fmt.Sprintf("for %.0f days nobody got in who would be refused with AUTH=on", quiet.Hours()/24),
				"set AUTH=on when the rarest of the devices has sent meanwhile")
		case !listed:
			return doctor.Fine("in the %v since the start nobody got in who would be refused with AUTH=on", quiet)
		}
		return doctor.Fine("who would be refused with AUTH=on got in %v ago: GET /api/auth/would-deny/ lists them", quiet)
	}}
}

// newest is the largest value of a metric, whatever its labels.
func newest(metrics, name string) (value float64, ok bool) {
	for line := range strings.Lines(metrics) {
		rest, found := strings.CutPrefix(line, name)
		if !found || rest[0] != ' ' && rest[0] != '{' {
			continue
		}
		v, err := strconv.ParseFloat(strings.TrimSpace(rest[strings.LastIndexByte(rest, ' ')+1:]), 64)
		if err == nil {
			value, ok = max(value, v), true
		}
	}
	return value, ok
}
