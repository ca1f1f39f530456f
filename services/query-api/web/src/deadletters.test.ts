import assert from "node:assert/strict";
import { test } from "node:test";
import { filterOf, fromInput, isOf, selects, toInput } from "./deadletters";

test("selects is as MQTT has it", () => {
  const cases: [filter: string, topic: string, want: boolean][] = [
    ["a/b", "a/b", true], ["a/b", "a", false], ["a/b", "a/b/", false], ["a/+", "a/b", true], ["a/+", "a/", true], ["a/+", "a", false], ["a/+", "a/b/c", false],
    ["#", "", true], ["a/#", "a", true], ["a/#", "a/b/c", true], ["a/#", "ab", false], ["a/+/#", "a/b", true], ["a/+/#", "a", false],
  ];
  for (const [filter, topic, want] of cases) assert.equal(selects(filter, topic), want, `${filter} ${topic}`);
});

test("isOf tells what a filter is of", () => {
  const event = { reason: "invalid_json", detail: "", source: "sensors/7/data", device_id: 7, received_at: "2026-01-02T12:00:00.000Z" };
  const of = (query: string) => isOf(filterOf(new URLSearchParams(query)), event);
  for (const query of ["", "reason=invalid_json", "topic=sensors/%2B/data", "device_id=7", "since=2026-01-02T12:00:00Z", "until=2026-01-02T12:00:01Z", "replayed=false", "id=1"]) assert.ok(of(query), query);
  for (const query of ["reason=conflict", "topic=sensors/%2B", "device_id=8", "since=2026-01-02T12:00:01Z", "until=2026-01-02T12:00:00Z", "replayed=true"]) assert.ok(!of(query), query);
});

test("times of inputs are the reader's", () => {
  assert.equal(fromInput(toInput("2026-07-02T12:34:00.000Z")), "2026-07-02T12:34:00.000Z");
  assert.equal(toInput("yesterday"), "");
  assert.equal(fromInput(""), "");
});
