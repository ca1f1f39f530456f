// Which page is shown. A page is a link away: a click on <a href="/explore"> shows it without loading anything anew, and
// with a key held it opens elsewhere, as links do. What a page shows beyond that stands in the address too (setQuery).
import { signal } from "@preact/signals";
import type { Params, Route } from "./routes";

export interface Place {
  path: string;
  query: URLSearchParams;
}

const here = (): Place => ({ path: location.pathname, query: new URLSearchParams(location.search) });

export const place = signal<Place>(typeof location === "undefined" ? { path: "/", query: new URLSearchParams() } : here());

// match returns what stands in the braces of pattern, or null where path is another.
export function match(pattern: string, path: string): Params | null {
  const want = pattern.replace(/\/$/, "").split("/");
  const have = path.replace(/\/$/, "").split("/");
  if (want.length !== have.length) return null;
  const params: Params = {};
  for (const [i, part] of want.entries()) {
    const value = have[i] ?? "";
    const name = /^\{(.*)\}$/.exec(part)?.[1];
    if (name === undefined) {
      if (part !== value) return null;
      continue;
    }
    try {
      params[name] = decodeURIComponent(value);
    } catch {
      return null; // no UTF-8
    }
    if (params[name] === "") return null;
  }
  return params;
}

export function find(routes: Route[], path: string): { route: Route; params: Params } | null {
  for (const route of routes) {
    const params = match(route.path, path);
    if (params) return { route, params };
  }
  return null;
}

// navigate shows the page at an address, as a step in the browser's history or in place of the page that is shown.
export function navigate(to: string, { step = true } = {}): void {
  writeQuery();
  if (to !== location.pathname + location.search) history[step ? "pushState" : "replaceState"](null, "", to);
  place.value = here();
  scrollTo(0, 0);
}

const writeEvery = 300; // ms; browsers refuse to be told of every key
let unwritten: ReturnType<typeof setTimeout> | undefined;

const written = ({ path, query }: Place): string => (query.size === 0 ? path : `${path}?${query}`);

// setQuery changes what the address says after its "?", as a step in the browser's history or without one. What is null,
// "" or an empty list goes; a list is a parameter for each of its elements.
export function setQuery(changes: Record<string, string | readonly string[] | null>, { step = false } = {}): void {
  const before = place.peek();
  const query = new URLSearchParams(before.query);
  for (const [name, value] of Object.entries(changes)) {
    const values = (typeof value === "string" ? [value] : (value ?? [])).filter((one) => one !== "");
    if (values.length === 1) query.set(name, values[0]!); // it stays where it is
    else query.delete(name);
    if (values.length > 1) values.forEach((one) => query.append(name, one));
  }
  const after = { path: before.path, query };
  if (written(after) === written(before)) return;
  if (step) {
    writeQuery();
    history.pushState(null, "", written(after));
  } else {
    unwritten ??= setTimeout(writeQuery, writeEvery);
  }
  place.value = after;
}

function writeQuery(): void {
  if (unwritten === undefined) return;
  clearTimeout(unwritten);
  unwritten = undefined;
  history.replaceState(history.state, "", written(place.peek()));
}

// start follows the browser's history and the clicks on links to routes.
export function start(routes: Route[]): void {
  addEventListener("popstate", () => {
    clearTimeout(unwritten);
    unwritten = undefined;
    place.value = here();
  });
  document.addEventListener("click", (event) => {
    if (event.defaultPrevented || event.button !== 0 || event.metaKey || event.ctrlKey || event.shiftKey || event.altKey) return;
    const link = (event.target as Element).closest("a");
    if (!link || link.target || link.hasAttribute("download") || link.origin !== location.origin) return;
    if (link.hash !== "" || !find(routes, link.pathname)) return;
    event.preventDefault();
    navigate(link.pathname + link.search);
  });
}
