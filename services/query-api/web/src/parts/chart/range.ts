// Which time a chart shows: the last hour, day …, which goes on with the clock, or from one moment to another.

const second = 1000, minute = 60 * second, hour = 60 * minute, day = 24 * hour;

export const lasts = { "1h": hour, "24h": day, "7d": 7 * day, "30d": 30 * day, "1y": 365 * day };
export type Last = keyof typeof lasts;

// Span is from a moment to another, which is not part of it, in ms since 1970.
export interface Span {
  from: number;
  to: number;
}

export type Range = Last | Span;

const shortest = second;
const longest = 100 * 365 * day;
const earliest = Date.UTC(2000, 0, 1); // no reading is older

export const isLast = (range: Range): range is Last => typeof range === "string";

export const spanOf = (range: Range, now: number): Span => (isLast(range) ? { from: now - lasts[range], to: now } : range);

// rangeOf reads what rangeQuery writes. What makes no sense is the last day.
export function rangeOf(query: URLSearchParams): Range {
  const from = Date.parse(query.get("from") ?? "");
  const to = Date.parse(query.get("to") ?? "");
  return to - from >= shortest && to - from <= longest ? { from, to } : lastOf(query);
}

// lastOf is what was shown before somebody went into it.
export function lastOf(query: URLSearchParams): Last {
  const last = query.get("range") ?? "";
  return Object.hasOwn(lasts, last) ? (last as Last) : "24h";
}

export const rangeQuery = (range: Range): Record<string, string | null> =>
  isLast(range) ? { range, from: null, to: null } : { from: new Date(range.from).toISOString(), to: new Date(range.to).toISOString() };

// span is one from a moment to another as far as there is one: not too short, and not out of the time that readings are of.
export function span(from: number, to: number, now: number): Span {
  const width = Math.min(Math.max(Math.round(to - from), shortest), Math.max(now, to) - earliest);
  const start = Math.max(Math.round((from + to - width) / 2), earliest);
  return { from: start, to: start + width };
}

// zoom shows factor times as much around the middle, or up to now where that would be ahead of it.
export function zoom({ from, to }: Span, factor: number, now: number): Span {
  const width = (to - from) * factor;
  const end = Math.min((from + to + width) / 2, Math.max(now, to));
  return span(end - width, end, now);
}

// shift goes on by a share of what is shown, but not to where there is nothing yet.
export function shift({ from, to }: Span, share: number, now: number): Span {
  const by = Math.max(Math.min((to - from) * share, Math.max(now - to, 0)), earliest - from);
  return span(from + by, to + by, now);
}
