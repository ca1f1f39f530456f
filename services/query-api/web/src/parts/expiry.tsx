import type { Signal } from "@preact/signals";
import { serverNow } from "../api";
import { text } from "../text";
import { Select } from "./form";

const day = 86_400_000; // ms
export const never = "never";

// Expiry chooses after how many days something ends.
export const Expiry = ({ value, errors, choices }: { value: Signal<string>; errors: string[] | undefined; choices: readonly string[] }) => (
  <Select
    label={text.access.expires}
    value={value}
    errors={errors}
    options={choices.map((days) => [days, days === never ? text.access.never : text.access.days(Number(days))])}
  />
);

// expiresAt is what the API is told of it.
export const expiresAt = (days: string): string | null => (days === never ? null : new Date(serverNow() + Number(days) * day).toISOString());

// namesIn are keys and ids with commas between them.
export const namesIn = (written: string): string[] => written.split(",").map((name) => name.trim()).filter(Boolean);
