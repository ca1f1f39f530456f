import assert from "node:assert/strict";
import { test } from "node:test";
import { lastOf, rangeOf, rangeQuery, shift, spanOf, zoom } from "./range";

const hour = 3600_000;
const now = Date.parse("2026-03-01T12:00:00Z");

test("a range is what its address says", () => {
  for (const range of ["1h", "24h", "7d", "30d", "1y", { from: now - hour, to: now }] as const) {
    const query = new URLSearchParams(Object.entries(rangeQuery(range)).filter(([, value]) => value !== null) as [string, string][]);
    assert.deepEqual(rangeOf(query), range);
  }
  assert.equal(lastOf(new URLSearchParams("range=7d&from=2026-03-01&to=2026-03-02")), "7d");
});

test("an address that makes no sense is the last day", () => {
  for (const query of ["", "range=2h", "range=toString", "from=x&to=y", "from=2026-03-02&to=2026-03-01", "from=2026-03-01", "from=-100000-01-01&to=2026-01-01"]) {
    assert.equal(rangeOf(new URLSearchParams(query)), "24h", query);
  }
});

test("spanOf", () => {
  assert.deepEqual(spanOf("1h", now), { from: now - hour, to: now });
  assert.deepEqual(spanOf({ from: 1, to: 2 }, now), { from: 1, to: 2 });
});

test("zoom keeps the middle, and ends now at the latest", () => {
  assert.deepEqual(zoom({ from: now - 4 * hour, to: now }, 0.5, now), { from: now - 3 * hour, to: now - hour });
  assert.deepEqual(zoom({ from: now - 4 * hour, to: now }, 2, now), { from: now - 8 * hour, to: now });
  assert.deepEqual(zoom({ from: now - 1000, to: now }, 0.5, now), { from: now - 1000, to: now });
  const all = zoom({ from: now - 300_000 * hour, to: now }, 2, now);
  assert.equal(new Date(all.from).toISOString(), "2000-01-01T00:00:00.000Z");
  assert.equal(all.to, now);
});

test("shift does not go to where nothing is yet, nor before the first reading", () => {
  assert.deepEqual(shift({ from: now - 4 * hour, to: now }, -0.5, now), { from: now - 6 * hour, to: now - 2 * hour });
  assert.deepEqual(shift({ from: now - 6 * hour, to: now - 2 * hour }, 1, now), { from: now - 4 * hour, to: now });
  const first = Date.UTC(2000, 0, 1);
  assert.deepEqual(shift({ from: first, to: first + hour }, -1, now), { from: first, to: first + hour });
});
