import assert from "node:assert/strict";
import { test } from "node:test";
import type { Reading } from "../types";
import { MAX_MEMBERS, merge, nothing } from "./latest";

const at = (second: number) => `2026-03-01T12:00:${String(second).padStart(2, "0")}.000Z`;
const reading = (second: number, more: Partial<Reading>): Reading => ({ device_id: 1, temperature: null, humidity: null, timestamp: at(second), ...more });

test("each member is the newest of its name, whatever the order", () => {
  const all = [
    reading(1, { temperature: 20, metrics: { co2: 400 }, attributes: { room: "lab" } }),
    reading(3, { temperature: 21 }),
    reading(2, { temperature: 19, metrics: { co2: 410 } }),
  ];
  for (const order of [[0, 1, 2], [2, 1, 0], [1, 0, 2]]) {
    const { metrics, attributes } = order.reduce((latest, i) => merge(latest, all[i]!), nothing);
    assert.deepEqual(metrics.get("temperature"), { value: 21, at: at(3) });
    assert.deepEqual(metrics.get("co2"), { value: 410, at: at(2) });
    assert.deepEqual(attributes.get("room"), { value: "lab", at: at(1) });
    assert.equal(metrics.has("humidity"), false);
  }
});

test("a member of a latest reading may be older than it", () => {
  const { metrics } = merge(nothing, reading(5, { temperature: 20, metrics: { co2: 400 }, times: { co2: at(1) } }));
  assert.deepEqual([metrics.get("temperature")!.at, metrics.get("co2")!.at], [at(5), at(1)]);
});

test("names are bounded, and known ones go on", () => {
  let latest = merge(nothing, reading(0, { metrics: { kept: 1 } }));
  for (let n = 0; n < MAX_MEMBERS; n++) latest = merge(latest, reading(1, { metrics: { [`made-up-${n}`]: n } }));
  latest = merge(latest, reading(2, { metrics: { kept: 2 } }));
  assert.equal(latest.metrics.size, MAX_MEMBERS);
  assert.equal(latest.metrics.get("kept")!.value, 2);
});
