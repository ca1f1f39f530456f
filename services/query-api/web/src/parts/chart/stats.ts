import type { Series } from "../../types";

// Statistics are what all values of a series in a range come to. What is not known is null.
export interface Statistics {
  count: number;
  min: number | null;
  avg: number | null;
  max: number | null;
  last: number | null;
  p95: number | null;
}

// The API has no bucket for a whole range: years are the longest, and a range touches few of them. Their numbers add up,
// but those of percentiles do not.
export const statisticsQuery = { interval: "1y", agg: ["sum", "min", "max", "last"] };
export const percentileQuery = { interval: "1y", agg: ["p95"] };

export function statistics(of: Series, percentiles: Series | undefined): Statistics {
  const years = of.t.map((_, i) => i).filter((i) => of.count[i]! > 0);
  const known = (values: readonly (number | null)[] | undefined) => {
    const found = years.map((i) => values?.[i] ?? null);
    return found.length > 0 && found.every((value) => value !== null) ? (found as number[]) : null;
  };
  const count = years.reduce((sum, i) => sum + of.count[i]!, 0);
  const sum = known(of.sum)?.reduce((a, b) => a + b, 0) ?? null;
  const [min, max, last] = [known(of.min), known(of.max), known(of.last)];
  return {
    count,
    avg: sum === null ? null : sum / count,
    min: min && Math.min(...min),
    max: max && Math.max(...max),
    last: last?.at(-1) ?? null,
    p95: percentiles?.t.length === 1 ? (percentiles.p95?.[0] ?? null) : null,
  };
}
