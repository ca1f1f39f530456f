import assert from "node:assert/strict";
import { test } from "node:test";
import { changesOf } from "./audit";

test("changesOf has what is another, what came and what went", () => {
  assert.deepEqual(changesOf({ before: { name: "Hall", user: 1, location: null, gone: true }, after: { name: "Attic", user: 1, location: "House" } }), [
    { name: "name", before: "Hall", after: "Attic" },
    { name: "location", before: null, after: "House" },
    { name: "gone", before: "true", after: null },
  ]);
  assert.deepEqual(changesOf({ before: null, after: { devices: [1, 2] } }), [{ name: "devices", before: null, after: "[1,2]" }]);
  assert.deepEqual(changesOf({ before: null, after: null }), []);
});
