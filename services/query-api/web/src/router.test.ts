import assert from "node:assert/strict";
import { test } from "node:test";
import { match } from "./router";

test("match", () => {
  const cases: [string, string, Record<string, string> | null][] = [
    ["/", "/", {}],
    ["/", "/explore", null],
    ["/explore", "/explore/", {}],
    ["/devices/{id}", "/devices/42", { id: "42" }],
    ["/devices/{id}", "/devices/a%2Fb%20%C3%A9", { id: "a/b é" }],
    ["/devices/{id}", "/devices/%FF", null],
    ["/devices/{id}", "/devices/", null],
    ["/devices/{id}", "/devices/1/2", null],
  ];
  for (const [pattern, path, want] of cases) assert.deepEqual(match(pattern, path), want, `${pattern} ${path}`);
});
