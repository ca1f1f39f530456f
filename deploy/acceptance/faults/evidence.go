package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"
)

// A fault that has no effect proves nothing. Each is shown to have had one, by the functions here or by what the
// injection itself looks at.

const (
	// hungLimit is how soon a process must name what it needs and does not get an answer of.
	hungLimit = 5 * time.Second
	pollStep  = 100 * time.Millisecond
	// slowness is what the faults add that make a proxy slow, at least.
	slowness = 2 * time.Second
)

// need is a process, and what it calls something that it depends on, or the beginning of that.
type need struct{ process, dependency string }

// needs returns who depends on the far ends of proxies. Whoever waits for devices does not know when they fall silent.
func needs(proxies ...string) []need {
	var all []need
	for _, l := range proxyTable {
		for _, name := range proxies {
			if l.name != name || l.dependency == "" {
				continue
			}
			near, _, _ := strings.Cut(name, "-")
			for _, p := range processesAt[near] {
				if l.dependency != "mqtt" || p == bridgeSubscribe {
					all = append(all, need{p, l.dependency})
				}
			}
		}
	}
	return all
}

// degraded is nil when all processes that need the far ends of proxies name them within hungLimit of begin.
func (t *trial) degraded(ctx context.Context, begin time.Time, proxies ...string) error {
	var g errgroup.Group
	for _, n := range needs(proxies...) {
		if p := t.services[n.process]; p != nil {
			g.Go(func() error { return p.degraded(ctx, begin, n.dependency) })
		}
	}
	return g.Wait()
}

// degraded is nil when p is not ready, and says of the dependency that it is why, within hungLimit of begin.
func (p *service) degraded(ctx context.Context, begin time.Time, dependency string) error {
	for {
		answer, err := p.readyz(ctx)
		took := time.Since(begin)
		if err == nil && missing(answer, dependency) && took <= hungLimit+pollStep {
			return nil
		}
		if took > hungLimit {
			return errors.Join(fmt.Errorf("%s: %v after %s fell silent it says: %s", p.name, took.Round(time.Millisecond), dependency, answer), err)
		}
		if err := sleep(ctx, pollStep); err != nil {
			return err
		}
	}
}

// readyz returns the answer to /readyz?verbose, the status first.
func (p *service) readyz(ctx context.Context) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	status, body, err := fetch(ctx, "http://"+p.ops+"/readyz?verbose")
	return strings.TrimSpace(fmt.Sprintf("%d\n%s", status, body)), err
}

// missing reports whether an answer of /readyz?verbose is 503, and all lines of a dependency (one, or one for each
// of several groups) say that it does not answer.
func missing(answer, dependency string) bool {
	if !strings.HasPrefix(answer, "503") {
		return false
	}
	found := false
	for line := range strings.Lines(answer) {
		if strings.HasPrefix(line, "[+]"+dependency) {
			return false
		}
		found = found || strings.HasPrefix(line, "[-]"+dependency)
	}
	return found
}

// acknowledged returns how many acknowledgements the devices got that publish in a mode.
func (t *trial) acknowledged(mode string) (n int64) {
	for _, f := range t.fleets {
		if f.mode == mode {
			n += f.Report().Acknowledged
		}
	}
	return n
}

// silent is nil when the devices that publish in a mode get no acknowledgement for two seconds, from a second on.
func (t *trial) silent(ctx context.Context, mode string) error {
	if t.devices[mode] == "" {
		return nil
	}
	if err := sleep(ctx, time.Second); err != nil {
		return err
	}
	before := t.acknowledged(mode)
	if err := sleep(ctx, 2*time.Second); err != nil {
		return err
	}
	if n := t.acknowledged(mode) - before; n > 0 {
		return fmt.Errorf("%d acknowledgements to devices that publish by %s, where there can be none", n, mode)
	}
	return nil
}

// slow is nil when what is published now is not all acknowledged, stored and the latest after slowness.
func (t *trial) slow(ctx context.Context) error {
	begin := time.Now()
	published := make([]int64, len(t.fleets))
	for i, f := range t.fleets {
		published[i] = f.Report().Published
	}
	if err := sleep(ctx, slowness); err != nil {
		return err
	}
	for i, f := range t.fleets {
		if f.Report().Acknowledged < published[i] || f.seen(ctx, t.api, begin) != nil {
			return nil
		}
	}
	if time.Since(begin) > 2*slowness {
		return nil // the API took that long to say so
	}
	return fmt.Errorf("the fault has no effect: everything is acknowledged and readable %v after it was measured", slowness)
}
