import assert from "node:assert/strict";
import { test } from "node:test";
import { type Latest, MAX_MEMBERS, latestOf, merge, ordered, unitsOf } from "./latest";
import type { Reading } from "./types";

const second = (n: number) => new Date(Date.UTC(2026, 0, 1) + 1000 * n).toISOString();

function reading(at: number, metrics: Record<string, number>, times: Record<string, number> = {}): Reading {
  const { temperature = null, humidity = null, ...others } = metrics;
  return {
    device_id: 1, temperature, humidity, timestamp: second(at), metrics: others,
    times: Object.fromEntries(Object.entries(times).map(([name, n]) => [name, second(n)])),
  };
}

const shown = (latest: Latest) =>
  Object.fromEntries([...latest.values].map(([name, { value, at }]) => [name, [value, (at - Date.parse(second(0))) / 1000]]));

test("latestOf takes the time of each member", () => {
  assert.deepEqual(shown(latestOf(reading(10, { temperature: 21, door: 1 }, { door: 4 }))), { temperature: [21, 10], door: [1, 4] });
});

test("merge keeps the newest of each name, in whichever order they come", () => {
  const readings = [reading(1, { temperature: 20 }), reading(2, { humidity: 40 }), reading(3, { temperature: 21 }), reading(4, { battery: 90 })];
  const orders = [[0, 1, 2, 3], [3, 2, 1, 0], [2, 0, 3, 1]];
  for (const order of orders) {
    let latest: Latest | undefined;
    for (const n of order) latest = merge(latest, readings[n]!, 60_000);
    assert.deepEqual(shown(latest!), { temperature: [21, 3], humidity: [40, 2], battery: [90, 4] }, String(order));
    assert.equal(latest!.at, Date.parse(second(4)));
  }
});

test("merge forgets what is much older than the newest, and keeps the first of one moment", () => {
  const old = merge(undefined, reading(0, { temperature: 20, door: 1 }), 60_000);
  assert.deepEqual(shown(merge(old, reading(61, { temperature: 21 }), 60_000)), { temperature: [21, 61] });
  assert.deepEqual(shown(merge(old, reading(0, { temperature: 99, humidity: 40 }), 60_000)), { temperature: [20, 0], door: [1, 0], humidity: [40, 0] });
});

test("what people look for stands first", () => {
  assert.deepEqual(ordered(latestOf(reading(0, { b: 1, humidity: 2, a: 3, temperature: 4 }))), ["temperature", "humidity", "a", "b"]);
});

test("attributes have times of their own, and some are units", () => {
  const said = { ...reading(1, { co2: 400 }), attributes: { co2_unit: "ppm", room: "lab" } };
  const latest = merge(merge(undefined, said), { ...reading(5, { co2: 410 }), attributes: { room: "hall" } });
  assert.deepEqual([latest.attributes.get("room")!.value, latest.attributes.get("co2_unit")!.at], ["hall", Date.parse(second(1))]);
  assert.deepEqual(unitsOf(latest), { co2_unit: "ppm" });
});

test("names are bounded, and known ones go on", () => {
  let latest = merge(undefined, reading(0, { kept: 1 }));
  for (let n = 0; n < MAX_MEMBERS; n++) latest = merge(latest, reading(0, { [`made-up-${n}`]: n }));
  latest = merge(latest, reading(2, { kept: 2 }));
  assert.equal(latest.values.size, MAX_MEMBERS);
  assert.equal(latest.values.get("kept")!.value, 2);
  const all = Object.fromEntries(Array.from({ length: 2 * MAX_MEMBERS }, (_, n) => [`m${n}`, n]));
  assert.equal(latestOf(reading(3, all)).values.size, MAX_MEMBERS);
});
