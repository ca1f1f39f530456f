import assert from "node:assert/strict";
import { test } from "node:test";
import { axisNumber, labels, stepFor, ticks } from "./ticks";

const at = (text: string) => Date.parse(text);
const iso = (list: number[]) => list.map((ms) => new Date(ms).toISOString().slice(0, 16));
const between = (from: string, to: string, zone: string, count: number) => {
  const step = stepFor(at(from), at(to), count);
  const found = ticks(at(from), at(to), zone, step);
  return { found: iso(found), labels: labels(found, zone, step) };
};

test("ticks are round times of the zone", () => {
  assert.deepEqual(between("2026-03-01T10:07:00Z", "2026-03-01T11:07:00Z", "UTC", 6).found,
    ["2026-03-01T10:10", "2026-03-01T10:20", "2026-03-01T10:30", "2026-03-01T10:40", "2026-03-01T10:50", "2026-03-01T11:00"]);
  assert.deepEqual(between("2026-03-01T10:00:00Z", "2026-03-02T10:00:00Z", "Asia/Kathmandu", 4).found,
    ["2026-03-01T12:15", "2026-03-01T18:15", "2026-03-02T00:15", "2026-03-02T06:15"]);
});

test("ticks of days and hours heed that clocks are changed", () => {
  assert.deepEqual(between("2026-03-27T23:00:00Z", "2026-03-30T22:00:00Z", "Europe/Berlin", 4).found,
    ["2026-03-27T23:00", "2026-03-28T23:00", "2026-03-29T22:00", "2026-03-30T22:00"]);
  const back = between("2026-10-24T22:00:00Z", "2026-10-25T05:00:00Z", "Europe/Berlin", 8);
  assert.deepEqual(back.found,
    ["2026-10-24T22:00", "2026-10-24T23:00", "2026-10-25T00:00", "2026-10-25T02:00", "2026-10-25T03:00", "2026-10-25T04:00", "2026-10-25T05:00"]);
  const ahead = between("2026-03-28T23:00:00Z", "2026-03-29T04:00:00Z", "Europe/Berlin", 8);
  assert.deepEqual(ahead.found,
    ["2026-03-28T23:00", "2026-03-29T00:00", "2026-03-29T01:00", "2026-03-29T02:00", "2026-03-29T03:00", "2026-03-29T04:00"]);
});

test("months, weeks and years", () => {
  assert.deepEqual(between("2025-03-15T00:00:00Z", "2026-03-15T00:00:00Z", "Europe/Berlin", 5).found,
    ["2025-03-31T22:00", "2025-06-30T22:00", "2025-09-30T22:00", "2025-12-31T23:00"]);
  assert.deepEqual(between("2026-03-01T00:00:00Z", "2026-03-30T00:00:00Z", "UTC", 5).found,
    ["2026-03-02T00:00", "2026-03-09T00:00", "2026-03-16T00:00", "2026-03-23T00:00", "2026-03-30T00:00"]);
  assert.equal(between("1900-01-01T00:00:00Z", "2100-01-01T00:00:00Z", "UTC", 5).found.length, 3);
});

test("the date stands where the day begins", () => {
  const { labels } = between("2026-03-01T20:00:00Z", "2026-03-02T04:00:00Z", "UTC", 4);
  assert.deepEqual(labels.map((label) => label.includes("\n")), [true, false, true, false, false].slice(0, labels.length));
});

test("axisNumber tells ticks apart", () => {
  const cases: [number, number, string][] = [
    [41.25, 0.25, "41.25"], [0.3, 0.1, "0.3"], [1500, 500, "1,500"], [-0.005, 0.001, "-0.005"], [2e9, 1e9, "2e+9"], [3e-9, 1e-9, "3e-9"], [0, 1e-9, "0"],
  ];
  for (const [value, increment, want] of cases) assert.equal(axisNumber(value, increment), want);
});
