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

export function navigate(to: string): void {
  writeQuery();
  if (to !== location.pathname + location.search) history.pushState(null, "", to);
  place.value = here();
  scrollTo(0, 0);
}

const writeEvery = 300; // ms; browsers refuse to be told of every key
let unwritten: ReturnType<typeof setTimeout> | undefined;

// setQuery changes what the address says after its "?", without a step in the browser's history. What is null or "" goes.
export function setQuery(changes: Record<string, string | null>): void {
  const query = new URLSearchParams(place.peek().query);
  for (const [name, value] of Object.entries(changes)) {
    if (value === null || value === "") query.delete(name);
    else query.set(name, value);
  }
  place.value = { path: place.peek().path, query };
  unwritten ??= setTimeout(writeQuery, writeEvery);
}

function writeQuery(): void {
  if (unwritten === undefined) return;
  clearTimeout(unwritten);
  unwritten = undefined;
  const { path, query } = place.peek();
  const asked = query.toString();
  history.replaceState(history.state, "", asked === "" ? path : `${path}?${asked}`);
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
