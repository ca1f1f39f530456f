import assert from "node:assert/strict";
import { test } from "node:test";
import type { Series } from "../../types";
import { statistics } from "./stats";

const series = (more: Partial<Series>): Series => ({ device_id: 1, metric: "m", interval: "1y", t: [], count: [], ...more });

test("the numbers of years add up, but not their percentiles", () => {
  const years = series({ t: [0, 1], count: [1, 3], sum: [10, 90], min: [10, 20], max: [10, 40], last: [10, 30] });
  const found = statistics(years, series({ t: [0, 1], count: [1, 3], p95: [10, 40] }));
  assert.deepEqual(found, { count: 4, avg: 25, min: 10, max: 40, last: 30, p95: null });
  assert.equal(statistics(years, undefined).p95, null);
});

test("a year", () => {
  const found = statistics(series({ t: [0], count: [2], sum: [3], min: [1], max: [2], last: [2] }), series({ t: [0], count: [2], p95: [2] }));
  assert.deepEqual(found, { count: 2, avg: 1.5, min: 1, max: 2, last: 2, p95: 2 });
});

test("nothing, and a sum that is out of range", () => {
  assert.deepEqual(statistics(series({}), series({})), { count: 0, avg: null, min: null, max: null, last: null, p95: null });
  const large = series({ t: [0], count: [2], sum: [null], min: [1e308], max: [1e308], last: [1e308] });
  assert.deepEqual(statistics(large, undefined), { count: 2, avg: null, min: 1e308, max: 1e308, last: 1e308, p95: null });
});
