// What clocks show in a time zone, with the rules that the browser knows. A wall time is written as the moment at which
// a clock in UTC shows the same, in ms since 1970.

const day = 24 * 60 * 60 * 1000;
const formats = new Map<string, Intl.DateTimeFormat>();

function parts(zone: string): Intl.DateTimeFormat {
  let found = formats.get(zone);
  if (!found) {
    found = new Intl.DateTimeFormat("en-US", {
      timeZone: zone, hourCycle: "h23", year: "numeric", month: "numeric", day: "numeric", hour: "numeric", minute: "numeric", second: "numeric",
    });
    formats.set(zone, found);
  }
  return found;
}

export const browserZone = (): string => Intl.DateTimeFormat().resolvedOptions().timeZone || "UTC";

export function isZone(zone: string): boolean {
  try {
    return parts(zone) !== undefined;
  } catch {
    return false;
  }
}

// zones are those that can be chosen.
export const zones = (): string[] => [...new Set(["UTC", ...Intl.supportedValuesOf("timeZone")])];

export function wall(ms: number, zone: string): number {
  const at: Record<string, number> = {};
  for (const { type, value } of parts(zone).formatToParts(ms)) at[type] = Number(value);
  const whole = Date.UTC(at["year"]!, at["month"]! - 1, at["day"], at["hour"], at["minute"], at["second"]);
  return whole + (((ms % 1000) + 1000) % 1000);
}

// instant is when clocks show a wall time: the first time where they do twice, and where they skip it as long after the
// change as it would have been.
export function instant(shown: number, zone: string): number {
  const offset = (ms: number) => wall(ms, zone) - ms;
  const first = shown - offset(shown - day);
  if (wall(first, zone) === shown) return first;
  const second = shown - offset(shown + day);
  return wall(second, zone) === shown ? second : first;
}
