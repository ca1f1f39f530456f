import assert from "node:assert/strict";
import { test } from "node:test";
import { age, bytes, integer, moment, number, unitOf, withUnit } from "./format";

test("number", () => {
  const cases: [number | null | undefined, string][] = [
    [21.5, "21.5"], [0, "0"], [-0.25, "-0.25"], [1013.25, "1,013.3"], [0.0123, "0.0123"], [1 / 3, "0.3333"],
    [0.0000123, "1.23e-5"], [5e-100, "5e-100"], [1.5e13, "1.5e+13"], [1e300, "1e+300"], [NaN, "–"], [null, "–"], [undefined, "–"],
  ];
  for (const [value, want] of cases) assert.equal(number(value), want, String(value));
  assert.equal(integer(1234567), "1,234,567");
});

test("units", () => {
  assert.equal(withUnit(21.5, unitOf("temperature")), "21.5\u00a0°C");
  assert.equal(withUnit(70, unitOf("attic", { attic_unit: "°F" })), "70\u00a0°F");
  assert.equal(withUnit(3.1, unitOf("voltage")), "3.1");
  assert.equal(withUnit(null, "%"), "–");
});

test("age", () => {
  const cases: [number | null, string][] = [
    [-500, "0 s"], [0, "0 s"], [1999, "1 s"], [119_999, "119 s"], [120_000, "2 min"], [7_199_999, "119 min"], [7_200_000, "2 h"],
    [47.9 * 3_600_000, "47 h"], [48 * 3_600_000, "2 d"], [4000 * 86_400_000, "4,000 d"], [NaN, "–"], [null, "–"],
  ];
  for (const [ms, want] of cases) assert.equal(age(ms), want, String(ms));
});

test("moment", () => {
  assert.match(moment("2026-01-02T15:04:05.678Z", "Asia/Tokyo"), /Jan 3, 2026, 12:04:05/);
  for (const unknown of [null, undefined, "", "yesterday", NaN]) assert.equal(moment(unknown), "–");
});

test("bytes", () => {
  assert.equal(bytes(0), "0\u00a0B");
  assert.equal(bytes(999), "999\u00a0B");
  assert.equal(bytes(1500), "1.5\u00a0kB");
  assert.equal(bytes(25_700_000), "26\u00a0MB");
  assert.equal(bytes(null), "–");
});
