// What /api/system/ answers, as the page shows it: the way of readings as a picture in three columns.

export interface System {
  at: string | null;
  version: string;
  problems: string[];
  services: Service[];
  pipeline: Stage[];
  topics: Topic[];
  conservation: Conservation;
  storage: Store[];
}

export interface Service {
  name: string;
  instance: string;
  version: string;
  started: string | null;
  seen: string | null;
  gone: boolean;
  ready: boolean;
  problems: string[];
}

export interface Stage {
  service: string;
  counts: string;
  received_total: number;
  rate: number;
  outcomes: Record<string, number>;
  in_flight: number;
  adds_up: boolean;
}

export interface Topic {
  topic: string;
  partitions: number | null;
  groups: Group[];
}

export interface Group {
  group: string;
  partitions: number;
  lag: number | null;
  lag_seconds: number | null;
}

export interface Conservation {
  adds_up: boolean | null;
  since: string | null;
  received: number;
  in_flight_before: number;
  stored: number;
  merged: number;
  duplicates: number;
  dead_letters: number;
  failed: number;
  in_flight: number;
  tolerance: number;
  detail: string;
}

export interface Store {
  name: string;
  bytes: number;
  bytes_per_day: number | null;
  free_bytes: number | null;
  days_until_full: number | null;
}

// Station is a box of the picture: what takes readings in, or what they go to. stage and group are null where nobody who
// runs says anything of them.
export interface Station {
  counts: string; // which readings it counts; its name is in text.ts
  service: string;
  stage: Stage | null;
  group: Group | null;
}

// Who takes readings in, and who consumes them, each with its consumer group.
const sources = [
  { counts: "bridge_readings", service: "mqtt-bridge" },
  { counts: "http_readings", service: "query-api" },
  { counts: "replay_readings", service: "query-api" },
];
const consumers = [
  { counts: "writer_readings", service: "ingest-writer", group: "ingest-writer" },
  { counts: "updater_readings", service: "cache-updater", group: "cache-updater" },
  { counts: "registrar_readings", service: "query-api", group: "device-registry" },
  { counts: "dead_letters", service: "ingest-writer", group: "dead-letters" },
];

export interface Picture {
  sources: Station[];
  topic: string | null; // of readings; null while nobody consumes it
  waiting: Group | null; // the group that is behind most
  consumers: Station[];
}

export function pictureOf({ pipeline, topics }: Pick<System, "pipeline" | "topics">): Picture {
  const stage = (counts: string) => pipeline.find((one) => one.counts === counts) ?? null;
  const group = (name: string) => topics.flatMap(({ groups }) => groups).find((one) => one.group === name) ?? null;
  const ofReadings = topics.find(({ groups }) => groups.some((one) => one.group === "ingest-writer"));
  const known = (ofReadings?.groups ?? []).filter(({ lag }) => lag !== null);
  return {
    sources: sources.map(({ counts, service }) => ({ counts, service, stage: stage(counts), group: null })),
    topic: ofReadings?.topic ?? null,
    waiting: known.reduce<Group | null>((most, one) => (most === null || one.lag! > most.lag! ? one : most), null),
    consumers: consumers.map(({ counts, service, group: name }) => ({ counts, service, stage: stage(counts), group: group(name) })),
  };
}

// sumOf is the sum of what became of readings, and of what was received: what each term of it is called, and how many.
export function sumOf(c: Conservation): { left: [Term, number][]; right: [Term, number][] } {
  const terms = (...names: Term[]): [Term, number][] => names.map((name) => [name, c[name]]);
  return {
    left: c.in_flight_before === 0 ? terms("received") : terms("received", "in_flight_before"),
    right: terms("stored", "merged", "duplicates", "dead_letters", "failed", "in_flight"),
  };
}

export type Term = "received" | "in_flight_before" | "stored" | "merged" | "duplicates" | "dead_letters" | "failed" | "in_flight";
