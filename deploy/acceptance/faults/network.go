package main

import (
	"context"
	"errors"
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

// linksTo returns the links to a server.
func linksTo(server string) []string {
	var names []string
	for _, l := range linkTable {
		if strings.HasSuffix(l.name, "-"+server) {
			names = append(names, l.name)
		}
	}
	return names
}

// toxic puts toxics on links for d, and meanwhile looks for what they do to the system.
func toxic(toxics []string, d time.Duration, effect func(ctx context.Context, t *trial, begin time.Time) error, links ...string) injection {
	return func(ctx context.Context, t *trial) error {
		lift := t.fault()
		defer lift()
		var errs []error
		for _, name := range links {
			errs = append(errs, t.links[name].add(toxics))
		}
		begin := time.Now()
		errs = append(errs, effect(ctx, t, begin), sleep(ctx, d-time.Since(begin)))
		for _, name := range links {
			t.links[name].lift(ctx)
		}
		return errors.Join(errs...)
	}
}

// hang loses bytes of links for d, and checks that the processes at their near ends soon say so, or that no device
// gets an acknowledgement any more over its.
func hang(toxics []string, d time.Duration, links ...string) injection {
	return toxic(toxics, d, func(ctx context.Context, t *trial, begin time.Time) error {
		err := t.degraded(ctx, begin, links...)
		if slices.Contains(links, "device-bridge") {
			err = errors.Join(err, t.silent(ctx, listen))
		}
		return err
	}, links...)
}

// slow makes all links of a service slow, and checks that this shows.
func slow(toxics []string, service string) injection {
	const settle = 3 * time.Second // a narrow link is so when something has piled up before it
	return toxic(toxics, settle+slowness, func(ctx context.Context, t *trial, _ time.Time) error {
		return errors.Join(sleep(ctx, settle), t.slow(ctx))
	}, linksOf(service)...)
}

// refuse lets a link refuse connections three times: until that is noticed, and for up to a few seconds.
func refuse(name string) injection {
	return func(ctx context.Context, t *trial) error {
		first := true
		return t.thrice(ctx, func() error {
			lift := t.fault()
			defer lift()
			err := t.links[name].refuse()
			begin := time.Now()
			switch {
			case !first:
				err = errors.Join(err, t.pause(ctx, 4*time.Second))
			case name == "device-bridge":
				err = errors.Join(err, t.silent(ctx, listen))
			default:
				err = errors.Join(err, t.degraded(ctx, begin, name))
			}
			first = false
			return errors.Join(err, t.links[name].allow())
		})
	}
}
