// Which dead letters a page shows: what stands in its address, as the API takes it.
import type { Query } from "./api";
import type { DeadLetterEvent } from "./types";

const names = ["reason", "topic", "device_id", "since", "until", "replayed"] as const;

export type Filter = Partial<Record<(typeof names)[number], string>>;

export function filterOf(query: URLSearchParams): Filter {
  const filter: Filter = {};
  for (const name of names) {
    const value = query.get(name);
    if (value) filter[name] = value;
  }
  return filter;
}

export const queryOf = (filter: Filter): Query => filter as Record<string, string>;

// selects reports whether an MQTT filter is for a topic. iot.TopicFilter is the same in Go.
export function selects(filter: string, topic: string): boolean {
  const wanted = filter.split("/");
  const levels = topic.split("/");
  for (const [i, want] of wanted.entries()) {
    if (want === "#") return true;
    if (i >= levels.length || (want !== "+" && want !== levels[i])) return false;
  }
  return wanted.length === levels.length;
}

// isOf reports whether what has just become a dead letter is one of those that filter selects.
export function isOf(filter: Filter, event: DeadLetterEvent): boolean {
  const received = Date.parse(event.received_at);
  return (
    (!filter.reason || filter.reason === event.reason) &&
    (!filter.topic || selects(filter.topic, event.source)) &&
    (!filter.device_id || [String(event.device_id), event.device_key].includes(filter.device_id)) &&
    !(received < Date.parse(filter.since ?? "")) &&
    !(received >= Date.parse(filter.until ?? "")) &&
    filter.replayed !== "true"
  );
}

// toInput is a time for an input of type datetime-local, in the reader's own zone, and fromInput the time of one.
export function toInput(time: string): string {
  const date = new Date(time);
  if (Number.isNaN(date.getTime())) return "";
  return new Date(date.getTime() - date.getTimezoneOffset() * 60_000).toISOString().slice(0, 16);
}

export function fromInput(value: string): string {
  const date = new Date(value);
  return Number.isNaN(date.getTime()) ? "" : date.toISOString();
}
