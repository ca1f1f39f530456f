package main

import "context"

// rows are the attacks, in the order in which they run.
var rows = []row{
	{name: "half-connects", what: "1,000 CONNECTs of 16 KB but for the last byte", on: bridge, attack: halfConnects(15_000), probe: connects},
	{name: "pinned-properties", what: "CONNECTs with as many properties as are taken", on: bridge, attack: pinned},
	{name: "takeovers", what: "clients that throw each other out", on: bridge, attack: takeovers},
	{name: "aliases", what: "2,000 clients with as many long topic aliases as they may", on: bridge, attack: aliases},
	{name: "slow", what: "bytes one at a time, from the host of the fleet", on: bridge, attack: slow, probe: connects},
	{name: "idle", what: "5,000 connections that say nothing, from the host of the fleet", on: bridge, attack: idle(5000, 1, 1), probe: connects},
	{name: "mutated", what: "20,000 mutated packets", on: bridge, attack: mutated, probe: connects},

	{name: "kafka-idle", what: "5,000 connections to Kafka that say nothing", on: allInOne, attack: kafkaIdle},

	{name: "http-slow-headers", what: "headers a few bytes at a time", on: allInOne, attack: slowHeaders, probe: serves},
	{name: "http-endless-headers", what: "headers that do not end", on: allInOne, attack: endlessHeaders, probe: serves},
	{name: "http-slow-bodies", what: "1,000 bodies but for the last byte", on: allInOne, attack: slowBodies, probe: serves},
	{name: "http-deep", what: "deep and wide bodies of 1 MiB", on: allInOne, attack: deepBodies, probe: serves},
}

func allInOne(ctx context.Context, s *site) (*target, error) { return s.allInOne(ctx) }

func bridge(ctx context.Context, s *site) (*target, error) { return s.bridge(ctx) }
