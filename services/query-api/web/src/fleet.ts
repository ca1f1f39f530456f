// All devices with their latest values, kept up to date by the live stream: what the overview shows.
//
// It holds a device and its latest values for each that is registered, MAX_DEVICES at most. What comes is put in place at once;
// the page is told at most every few frames (values), and once a second where rows come, go or move (list).
import { type Signal, signal } from "@preact/signals";
import { pages, serverNow } from "./api";
import { type Latest, latestOf, merge } from "./latest";
import type { Device, DeviceEvent, Reading, Status, User } from "./types";

export const MAX_DEVICES = 100_000;

const valuesEvery = 250; // ms
const listEvery = 1000;

export interface Filter {
  q: string;
  status: string;
  user: string;
  location: string;
}

export type Order = "name" | "seen" | "status" | "location";

export class Fleet {
  readonly devices = new Map<number, Device>();
  readonly latest = new Map<number, Latest>();
  readonly users = signal<User[]>([]);
  readonly loaded = signal(false); // all of it, once at least
  readonly values: Signal<number> = signal(0); // changes when values have changed
  readonly list: Signal<number> = signal(0); // changes when devices have
  readonly rate = new Rate();
  private readonly due = new Map<Signal<number>, ReturnType<typeof setTimeout>>();

  // load replaces everything by what the API says.
  async load(stop: AbortSignal): Promise<void> {
    const all = async <T>(path: string) => {
      const items: T[] = [];
      for await (const page of pages<T>(path, {}, stop)) items.push(...page);
      return items;
    };
    const online = all<Reading>("/api/readings/latest_all/");
    online.catch(() => {}); // it is waited for below
    const found = new Map<number, Device>();
    for await (const page of pages<Device>("/api/devices/", {}, stop)) {
      for (const device of page) if (found.size < MAX_DEVICES) found.set(device.id, device);
      if (this.loaded.value) continue;
      for (const device of page) this.devices.set(device.id, device);
      this.list.value++; // the first rows are seen while the others come
    }
    const [readings, users] = await Promise.all([online, all<User>("/api/users/")]);
    replace(this.devices, found);
    const latest = new Map<number, Latest>();
    for (const [id, known] of this.latest) if (found.has(id)) latest.set(id, known); // those of devices that are offline
    for (const reading of readings) latest.set(reading.device_id, latestOf(reading));
    replace(this.latest, latest);
    this.rate.begin(serverNow());
    this.users.value = users;
    this.loaded.value = true;
    this.list.value++;
    this.values.value++;
  }

  reading(reading: Reading): void {
    const { device_id: id, received_at: received } = reading;
    const device = this.devices.get(id);
    this.rate.count(Date.parse(received ?? reading.timestamp));
    if (!device && this.latest.size >= MAX_DEVICES) return;
    this.latest.set(id, merge(this.latest.get(id), reading, 1000 * (device?.offline_after ?? 60)));
    if (device && received !== undefined && (device.last_seen === null || Date.parse(received) > Date.parse(device.last_seen))) {
      device.last_seen = received;
    }
    this.tell(this.values, valuesEvery);
  }

  // remember has the last values of a device that is offline, which only its stored readings have.
  remember(reading: Reading): void {
    if (!this.latest.has(reading.device_id)) this.latest.set(reading.device_id, latestOf(reading));
    this.tell(this.values, valuesEvery);
  }

  device(event: DeviceEvent): void {
    if ("deleted" in event) {
      this.devices.delete(event.id);
      this.latest.delete(event.id);
    } else if (this.devices.has(event.id) || this.devices.size < MAX_DEVICES) {
      this.devices.set(event.id, event);
    }
    this.tell(this.list, listEvery);
  }

  close(): void {
    for (const timer of this.due.values()) clearTimeout(timer);
  }

  private tell(changed: Signal<number>, every: number): void {
    if (this.due.has(changed)) return;
    const timer = setTimeout(() => {
      this.due.delete(changed);
      changed.value++;
    }, every);
    this.due.set(changed, timer);
  }

  // rows are the devices that pass a filter, in an order.
  rows(filter: Filter, order: Order, descending: boolean): Device[] {
    const passes = filtered(filter);
    return [...this.devices.values()].filter(passes).sort(sorted(order, descending));
  }

  counts(): Record<Status, number> {
    const counts = { online: 0, offline: 0, never: 0 };
    for (const { status } of this.devices.values()) counts[status]++;
    return counts;
  }
}

function replace<V>(all: Map<number, V>, by: Map<number, V>): void {
  all.clear();
  for (const [id, value] of by) all.set(id, value);
}

// filtered is the filter of the API, but that it looks for each word by itself, and for an id.
export function filtered({ q, status, user, location }: Filter): (device: Device) => boolean {
  const words = q.toLocaleLowerCase().split(/\s+/).filter((word) => word !== "");
  return (device) => {
    if (status !== "" && device.status !== status) return false;
    if (user !== "" && String(device.user) !== user) return false;
    if (location !== "" && device.location !== location) return false;
    if (words.length === 0) return true;
    const text = `${device.name}\n${device.key ?? ""}\n${device.location ?? ""}`.toLocaleLowerCase();
    return words.every((word) => text.includes(word) || word === String(device.id));
  };
}

const names = new Intl.Collator(undefined, { numeric: true, sensitivity: "base" });
const statuses: Status[] = ["offline", "online", "never"]; // what needs a look first

// sorted compares devices. Devices that are alike are in the order of their names, then of their ids. What is not known
// comes last, either way.
export function sorted(order: Order, descending: boolean): (a: Device, b: Device) => number {
  const sign = descending ? -1 : 1;
  const byName = (a: Device, b: Device) => names.compare(a.name, b.name) || a.id - b.id;
  const unknownLast = <T>(a: T | null, b: T | null, compare: (a: T, b: T) => number) =>
    a === null || b === null ? Number(a === null) - Number(b === null) : sign * compare(a, b);
  switch (order) {
    case "name":
      return (a, b) => sign * byName(a, b);
    case "seen":
      return (a, b) => unknownLast(a.last_seen, b.last_seen, (x, y) => Date.parse(x) - Date.parse(y)) || byName(a, b);
    case "status":
      return (a, b) => sign * (statuses.indexOf(a.status) - statuses.indexOf(b.status)) || byName(a, b);
    case "location":
      return (a, b) => unknownLast(a.location, b.location, names.compare) || byName(a, b);
  }
}

// Rate counts what arrived at Telltale in each of the last seconds, by its clock: a backlog that comes after a cut counts
// when it arrived there.
export class Rate {
  static readonly seconds = 10;
  private readonly counts = new Map<number, number>(); // by second
  private first = Infinity; // second of which all is counted

  // begin says that from now on all is counted.
  begin(now: number): void {
    this.counts.clear();
    this.first = Math.floor(now / 1000) + 1;
  }

  count(arrival: number): void {
    const second = Math.floor(arrival / 1000);
    if (second < this.first) return;
    this.counts.set(second, (this.counts.get(second) ?? 0) + 1);
    for (const old of this.counts.keys()) {
      if (this.counts.size <= 3 * Rate.seconds) break;
      this.counts.delete(old);
    }
  }

  // perSecond is of the last whole seconds but the newest one, of which some may be on the way. It is null before there is one.
  perSecond(now: number): number | null {
    const end = Math.floor(now / 1000) - 1;
    const from = Math.max(this.first, end - Rate.seconds);
    if (from >= end) return null;
    let sum = 0;
    for (const [second, count] of this.counts) if (second < end && second >= from) sum += count;
    return sum / (end - from);
  }
}
