package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
)

// linkEnds are the services as the names of links begin.
var linkEnds = []string{"bridge", "writer", "updater", "api"}

// processesAt are the processes at the near end of links.
var processesAt = map[string][]string{
	"bridge": {bridgeSubscribe, bridgeListen}, "writer": {ingestWriter}, "updater": {cacheUpdater}, "api": {queryAPI},
}

// hungLimit is how soon a process must say that it is not ready when what it needs does not answer: 5 s, and a
// second for a busy machine.
const hungLimit = 6 * time.Second

// linkNames returns the links without those whose names have one of the parts.
func linkNames(without ...string) []string {
	var names []string
	for _, l := range linkTable {
		if !slices.ContainsFunc(without, func(part string) bool { return strings.Contains(l.name, part) }) {
			names = append(names, l.name)
		}
	}
	return names
}

// linksOf returns the links from and to a service.
func linksOf(service string) []string {
	var names []string
	for _, l := range linkTable {
		if slices.Contains(strings.Split(l.name, "-"), service) {
			names = append(names, l.name)
		}
	}
	return names
}

// toxic puts toxics on links, for d.
func toxic(toxics []string, d time.Duration, links ...string) injection {
	return func(ctx context.Context, t *trial) error {
		lift := t.fault()
		defer lift()
		var errs []error
		for _, name := range links {
			errs = append(errs, t.links[name].add(toxics))
		}
		errs = append(errs, sleep(ctx, d))
		for _, name := range links {
			t.links[name].lift(ctx)
		}
		return errors.Join(errs...)
	}
}

// hang lets all bytes of a link vanish, and checks that the process at its near end soon says so.
func hang(link string) injection {
	near, _, _ := strings.Cut(link, "-")
	return func(ctx context.Context, t *trial) error {
		lift := t.fault()
		defer lift()
		begin := time.Now()
		l := t.links[link]
		defer l.lift(ctx)
		if err := l.add(vanish); err != nil {
			return err
		}
		err := t.each(processesAt[near], func(p *service) error {
			return eventually(ctx, hungLimit-time.Since(begin), func() error {
				if p.ready(ctx) {
					return fmt.Errorf("%s says that it is ready, and nothing moves on %s", p.name, link)
				}
				return nil
			})
		})
		return errors.Join(err, sleep(ctx, longPause-time.Since(begin)))
	}
}

// refuse lets a link refuse connections three times, for up to a few seconds.
func refuse(name string) injection {
	return func(ctx context.Context, t *trial) error {
		var errs []error
		for range 3 {
			lift := t.fault()
			t.links[name].refuse()
			errs = append(errs, t.pause(ctx, 4*time.Second), t.links[name].allow())
			lift()
			errs = append(errs, t.pause(ctx, time.Second))
		}
		return errors.Join(errs...)
	}
}
