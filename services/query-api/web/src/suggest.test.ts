import assert from "node:assert/strict";
import { test } from "node:test";
import { messageWith, suggest, whole } from "./suggest";

test("suggest finds the device, the time and the values", () => {
  const cases: [topic: string, payload: string, rule: string][] = [
    ["house/kitchen/state", '{"t": 21.5, "time": "2026-01-02T03:04:05Z"}', '- name: house\n  topic: "house/{device}/state"\n  time: time\n'],
    ["house/kitchen", '{"t": 21.5}', '- name: house\n  topic: "house/{device}"\n'],
    ["kitchen/state", '{"t": 21.5}', '- name: kitchen\n  topic: "{device}/state"\n'],
    ["plant/line-7/pump/x", '{"t": "21.5", "on": "ON"}', '- name: plant\n  topic: "plant/{device}/pump/x"\n  values: {numbers_in_strings: true, words: {"ON": 1, "OFF": 0}}\n'],
    ["house/kitchen/temp", "21.5", '- name: house\n  topic: "house/{device}/{metric}"\n  values: {scalar: "{metric}"}\n'],
    ["house/kitchen/temp", "ON", '- name: house\n  topic: "house/{device}/{metric}"\n  values: {scalar: "{metric}", words: {"ON": 1, "OFF": 0}}\n'],
    ["gateway/3/up", '{"deviceId": "a/b", "t": 1}', '- name: gateway\n  topic: "gateway/+/up"\n  device: "{.deviceId}"\n'],
    ["weather", '{"t": 1}', "- name: weather\n  topic: weather\n  device: weather\n"],
    ["/weather/", "1", '- name: weather\n  topic: "/weather/"\n  device: weather\n  values: {scalar: value}\n'],
    ["a/b/c", '[{"ts": 1, "t": 2}]', '- name: a\n  topic: "a/{device}/c"\n  time: ts\n'],
    ["house/kitchen/state", '{"ts": 1767322800, "deep": {"t": "1", "rest": {"a', '- name: house\n  topic: "house/{device}/state"\n  time: ts\n  values: {numbers_in_strings: true}\n'],
  ];
  for (const [topic, payload, rule] of cases) assert.equal(suggest(topic, payload), rule, topic);
});

test("suggest makes a rule of anything", () => {
  for (const topic of ["", "/", "//", "a", "\u202E/{x}/\"", "1/2/3"]) {
    for (const payload of ["", "null", "[]", "{}", "[[1]]", '"', "\0", '{"a": {"b": [1, {"c": "2"}]}}']) assert.match(suggest(topic, payload), /^- name: .+\n  topic: /);
  }
});

test("messageWith is a message of one member", () => {
  assert.equal(messageWith("a", '{"b": 1, "c": [2'), '{"a":{"b":1,"c":[]}}');
  assert.equal(messageWith("a", "nan"), '{"a":"nan"}');
});

test("whole leaves out what does not end", () => {
  assert.equal(whole('{"a":1,"b":[2,3'), '{"a":1,"b":[2]}');
  assert.equal(whole('{"a":1}'), '{"a":1}');
  for (const text of ["21.5", "warm", "null", "[", ""]) assert.equal(whole(text), text === "[" ? "[]" : text);
});
