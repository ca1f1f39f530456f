// What changed of something, by an entry of the audit.

export interface Entry {
  id: number;
  at: string;
  actor: string | null;
  token: string | null;
  address: string | null;
  action: string;
  object: string;
  before: Record<string, unknown> | null;
  after: Record<string, unknown> | null;
}

export interface Change {
  name: string;
  before: string | null; // null: it was not there, or empty
  after: string | null;
}

const shown = (value: unknown): string | null => (value === undefined || value === null || value === "" ? null : typeof value === "string" ? value : JSON.stringify(value));

// changesOf leaves out what is as it was.
export function changesOf({ before, after }: Pick<Entry, "before" | "after">): Change[] {
  return [...new Set([...Object.keys(before ?? {}), ...Object.keys(after ?? {})])]
    .map((name) => ({ name, before: shown(before?.[name]), after: shown(after?.[name]) }))
    .filter((change) => change.before !== change.after);
}
