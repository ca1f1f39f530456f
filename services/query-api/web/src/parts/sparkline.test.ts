import assert from "node:assert/strict";
import { test } from "node:test";
import { lineOf } from "./sparkline";

const minute = 60_000;

test("a line is broken where nothing came, and has nothing from before", () => {
  const end = 100 * minute;
  const t = [39, 41, 42, 60, 100].map((m) => m * minute);
  const path = lineOf({ metric: "temperature", t, v: [99, 1, 2, 3, 2] }, end);
  assert.equal(path, "M3.9 25.0h.01L5.9 14.0M40.7 3.0h.01M118.0 14.0h.01");
});

test("a line of what does not change is in the middle", () => {
  assert.equal(lineOf({ metric: "door", t: [0, minute], v: [1, 1] }, 60 * minute), "M2.0 14.0h.01L3.9 14.0");
});
