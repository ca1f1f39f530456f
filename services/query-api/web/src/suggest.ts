// A rule for a topic that nobody reads, guessed from one of its messages. pkg/mapping has the language. What the rule
// makes of the message is then asked of the API: this is a beginning, and people know better which level is the device.
import { closed } from "./bytes";

const identifiers = ["device_id", "deviceId", "dev_id", "device", "sensor_id", "sensorId", "node_id", "nodeId", "mac", "serial", "id"];
const times = ["timestamp", "time", "Time", "ts", "datetime", "date_time", "at", "last_seen", "created_at"];
const kinds = /^(data|state|status|telemetry|sensor|values?|json|attributes|readings?|measurements?|up|uplink|update|report)$/i;

type Json = null | boolean | number | string | Json[] | { [name: string]: Json };

function parse(payload: string): Json | undefined {
  for (const text of [payload, closed(payload)]) {
    try {
      return JSON.parse(text) as Json;
    } catch {
      // the next one
    }
  }
  return undefined;
}

const quoted = (text: string): string => (/^[A-Za-z_][\w-]*$/.test(text) && !/^(true|false|null|yes|no|on|off|y|n)$/i.test(text) ? text : JSON.stringify(text));

// deviceLevel is where a topic of more than one level seems to name the device: at its last level with a digit, or in
// front of what says the kind of message.
function deviceLevel(levels: string[], scalar: boolean): number {
  const last = levels.length - 1;
  if (scalar) return last - 1; // the last is what is measured
  const numbered = levels.findLastIndex((level) => /\d/.test(level) && !/^v\d+$/.test(level));
  if (numbered >= 0) return numbered;
  return kinds.test(levels[last] ?? "") || last > 1 ? last - 1 : last;
}

function strings(value: Json): string[] {
  if (typeof value === "string") return [value];
  return value !== null && typeof value === "object" ? Object.values(value).flatMap(strings) : [];
}

export function suggest(topic: string, payload: string): string {
  const value = parse(payload) ?? payload;
  const message = Array.isArray(value) ? (value[0] ?? null) : value; // of a batch, the first
  const scalar = message === null || typeof message !== "object";
  const members = scalar || Array.isArray(message) ? {} : message;
  const levels = topic.split("/");
  const words = levels.filter((level) => /^[A-Za-z]/.test(level));
  const lines = [`name: ${quoted((words[0] ?? "own").toLowerCase().replace(/[^\w-]+/g, "-"))}`];

  const id = identifiers.find((name) => ["string", "number"].includes(typeof members[name]) && members[name] !== "");
  const place = deviceLevel(levels, scalar);
  const named = levels.filter(Boolean).length > 1 && !id && (levels[place] ?? "") !== "";
  const pattern = levels.map((level, i) => {
    if (named && i === place) return "{device}";
    if (named && scalar && i === levels.length - 1) return "{metric}";
    return id && /\d/.test(level) ? "+" : level;
  });
  lines.push(`topic: ${quoted(pattern.join("/"))}`);
  if (id) lines.push(`device: ${JSON.stringify(`{.${id.replace(/\./g, "\\.")}}`)}`);
  else if (!named) lines.push(`device: ${quoted(topic.replace(/^\/+|\/+$/g, "") || "device")}`);

  const time = times.find((name) => ["string", "number"].includes(typeof members[name]));
  if (time) lines.push(`time: ${quoted(time)}`);

  const texts = strings(scalar ? value : members);
  const values = [];
  if (scalar) values.push(`scalar: ${named ? '"{metric}"' : "value"}`);
  if (texts.some((text) => text.trim() !== "" && Number.isFinite(Number(text)))) values.push("numbers_in_strings: true");
  if (texts.some((text) => /^(ON|OFF)$/.test(text))) values.push('words: {"ON": 1, "OFF": 0}');
  if (values.length > 0) lines.push(`values: {${values.join(", ")}}`);
  return lines.map((line, i) => (i === 0 ? "- " : "  ") + line).join("\n") + "\n";
}

// whole is a message of which payload is the beginning.
export function whole(payload: string): string {
  const message = parse(payload);
  return message !== null && typeof message === "object" ? closed(payload) : payload;
}

// messageWith is a message with nothing but a member that readings were kept without.
export function messageWith(member: string, example: string): string {
  return JSON.stringify({ [member]: parse(example) ?? example });
}
