// Makes of series what uPlot draws: one list of times for all, and for each series what it has at these.
import type { Series } from "../../types";

// A device is silent where it falls out of its own pace, which is the distance that three of four readings keep to the
// next one: that heeds those that send when something changes, and outages say little about it. Of buckets a single one
// that is empty is a gap; of readings themselves it takes a distance of more than three, since they come early and late,
// and at QoS 0 one gets lost.
const usual = 0.75;
const missing = { buckets: 1.5, readings: 3 };

// gapAfter is the distance between two points above which no line is drawn between them, in ms.
export function gapAfter(t: readonly number[], source: string): number {
  const distances = t.slice(1).map((at, i) => at - t[i]!);
  if (distances.length === 0) return 0;
  distances.sort((a, b) => a - b);
  const pace = distances[Math.floor(usual * (distances.length - 1))]!;
  return pace * (source === "raw" ? missing.readings : missing.buckets);
}

export type Value = number | null | undefined; // null: nothing was there; undefined: a time of another series

// Curve is a series as it is drawn.
export interface Curve {
  count: Value[];
  avg: Value[];
  min: Value[];
  max: Value[];
  // alone are the places of points that no line leads to.
  alone: number[];
}

export interface Curves {
  t: number[];
  curves: Curve[];
}

// align puts series on common times. Between two points that are too far from each other there is a time without a value,
// and so is at all times of other series there.
export function align(series: readonly Series[]): Curves {
  const gaps = series.map(({ t, interval }) => {
    const limit = gapAfter(t, interval);
    return t.map((at, i) => i > 0 && at - t[i - 1]! > limit);
  });
  const times = new Set<number>();
  series.forEach((one, n) => one.t.forEach((at, i) => {
    if (gaps[n]![i]) times.add((one.t[i - 1]! + at) / 2);
    times.add(at);
  }));
  const t = [...times].sort((a, b) => a - b);
  const place = new Map(t.map((at, i) => [at, i]));

  const curves = series.map((one, n) => {
    const column = (values: readonly (number | null)[] | undefined) => {
      const filled: Value[] = new Array(t.length).fill(undefined);
      one.t.forEach((at, i) => {
        const to = place.get(at)!;
        if (gaps[n]![i]) filled.fill(null, place.get(one.t[i - 1]!)! + 1, to);
        filled[to] = values?.[i] ?? null;
      });
      return filled;
    };
    const drawn = (i: number) => i >= 0 && i < one.t.length && one.avg?.[i] != null;
    const alone = one.t.flatMap((at, i) => {
      const before = drawn(i - 1) && !gaps[n]![i];
      const after = drawn(i + 1) && !gaps[n]![i + 1];
      return drawn(i) && !before && !after ? [place.get(at)!] : [];
    });
    return { count: column(one.count), avg: column(one.avg), min: column(one.min), max: column(one.max), alone };
  });
  return { t, curves };
}

// gapsIn counts them, for those who do not see the chart.
export function gapsIn({ t, interval }: Series): number {
  const limit = gapAfter(t, interval);
  return t.filter((at, i) => i > 0 && at - t[i - 1]! > limit).length;
}

// nearest is the place of the value of a curve that is nearest to place i, of those less than reach away in time.
export function nearest(t: readonly number[], values: readonly Value[], i: number, reach: number): number | null {
  for (let by = 0; i - by >= 0 || i + by < t.length; by++) {
    const near = [i - by, i + by].filter((at) => t[at] !== undefined && Math.abs(t[at]! - t[i]!) <= reach);
    if (near.length === 0) return null;
    for (const at of near) if (values[at] != null) return at;
  }
  return null;
}
