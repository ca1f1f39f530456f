package main

import (
	"context"
	"errors"
	"slices"
	"strings"
	"time"
)

// proxiedServices are the services as the names of proxies begin.
var proxiedServices = []string{"bridge", "writer", "updater", "api"}

// processesAt are the processes at the near end of proxies.
var processesAt = map[string][]string{
	"bridge": {bridgeSubscribe, bridgeListen}, "writer": {ingestWriter}, "updater": {cacheUpdater}, "api": {queryAPI},
}

// proxyNames returns the proxies without those whose names have one of the parts.
func proxyNames(without ...string) []string {
	var names []string
	for _, l := range proxyTable {
		if !slices.ContainsFunc(without, func(part string) bool { return strings.Contains(l.name, part) }) {
			names = append(names, l.name)
		}
	}
	return names
}

// proxiesOf returns the proxies from and to a service.
func proxiesOf(service string) []string {
	var names []string
	for _, l := range proxyTable {
		if slices.Contains(strings.Split(l.name, "-"), service) {
			names = append(names, l.name)
		}
	}
	return names
}

// proxiesTo returns the proxies to a server.
func proxiesTo(server string) []string {
	var names []string
	for _, l := range proxyTable {
		if strings.HasSuffix(l.name, "-"+server) {
			names = append(names, l.name)
		}
	}
	return names
}

// toxic puts toxics on proxies for d, and meanwhile looks for what they do to the system.
func toxic(toxics []string, d time.Duration, effect func(ctx context.Context, t *trial, begin time.Time) error, proxies ...string) injection {
	return func(ctx context.Context, t *trial) error {
		lift := t.fault()
		defer lift()
		var errs []error
		for _, name := range proxies {
			errs = append(errs, t.proxies[name].add(toxics))
		}
		begin := time.Now()
		errs = append(errs, effect(ctx, t, begin), sleep(ctx, d-time.Since(begin)))
		for _, name := range proxies {
			t.proxies[name].lift(ctx)
		}
		return errors.Join(errs...)
	}
}

// hang loses bytes of proxies for d, and checks that the processes at their near ends soon say so, or that no device
// gets an acknowledgement any more over its.
func hang(toxics []string, d time.Duration, proxies ...string) injection {
	return toxic(toxics, d, func(ctx context.Context, t *trial, begin time.Time) error {
		err := t.degraded(ctx, begin, proxies...)
		if slices.Contains(proxies, "device-bridge") {
			err = errors.Join(err, t.silent(ctx, listen))
		}
		return err
	}, proxies...)
}

// slow makes all proxies of a service slow, and checks that this shows.
func slow(toxics []string, service string) injection {
	const buildUp = 3 * time.Second // a narrow proxy is so when something has piled up before it
	return toxic(toxics, buildUp+slowness, func(ctx context.Context, t *trial, _ time.Time) error {
		return errors.Join(sleep(ctx, buildUp), t.slow(ctx))
	}, proxiesOf(service)...)
}

// refuse lets a proxy refuse connections three times: until that is noticed, and for up to a few seconds.
func refuse(name string) injection {
	return func(ctx context.Context, t *trial) error {
		first := true
		return t.thrice(ctx, func() error {
			lift := t.fault()
			defer lift()
			err := t.proxies[name].refuse()
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
			return errors.Join(err, t.proxies[name].allow())
		})
	}
}
