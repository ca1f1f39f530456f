// The newest value that is known of each metric and attribute of a device, each with its own time.
import type { Reading } from "../types";

export interface Member<T> {
  value: T;
  at: string;
}

export interface Latest {
  metrics: ReadonlyMap<string, Member<number>>;
  attributes: ReadonlyMap<string, Member<string>>;
}

// MAX_MEMBERS bounds either of them, of a device that makes up names.
export const MAX_MEMBERS = 500;

export const nothing: Latest = { metrics: new Map(), attributes: new Map() };

export function metricsOf({ temperature, humidity, metrics }: Reading): Record<string, number> {
  return { ...(temperature !== null && { temperature }), ...(humidity !== null && { humidity }), ...metrics };
}

// merge does not depend on the order in which readings come.
export function merge(latest: Latest, reading: Reading): Latest {
  const newer = <T>(known: ReadonlyMap<string, Member<T>>, members: Record<string, T>) => {
    const merged = new Map(known);
    for (const [name, value] of Object.entries(members)) {
      const at = reading.times?.[name] ?? reading.timestamp;
      const before = merged.get(name);
      if (before ? before.at <= at : merged.size < MAX_MEMBERS) merged.set(name, { value, at });
    }
    return merged;
  };
  return { metrics: newer(latest.metrics, metricsOf(reading)), attributes: newer(latest.attributes, reading.attributes ?? {}) };
}

// unitsOf has the attributes that say in which units something is measured. Others may change with each reading.
export const unitsOf = ({ attributes }: Latest): Record<string, string> =>
  Object.fromEntries([...attributes].filter(([name]) => name.endsWith("_unit")).map(([name, { value }]) => [name, value]));
