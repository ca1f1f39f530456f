// What the API answers, as far as pages use it. openapi.yaml has all of it.
import type { Role } from "./access";

export interface Reading {
  device_id: number;
  device_key?: string;
  temperature: number | null;
  humidity: number | null;
  timestamp: string;
  metrics?: Record<string, number>;
  attributes?: Record<string, string>;
  times?: Record<string, string>; // of members that are older than timestamp
  timestamp_source?: "device" | "server";
  device_timestamp?: string;
  received_at?: string;
}

export type Status = "online" | "offline" | "never";

export interface Device {
  id: number;
  name: string;
  user: number;
  location: string | null;
  created_at: string;
  key: string | null;
  status: Status;
  last_seen: string | null;
  offline_after: number; // seconds
}

export interface User {
  id: number;
  username: string;
  email: string;
  created_at: string;
  role: Role;
  disabled: boolean;
  has_password: boolean;
}

export interface Series {
  device_id: number;
  metric: string;
  interval: string; // "raw" where each value is a point
  t: number[]; // ms since 1970
  count: number[];
  sum?: (number | null)[];
  avg?: (number | null)[];
  min?: (number | null)[];
  max?: (number | null)[];
  last?: (number | null)[];
  p95?: (number | null)[];
}

// What a live stream tells of a device: as it is now, or that it is gone.
export type DeviceEvent = Device | { id: number; deleted: true };

export interface DeadLetterEvent {
  reason: string;
  detail: string;
  source: string;
  device_id?: number;
  device_key?: string;
  received_at: string;
}

// Trace says what is known of the way of a device's messages.
export interface Trace {
  registered: boolean;
  listens: boolean; // Telltale is the MQTT endpoint itself, and so knows connections
  connections: { client_id: string; address: string; protocol: string; since: string; until: string | null; refused: string | null; replica: string }[];
  last_message: { topic: string; client_id: string | null; at: string; outcome: "reading" | "dead_letter" | "ignored" } | null;
  clock_skew_seconds: number | null; // how far its clock is behind
  near_misses: Ignored[];
  hints: string[]; // a sentence each, the likeliest first
}

export interface DeadLetter {
  id: string;
  reason: string;
  detail: string;
  device_id: number | null;
  device_key?: string;
  source: string;
  client_id: string | null;
  principal: string | null;
  received_at: string;
  retained: boolean;
  content_type: string | null;
  payload: string;
  encoding: "text" | "base64";
  replayed_at: string | null;
  replayed_readings: number;
}

export interface DeadLetterStats {
  total: number;
  replayed: number;
  by_reason: { reason: string; count: number; replayed: number }[];
  by_topic: { topic: string; count: number; replayed: number; example: string; looks_like: string | null; hint: string | null }[];
}

export interface Replay {
  id: string;
  outcome: "replayed" | "rejected" | "unavailable";
  readings: number;
  reason: string | null;
  detail: string | null;
}

// Ignored is a topic, or a member, that nothing reads.
export interface Ignored {
  topic: string;
  member: string | null;
  client_id: string | null;
  count: number;
  last: string;
  example: string;
  hint: string | null;
}

// Explanation is what a message becomes by the rules.
export interface Explanation {
  rule: string | null;
  file: string | null;
  detail: string | null;
  readings: Reading[];
  rejected: { reason: string; detail: string; device_id: number | null; payload: string }[];
  omitted: { member: string; reason: string; example: string }[];
  complete: boolean;
}
