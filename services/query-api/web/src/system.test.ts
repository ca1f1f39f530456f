import assert from "node:assert/strict";
import { test } from "node:test";
import { type Conservation, type Stage, pictureOf, sumOf } from "./system";

const stage = (service: string, counts: string): Stage => ({
  service, counts, received_total: 1, rate: 0.5, outcomes: {}, in_flight: 0, adds_up: true,
});

test("the picture has each station with what is known of it, and the group that is behind most", () => {
  const { sources, topic, waiting, consumers } = pictureOf({
    pipeline: [stage("mqtt-bridge", "bridge_readings"), stage("ingest-writer", "writer_readings")],
    topics: [
      { topic: "raw-data.dlq", partitions: 1, groups: [{ group: "dead-letters", partitions: 1, lag: 9, lag_seconds: 9 }] },
      {
        topic: "raw-data",
        partitions: 1,
        groups: [
          { group: "cache-updater", partitions: 0, lag: null, lag_seconds: null },
          { group: "device-registry", partitions: 1, lag: 2, lag_seconds: 0.5 },
          { group: "ingest-writer", partitions: 1, lag: 7, lag_seconds: 1.5 },
        ],
      },
    ],
  });
  assert.deepEqual(sources.map((s) => [s.counts, s.stage?.service ?? null]), [
    ["bridge_readings", "mqtt-bridge"], ["http_readings", null], ["replay_readings", null],
  ]);
  assert.equal(topic, "raw-data");
  assert.equal(waiting?.group, "ingest-writer");
  assert.deepEqual(consumers.map((s) => [s.counts, s.stage !== null, s.group?.lag ?? null]), [
    ["writer_readings", true, 7], ["updater_readings", false, null], ["registrar_readings", false, 2], ["dead_letters", false, 9],
  ]);
});

test("of an empty system nothing is known", () => {
  const { topic, waiting, sources, consumers } = pictureOf({ pipeline: [], topics: [] });
  assert.deepEqual([topic, waiting], [null, null]);
  assert.ok([...sources, ...consumers].every((s) => s.stage === null && s.group === null));
});

test("the sum names what was in flight before only where something was", () => {
  const c: Conservation = {
    adds_up: true, since: null, received: 10, in_flight_before: 0, stored: 5, merged: 1, duplicates: 1, dead_letters: 1, failed: 1, in_flight: 1, tolerance: 0, detail: "",
  };
  assert.deepEqual(sumOf(c).left, [["received", 10]]);
  assert.equal(sumOf(c).right.reduce((sum, [, n]) => sum + n, 0), 10);
  assert.deepEqual(sumOf({ ...c, in_flight_before: 2 }).left, [["received", 10], ["in_flight_before", 2]]);
});
