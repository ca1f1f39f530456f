// Asks the API. A failure is an ApiError, which has what the API says of it; one that was aborted is an AbortError.
//
// Where a session has ended, what was asked waits until somebody has logged in again, so that nothing on the page is lost.
import { signal } from "@preact/signals";
import { text } from "./text";

export type Query = Record<string, string | number | boolean | null | undefined | readonly (string | number)[]>;

export interface Options {
  query?: Query | undefined;
  body?: unknown;
  signal?: AbortSignal | undefined;
  anonymous?: boolean; // 401 is an error like others
}

export class ApiError extends Error {
  // status is 0 where there was no answer. fields says what is wrong with which field of a form.
  constructor(readonly status: number, message: string, readonly fields: Record<string, string[]> = {}) {
    super(message);
  }
}

// address is a path of the API with what is asked of it. What is undefined, null or "" is left out.
export function address(path: string, query: Query = {}): string {
  const parameters = new URLSearchParams();
  for (const [name, value] of Object.entries(query)) {
    const list = Array.isArray(value) ? value : [value];
    for (const one of list) {
      if (one !== undefined && one !== null && one !== "") parameters.append(name, String(one));
    }
  }
  const asked = parameters.toString();
  return asked === "" ? path : `${path}?${asked}`;
}

// errorOf reads {"detail": "…"} and {"field": ["…"]}, and makes do with anything else.
export function errorOf(status: number, body: unknown): ApiError {
  if (body === null || typeof body !== "object" || Array.isArray(body)) return new ApiError(status, text.errors.status(status));
  const { detail, ...rest } = body as Record<string, unknown>;
  if (typeof detail === "string") return new ApiError(status, detail);
  const fields: Record<string, string[]> = {};
  for (const [name, messages] of Object.entries(rest)) {
    if (Array.isArray(messages)) fields[name] = messages.map(String);
  }
  const general = fields["non_field_errors"] ?? Object.entries(fields).map(([name, messages]) => `${name}: ${messages.join(" ")}`);
  return new ApiError(status, general.join(" ") || text.errors.status(status), fields);
}

// ahead is how far the server's clock is ahead of this machine's, in ms: ages are told by the server's.
let ahead = 0;
const dateHeaderError = 2000; // it has whole seconds, and was written before it came

export const serverNow = (): number => Date.now() + ahead;

function compareClocks(answer: Response): void {
  const date = Date.parse(answer.headers.get("Date") ?? "");
  if (Number.isNaN(date) || answer.headers.has("Age")) return;
  const difference = date - Date.now();
  ahead = Math.abs(difference) > dateHeaderError ? difference : 0;
}

// sessionOver says that a session has ended under the page, until somebody has logged in again.
export const sessionOver = signal(false);

async function untilLogin(stop: AbortSignal | null | undefined): Promise<void> {
  let forget = () => {};
  try {
    await new Promise<void>((resolve, reject) => {
      forget = sessionOver.subscribe((over) => void (over || resolve()));
      stop?.addEventListener("abort", () => reject(stop.reason), { once: true });
    });
  } finally {
    forget();
  }
}

// send is fetch, after a log-in where the session has ended.
export async function send(to: string, init: RequestInit): Promise<Response> {
  if (sessionOver.peek()) await untilLogin(init.signal);
  const answer = await fetch(to, init);
  if (answer.status !== 401) return answer;
  sessionOver.value = true;
  return send(to, init);
}

// ask is fetch, for answers that are no errors.
export async function ask(method: string, path: string, { query, body, signal, anonymous }: Options = {}): Promise<Response> {
  let answer: Response;
  try {
    answer = await (anonymous ? fetch : send)(address(path, query), {
      method,
      signal: signal ?? null,
      headers: body === undefined ? {} : { "Content-Type": "application/json" },
      body: body === undefined ? null : JSON.stringify(body),
    });
  } catch (err) {
    if (signal?.aborted) throw err;
    throw new ApiError(0, text.errors.noAnswer);
  }
  compareClocks(answer);
  if (!answer.ok) throw errorOf(answer.status, await answer.json().catch(() => null));
  return answer;
}

async function json<T>(method: string, path: string, options?: Options): Promise<T> {
  const answer = await ask(method, path, options);
  if (answer.status === 204) return undefined as T;
  return (await answer.json()) as T;
}

// listed writes an element of a list in a parameter, in which commas stand between elements.
export const listed = (element: string): string => element.replace(/[\\,]/g, "\\$&");

export const api = {
  get: <T>(path: string, query?: Query, signal?: AbortSignal, options?: Options) => json<T>("GET", path, { ...options, query, signal }),
  post: <T>(path: string, body: unknown, query?: Query, options?: Options) => json<T>("POST", path, { ...options, body, query }),
  put: <T>(path: string, body: unknown) => json<T>("PUT", path, { body }),
  patch: <T>(path: string, body: unknown) => json<T>("PATCH", path, { body }),
  delete: <T = void>(path: string, query?: Query) => json<T>("DELETE", path, { query }),
};

// ifThere is null where the API says that there is no such thing.
export async function ifThere<T>(answer: Promise<T>): Promise<T | null> {
  try {
    return await answer;
  } catch (err) {
    if (err instanceof ApiError && err.status === 404) return null;
    throw err;
  }
}

// nextOf is the address of the next page of a list (RFC 8288), or null behind its end.
export function nextOf(link: string | null, base: string): string | null {
  for (const [, target, parameters] of (link ?? "").matchAll(/<([^>]*)>([^,]*)/g)) {
    if (/;\s*rel="?next"?/.test(parameters ?? "")) {
      const url = new URL(target ?? "", base);
      return url.pathname + url.search;
    }
  }
  return null;
}

export interface Page<T> {
  items: T[];
  next: string | null; // an address for page
}

// page reads a page of a list.
export async function page<T>(path: string, query?: Query, signal?: AbortSignal): Promise<Page<T>> {
  const answer = await ask("GET", path, { query, signal });
  return { items: (await answer.json()) as T[], next: nextOf(answer.headers.get("Link"), answer.url) };
}

// pages reads a list to its end, page by page.
export async function* pages<T>(path: string, query?: Query, signal?: AbortSignal): AsyncGenerator<T[]> {
  for (let at: Page<T> | null = await page<T>(path, query, signal); ; at = await page<T>(at.next, {}, signal)) {
    yield at.items;
    if (at.next === null) return;
  }
}
