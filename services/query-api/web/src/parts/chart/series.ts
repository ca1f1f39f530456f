import { type Query, address, api, listed, serverNow } from "../../api";
import { inOrder } from "../../latest";
import type { Series } from "../../types";
import { type Span, isLast, spanOf } from "./range";
import type { View } from "./view";

// readSeries reads a series of each metric of each device, in that order; without metrics all that there are.
export async function readSeries(
  devices: readonly string[], metrics: readonly string[] | null, { from, to }: Span, zone: string, more: Query, signal?: AbortSignal,
): Promise<Series[]> {
  const answer = await api.get<Series | Series[]>("/api/series/", {
    device_id: devices.map(listed),
    metric: metrics?.map(listed),
    from: new Date(from).toISOString(),
    to: new Date(to).toISOString(),
    tz: zone,
    ...more,
  }, signal);
  return Array.isArray(answer) ? answer : [answer];
}

// readMetrics reads the names of the metrics that any of the devices has in a span.
export async function readMetrics(devices: readonly string[], span: Span, zone: string, signal?: AbortSignal): Promise<string[]> {
  if (devices.length === 0) return [];
  const series = await readSeries(devices, null, span, zone, { interval: "1y", agg: "count" }, signal);
  return inOrder(series.map(({ metric }) => metric));
}

// readingsQuery selects the readings that a view shows. Where it goes on with the clock they have no end: one that a device
// dates a little ahead is the newest.
export function readingsQuery({ range }: View): Query {
  const { from, to } = spanOf(range, serverNow());
  return { since: new Date(from).toISOString(), until: isLast(range) ? null : new Date(to).toISOString() };
}

// exportAddress is that of a file of them, with columns for some metrics, or for all.
export const exportAddress = (format: "csv" | "ndjson" | "parquet", devices: readonly string[], view: View, metrics: readonly string[] = []): string =>
  address("/api/readings/export/", { format, device_id: devices.map(listed), ...readingsQuery(view), column: metrics });
