import { type ReadonlySignal, useSignal } from "@preact/signals";
import { serverNow } from "../../api";
import { inOrder } from "../../latest";
import { setQuery } from "../../router";
import { text } from "../../text";
import { messageOf } from "../fault";
import { useRefresh } from "../refresh";
import { MAX_METRICS } from "./chart";
import { spanOf } from "./range";
import { readMetrics } from "./series";
import type { View } from "./view";

const atFirst = 2; // as many are shown where nobody has chosen
const timing = { soon: 10_000, idle: Infinity }; // a device rarely measures something new

// useMetrics has the metrics that devices have in a range, and those that are shown.
export function useMetrics(devices: readonly string[], { range, zone }: View, chosen: readonly string[], news: ReadonlySignal<unknown>) {
  const found = useSignal<{ of: string; names: string[] } | null>(null);
  const failure = useSignal<string | null>(null);
  const of = JSON.stringify(devices);
  useRefresh(news, timing, [of, JSON.stringify(range), zone], async (signal) => {
    try {
      found.value = { of, names: await readMetrics(devices, spanOf(range, serverNow()), zone, signal) };
      failure.value = null;
    } catch (err) {
      if (!signal.aborted) failure.value = messageOf(err);
    }
  });
  const known = found.value?.of === of ? found.value.names : null;
  const shown = (chosen.length > 0 ? [...new Set(chosen)] : (known ?? []).slice(0, atFirst)).slice(0, MAX_METRICS);
  return { known, all: inOrder([...(known ?? []), ...shown]), shown, failure };
}

// Metrics are those to choose from.
export function Metrics({ all, shown }: { all: readonly string[]; shown: readonly string[] }) {
  const full = shown.length >= MAX_METRICS;
  const choose = (name: string, on: boolean) => setQuery({ metric: on ? [...shown, name] : shown.filter((other) => other !== name) }, { step: true });
  return (
    <fieldset class="choices">
      <legend>
        {text.chart.metrics} <span class="quiet">({text.chart.limit(MAX_METRICS)})</span>
      </legend>
      {all.map((name) => {
        const on = shown.includes(name);
        return (
          <label key={name} class="choice">
            <input type="checkbox" checked={on} disabled={on ? shown.length === 1 : full} onChange={(event) => choose(name, event.currentTarget.checked)} />
            <bdi>{name}</bdi>
          </label>
        );
      })}
    </fieldset>
  );
}
