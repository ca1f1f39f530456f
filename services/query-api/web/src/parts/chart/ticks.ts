// What stands at the axes. That of time has its ticks at round times of the zone, written in the reader's way.
import { instant, wall } from "./zone";

const second = 1000, minute = 60 * second, hour = 60 * minute, day = 24 * hour;
const monday = 4 * day; // 1970-01-05

// Steps are so long in ms, or so many months.
type Step = { ms: number } | { months: number };

const steps: Step[] = [
  ...[1, 2, 5, 10, 15, 30].map((n) => ({ ms: n * second })),
  ...[1, 2, 5, 10, 15, 30].map((n) => ({ ms: n * minute })),
  ...[1, 2, 3, 6, 12].map((n) => ({ ms: n * hour })),
  ...[1, 2, 7, 14].map((n) => ({ ms: n * day })),
  ...[1, 2, 3, 6, 12, 24, 60, 120].map((n) => ({ months: n })),
];

const length = (step: Step): number => ("ms" in step ? step.ms : step.months * 30 * day);

// stepFor is the shortest with which there are no more ticks than count.
export const stepFor = (from: number, to: number, count: number): Step =>
  steps.find((step) => (to - from) / length(step) <= count) ?? { months: 12 * 10 ** Math.ceil(Math.log10((to - from) / (365 * day) / count)) };

// ticks are ascending, and none is there twice: clocks that are set back show an hour again, which has none then.
export function ticks(from: number, to: number, zone: string, step: Step): number[] {
  const found: number[] = [];
  const add = (shown: number) => {
    const at = instant(shown, zone);
    if (at >= from && at <= to && (found.length === 0 || at > found.at(-1)!)) found.push(at);
  };
  const start = wall(from, zone);
  const end = wall(to, zone) + day; // clocks may be set back meanwhile
  if ("ms" in step) {
    const base = step.ms % (7 * day) === 0 ? monday : 0;
    for (let shown = base + Math.floor((start - day - base) / step.ms) * step.ms; shown <= end; shown += step.ms) add(shown);
  } else {
    const first = new Date(start);
    const months = first.getUTCFullYear() * 12 + first.getUTCMonth();
    for (let n = Math.floor(months / step.months) * step.months; ; n += step.months) {
      const shown = new Date(0);
      shown.setUTCFullYear(Math.floor(n / 12), n % 12, 1);
      if (+shown > end) break;
      add(+shown);
    }
  }
  return found;
}

const formats = new Map<string, Intl.DateTimeFormat>();

function format(zone: string, options: Intl.DateTimeFormatOptions): Intl.DateTimeFormat {
  const name = zone + JSON.stringify(options);
  let found = formats.get(name);
  if (!found) formats.set(name, (found = new Intl.DateTimeFormat(undefined, { timeZone: zone, ...options })));
  return found;
}

// labels are what stands at the ticks: below times of day the date, at the first one and wherever it is another.
export function labels(at: readonly number[], zone: string, step: Step): string[] {
  if ("months" in step) {
    const form = format(zone, step.months % 12 === 0 ? { year: "numeric" } : { year: "numeric", month: "short" });
    return at.map((ms) => form.format(ms));
  }
  const date = format(zone, { month: "short", day: "numeric" });
  if (step.ms >= day) return at.map((ms) => date.format(ms));
  const time = format(zone, { hour: "numeric", minute: "2-digit", ...(step.ms < minute && { second: "2-digit" }) });
  let before = "";
  return at.map((ms) => {
    const today = date.format(ms);
    const label = today === before ? time.format(ms) : `${time.format(ms)}\n${today}`;
    before = today;
    return label;
  });
}

// axisNumber has as many digits as the distance between two ticks has.
export function axisNumber(value: number, increment: number): string {
  let digits = 0;
  while (digits < 7 && Math.abs(Math.round(increment * 10 ** digits) / 10 ** digits - increment) > increment / 1e6) digits++;
  if (digits > 6 || Math.abs(value) >= 1e9) return value === 0 ? "0" : value.toExponential(2).replace(/\.?0+e/, "e");
  return value.toLocaleString(undefined, { maximumFractionDigits: digits });
}
