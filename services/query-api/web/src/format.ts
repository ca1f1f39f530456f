// How numbers, ages and times are shown: in the reader's locale, and "–" for what is not known.
import { text } from "./text";

const numbers = new Map<number, Intl.NumberFormat>();

function formatter(digits: number): Intl.NumberFormat {
  let found = numbers.get(digits);
  if (!found) numbers.set(digits, (found = new Intl.NumberFormat(undefined, { maximumFractionDigits: digits })));
  return found;
}

// number shows about as many digits as a sensor has, and never shows what is not 0 as 0.
export function number(value: number | null | undefined): string {
  if (value === null || value === undefined || !Number.isFinite(value)) return text.unknown;
  const size = Math.abs(value);
  if (size !== 0 && (size < 1e-3 || size >= 1e12)) return value.toExponential(2).replace(/\.?0+e/, "e");
  return formatter(size >= 1000 ? 1 : size >= 1 ? 2 : 4).format(value);
}

export const integer = (value: number | null | undefined): string =>
  value === null || value === undefined ? text.unknown : formatter(0).format(value);

// Units that Telltale gives these metrics, whatever the device calls them. Others have those of the device.
const units: Record<string, string> = { temperature: "°C", humidity: "%", battery: "%" };

export const unitOf = (metric: string, attributes: Record<string, string> = {}): string => attributes[`${metric}_unit`] ?? units[metric] ?? "";

export function withUnit(value: number | null | undefined, unit: string): string {
  const shown = number(value);
  return unit === "" || shown === text.unknown ? shown : `${shown}\u00a0${unit}`;
}

const second = 1000, minute = 60 * second, hour = 60 * minute, day = 24 * hour;

// age is a duration in ms in a unit of which there are enough, rounded down. What is ahead of the clock by a moment is
// 0 s old.
export function age(ms: number | null | undefined): string {
  if (ms === null || ms === undefined || Number.isNaN(ms)) return text.unknown;
  const whole = Math.max(0, ms);
  const count = (unit: number) => integer(Math.floor(whole / unit));
  if (whole < 2 * minute) return text.ages.seconds(count(second));
  if (whole < 2 * hour) return text.ages.minutes(count(minute));
  if (whole < 2 * day) return text.ages.hours(count(hour));
  return text.ages.days(count(day));
}

// moment is when something was, to the second. zone is an IANA name; without one it is the reader's own.
export function moment(time: number | string | null | undefined, zone?: string): string {
  const ms = typeof time === "string" ? Date.parse(time) : time;
  if (ms === null || ms === undefined || Number.isNaN(ms)) return text.unknown;
  return moments(zone).format(ms);
}

const momentFormats = new Map<string | undefined, Intl.DateTimeFormat>();

function moments(zone: string | undefined): Intl.DateTimeFormat {
  let found = momentFormats.get(zone);
  if (!found) {
    found = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "medium", ...(zone && { timeZone: zone }) });
    momentFormats.set(zone, found);
  }
  return found;
}

const sizes = ["B", "kB", "MB", "GB", "TB", "PB"];

// bytes is a size in units of 1000.
export function bytes(n: number | null | undefined): string {
  if (n === null || n === undefined) return text.unknown;
  let unit = 0;
  while (n >= 1000 && unit < sizes.length - 1) {
    n /= 1000;
    unit++;
  }
  return `${formatter(n < 10 && unit > 0 ? 1 : 0).format(n)}\u00a0${sizes[unit]}`;
}
