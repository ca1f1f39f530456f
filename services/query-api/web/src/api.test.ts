import assert from "node:assert/strict";
import { test } from "node:test";
import { address, errorOf, nextOf } from "./api";

test("address leaves out what is not asked, and repeats what is a list", () => {
  assert.equal(address("/api/devices/", { q: "", user: undefined, status: null }), "/api/devices/");
  assert.equal(address("/api/series/", { device_id: [1, "a b"], points: 0 }), "/api/series/?device_id=1&device_id=a+b&points=0");
});

test("errorOf reads what the API says", () => {
  assert.equal(errorOf(404, { detail: "Not found." }).message, "Not found.");
  const fields = errorOf(400, { name: ["This field is required."], user: ["A", "B"] });
  assert.deepEqual(fields.fields, { name: ["This field is required."], user: ["A", "B"] });
  assert.equal(fields.message, "name: This field is required. user: A B");
  assert.equal(errorOf(400, { non_field_errors: ["Not an object."] }).message, "Not an object.");
  for (const body of [null, "text", [], {}]) assert.match(errorOf(502, body).message, /502/);
});

test("nextOf finds the next page", () => {
  const base = "http://host:8000/api/readings/?limit=2";
  assert.equal(nextOf('</api/readings/?limit=2&cursor=a%2Cb>; rel="next"', base), "/api/readings/?limit=2&cursor=a%2Cb");
  assert.equal(nextOf('</first>; rel="first", <?cursor=x>; rel="next"', base), "/api/readings/?cursor=x");
  assert.equal(nextOf('</first>; rel="first"', base), null);
  assert.equal(nextOf(null, base), null);
});
