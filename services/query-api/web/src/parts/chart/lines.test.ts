import assert from "node:assert/strict";
import { test } from "node:test";
import type { Series } from "../../types";
import { type Subject, plotsOf } from "./lines";

const metrics = ["temperature", "dew", "pressure", "count"];
const subject = (id: string, more = {}): Subject => ({ id, label: id, attributes: { dew_unit: "°C", ...more } });
const seriesOf = (subjects: Subject[]): Series[] =>
  subjects.flatMap((_, device_id) => metrics.map((metric) => ({ device_id, metric, interval: "raw", t: [], count: [] })));
const shown = (subjects: Subject[]) =>
  plotsOf(subjects, metrics, seriesOf(subjects)).map((lines) => lines.map(({ label, color, dash, unit }) => [label, color, dash, unit]));

test("of one device metrics are colors, and those of a unit are in one plot", () => {
  assert.deepEqual(shown([subject("a", { pressure_unit: "hPa" })]), [
    [["temperature", 0, 0, "°C"], ["dew", 1, 0, "°C"]],
    [["pressure", 2, 0, "hPa"]],
    [["count", 3, 0, ""]],
  ]);
});

test("of several devices these are colors, and metrics are dashes", () => {
  const plots = shown([subject("a"), subject("b", { pressure_unit: "hPa" })]);
  assert.deepEqual(plots[0], [["a · temperature", 0, 0, "°C"], ["b · temperature", 1, 0, "°C"], ["a · dew", 0, 1, "°C"], ["b · dew", 1, 1, "°C"]]);
  assert.deepEqual(plots.slice(1), [[["a · pressure", 0, 0, ""]], [["b · pressure", 1, 0, "hPa"]], [["a · count", 0, 0, ""], ["b · count", 1, 0, ""]]]);
});

test("each line has its own series", () => {
  const subjects = [subject("a"), subject("b")];
  for (const { label, series } of plotsOf(subjects, metrics, seriesOf(subjects)).flat()) {
    assert.equal(label, `${subjects[series.device_id]!.label} · ${series.metric}`);
  }
});
