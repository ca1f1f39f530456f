import assert from "node:assert/strict";
import { test } from "node:test";
import type { Series } from "../../types";
import { align, gapAfter, gapsIn, nearest } from "./curves";

const series = (t: number[], values: (number | null)[] = t.map((_, i) => i), interval = "raw"): Series => ({
  device_id: 1, metric: "m", interval, t, count: t.map(() => 1), avg: values, min: values, max: values,
});

test("a gap is more than three times the pace that readings keep", () => {
  const regular = [0, 10, 20, 30, 40, 50, 90, 100, 110, 120, 130];
  assert.equal(gapAfter(regular, "raw"), 30);
  assert.equal(gapsIn(series(regular)), 1);
  const lost = [0, 10, 20, 40, 50, 60, 90, 100, 110, 120, 130];
  assert.equal(gapsIn(series(lost)), 0, "one or two were lost");
  const changes = [0, 1, 9, 10, 15, 16, 31, 34, 50, 51, 60, 62, 70];
  assert.equal(gapsIn(series(changes)), 0, "it sends when something changes");
  const outage = [...Array.from({ length: 60 }, (_, i) => i), ...Array.from({ length: 60 }, (_, i) => 1000 + i)];
  assert.equal(gapsIn(series(outage)), 1);
});

test("of buckets an empty one is a gap, and a day of 25 hours is none", () => {
  assert.equal(gapsIn(series([0, 60, 120, 240, 300], undefined, "1m")), 1);
  assert.equal(gapsIn(series([0, 24, 48, 73, 97, 120], undefined, "1d")), 0);
  const months = Array.from({ length: 12 }, (_, i) => Date.UTC(2026, i, 1));
  assert.equal(gapsIn(series(months, undefined, "1mo")), 0);
});

test("few points have no gap that is known, and none has no distance", () => {
  for (const t of [[], [5], [5, 10]]) assert.equal(gapsIn(series(t)), 0);
});

test("align leaves what is no value of a series undefined, and a gap null", () => {
  const a = series([0, 10, 20, 100, 110, 120]);
  const b = series([5, 50, 95]);
  const { t, curves } = align([a, b]);
  assert.deepEqual(t, [0, 5, 10, 20, 50, 60, 95, 100, 110, 120]);
  assert.deepEqual(curves[0]!.avg, [0, undefined, 1, 2, null, null, null, 3, 4, 5]);
  assert.deepEqual(curves[1]!.avg, [undefined, 0, undefined, undefined, 1, undefined, 2, undefined, undefined, undefined]);
  assert.deepEqual(curves.map(({ alone }) => alone), [[], []]);
});

test("points that no line leads to are alone", () => {
  const { t, curves } = align([series([0, 10, 20, 30, 200, 400, 410, 420, 430, 440])]);
  assert.deepEqual(curves[0]!.alone.map((i) => t[i]), [200]);
  assert.deepEqual(align([series([7])]).curves[0]!.alone, [0]);
  assert.deepEqual(align([series([0, 10, 20], [1, null, 3])]).curves[0]!.alone, [0, 2], "a number that is out of range");
});

test("nearest", () => {
  const t = [0, 10, 20, 30];
  assert.equal(nearest(t, [1, undefined, undefined, 2], 1, 10), 0);
  assert.equal(nearest(t, [undefined, undefined, undefined, 2], 1, 10), null);
  assert.equal(nearest(t, [undefined, undefined, undefined, 2], 1, 20), 3);
  assert.equal(nearest([], [], 0, 10), null);
});
