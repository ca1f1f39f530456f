// What the rows that are seen need beyond what is known of all devices: the last hour of a metric and, of a device that is
// offline, its last values. It is asked for together, for the rows that are seen, and asked anew once a minute.
//
// It keeps the lines of MAX_LINES devices at most, those that were asked for last.
import { signal } from "@preact/signals";
import { ApiError, api, listed, serverNow } from "./api";
import type { Fleet } from "./fleet";
import { ordered } from "./latest";
import type { Spark } from "./parts/sparkline";
import type { Device, Reading, Series } from "./types";

export const MAX_LINES = 1000;

const hour = 3_600_000;
const askAfter = 150; // ms in which no other rows come to be seen
const askAgain = 60_000;
const perRequest = 100; // devices
const lastAtOnce = 4; // requests for last values, of the six that a browser has at the same time

export class Visible {
  readonly changed = signal(0);
  private readonly lines = new Map<number, { spark: Spark; asked: number }>();
  private readonly unknown = new Set<number>(); // devices with nothing stored
  private rows: Device[] = [];
  private timer: ReturnType<typeof setTimeout> | undefined;
  private readonly stop = new AbortController();
  private busy = false;

  constructor(private readonly fleet: Fleet) {}

  // see says which rows are seen now.
  see(rows: Device[]): void {
    this.rows = rows;
    this.askIn(askAfter);
  }

  // spark is the last hour of a device's first metric, with what has come since.
  spark(device: Device): Spark | undefined {
    const spark = this.lines.get(device.id)?.spark;
    const newest = spark && this.fleet.latest.get(device.id)?.values.get(spark.metric);
    if (!newest || newest.at <= (spark.t.at(-1) ?? 0)) return spark;
    return { metric: spark.metric, t: [...spark.t, newest.at], v: [...spark.v, newest.value] };
  }

  close(): void {
    clearTimeout(this.timer);
    this.stop.abort();
  }

  private askIn(ms: number): void {
    clearTimeout(this.timer);
    this.timer = setTimeout(() => void this.ask(), ms);
  }

  private async ask(): Promise<void> {
    if (this.busy || document.hidden) return this.askIn(askAgain / 60);
    this.busy = true;
    try {
      await this.askLast();
      await this.askLines();
      this.askIn(askAgain / 4);
    } catch {
      if (!this.stop.signal.aborted) this.askIn(askAgain / 6); // the page says that Telltale is away
    } finally {
      this.busy = false;
    }
  }

  private async askLast(): Promise<void> {
    const { latest } = this.fleet;
    const lacking = this.rows.filter(({ id, last_seen }) => last_seen !== null && !latest.has(id) && !this.unknown.has(id)).values();
    const worker = async () => {
      for (const { id } of lacking) {
        try {
          this.fleet.remember(await api.get<Reading>(`/api/latest/${id}/`, {}, this.stop.signal));
        } catch (err) {
          if (!(err instanceof ApiError) || err.status !== 404) throw err;
          if (this.unknown.size >= MAX_LINES) this.unknown.clear();
          this.unknown.add(id);
        }
      }
    };
    await Promise.all(Array.from({ length: lastAtOnce }, worker));
  }

  private async askLines(): Promise<void> {
    const now = serverNow();
    const byMetric = new Map<string, number[]>();
    for (const { id } of this.rows) {
      const latest = this.fleet.latest.get(id);
      const metric = latest && ordered(latest)[0];
      const known = this.lines.get(id);
      if (metric === undefined || (known && known.spark.metric === metric && now - known.asked < askAgain)) continue;
      byMetric.set(metric, [...(byMetric.get(metric) ?? []), id]);
    }
    for (const [metric, ids] of byMetric) {
      for (let at = 0; at < ids.length; at += perRequest) await this.askSeries(metric, ids.slice(at, at + perRequest), now);
    }
  }

  private async askSeries(metric: string, ids: number[], now: number): Promise<void> {
    // A comma in a name would be two names.
    const query = { device_id: ids.join(","), metric: listed(metric), from: new Date(now - hour).toISOString(), points: 60, agg: "avg" };
    const answer = await api.get<Series | Series[]>("/api/series/", query, this.stop.signal);
    for (const { device_id, t, avg = [] } of [answer].flat()) {
      this.lines.delete(device_id); // to be the newest of them
      const spark: Spark = { metric, t: [], v: [] };
      t.forEach((at, i) => {
        const value = avg[i];
        if (value === null || value === undefined) return;
        spark.t.push(at);
        spark.v.push(value);
      });
      this.lines.set(device_id, { spark, asked: now });
    }
    for (const oldest of this.lines.keys()) {
      if (this.lines.size <= MAX_LINES) break;
      this.lines.delete(oldest);
    }
    this.changed.value++;
  }
}
