// The latest values of a device, as /api/readings/latest_all/ has them, kept up to date with the readings that come
// (docs/adr/0163): each metric is the newest of its name, as long as it is not much older than the newest of all.
import type { Reading } from "./types";

export interface Value {
  value: number;
  at: number; // ms since 1970
}

export interface Latest {
  at: number; // of the newest reading
  values: Map<string, Value>; // by metric
  attributes: Record<string, string>;
}

// metricsOf is all that a reading measured, by name.
export function metricsOf(reading: Reading): Record<string, number> {
  const { temperature, humidity, metrics } = reading;
  return { ...(temperature !== null && { temperature }), ...(humidity !== null && { humidity }), ...metrics };
}

export function latestOf(reading: Reading): Latest {
  const at = Date.parse(reading.timestamp);
  const values = new Map<string, Value>();
  for (const [name, value] of Object.entries(metricsOf(reading))) {
    const own = reading.times?.[name];
    values.set(name, { value, at: own === undefined ? at : Date.parse(own) });
  }
  return { at, values, attributes: reading.attributes ?? {} };
}

// merge is what is the latest with one more reading. What is older than the newest by more than window ms goes.
export function merge(known: Latest | undefined, reading: Reading, window: number): Latest {
  const come = latestOf(reading);
  if (!known) return come;
  const [older, newer] = come.at > known.at ? [known, come] : [come, known];
  const values = new Map<string, Value>();
  for (const [name, value] of newer.values) values.set(name, value);
  for (const [name, value] of older.values) {
    const have = values.get(name);
    if ((!have || have.at < value.at) && value.at >= newer.at - window) values.set(name, value);
  }
  return { at: newer.at, values, attributes: { ...older.attributes, ...newer.attributes } };
}

const first = ["temperature", "humidity"];

// ordered are the metrics of a device in the order in which they are shown.
export function ordered(latest: Latest): string[] {
  const rank = (name: string) => (first.includes(name) ? first.indexOf(name) : first.length);
  return [...latest.values.keys()].sort((a, b) => rank(a) - rank(b) || (a < b ? -1 : 1));
}
