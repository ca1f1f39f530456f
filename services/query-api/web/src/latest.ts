// The latest values of a device, kept up to date with the readings that come (docs/adr/0163): each metric and attribute is
// the newest of its name, with its own time.
import type { Reading } from "./types";

export interface Member<T> {
  value: T;
  at: number; // ms since 1970
}

export interface Latest {
  at: number; // of the newest reading
  values: Map<string, Member<number>>; // by metric
  attributes: Map<string, Member<string>>;
}

// MAX_MEMBERS bounds the values and the attributes that are kept of a device, which may make up names.
export const MAX_MEMBERS = 500;

// metricsOf is all that a reading measured, by name.
export function metricsOf(reading: Reading): Record<string, number> {
  const { temperature, humidity, metrics } = reading;
  return { ...(temperature !== null && { temperature }), ...(humidity !== null && { humidity }), ...metrics };
}

export function latestOf(reading: Reading): Latest {
  const at = Date.parse(reading.timestamp);
  const dated = <T>(members: Record<string, T>): Map<string, Member<T>> => {
    const dates = ([name, value]: [string, T]): [string, Member<T>] => {
      const own = reading.times?.[name];
      return [name, { value, at: own === undefined ? at : Date.parse(own) }];
    };
    return new Map(Object.entries(members).slice(0, MAX_MEMBERS).map(dates));
  };
  return { at, values: dated(metricsOf(reading)), attributes: dated(reading.attributes ?? {}) };
}

// merge is what is the latest with one more reading. What is older than the newest by more than window ms goes: so it is
// as /api/readings/latest_all/ has it.
export function merge(known: Latest | undefined, reading: Reading, window = Infinity): Latest {
  const come = latestOf(reading);
  if (!known) return come;
  const [older, newer] = come.at > known.at ? [known, come] : [come, known];
  const newest = <T>(of: Map<string, Member<T>>, others: Map<string, Member<T>>): Map<string, Member<T>> => {
    const merged = new Map(of);
    for (const [name, member] of others) {
      const have = merged.get(name);
      const wanted = have ? have.at < member.at : merged.size < MAX_MEMBERS;
      if (wanted && member.at >= newer.at - window) merged.set(name, member);
    }
    return merged;
  };
  return { at: newer.at, values: newest(newer.values, older.values), attributes: newest(newer.attributes, older.attributes) };
}

export const mergeAll = (readings: readonly Reading[]): Latest | undefined =>
  readings.reduce<Latest | undefined>((latest, reading) => merge(latest, reading), undefined);

// textsOf are the attributes without their times.
export const textsOf = (latest: Latest): Record<string, string> => Object.fromEntries([...latest.attributes].map(([name, { value }]) => [name, value]));

// unitsOf has the attributes that say in which units something is measured. Others may change with each reading.
export const unitsOf = (latest: Latest | undefined): Record<string, string> =>
  latest ? Object.fromEntries(Object.entries(textsOf(latest)).filter(([name]) => name.endsWith("_unit"))) : {};

const first = ["temperature", "humidity"];

// inOrder has each name of a metric once, in the order in which they are shown.
export function inOrder(names: Iterable<string>): string[] {
  const rank = (name: string) => (first.includes(name) ? first.indexOf(name) : first.length);
  return [...new Set(names)].sort((a, b) => rank(a) - rank(b) || (a < b ? -1 : 1));
}

export const ordered = (latest: Latest): string[] => inOrder(latest.values.keys());
