// The pages. One more is a line here, a name in text.ts, and its address in ../dashboard.go.
import type { ComponentType } from "preact";
import { text } from "./text";

// Params are the parts of the address that the route has in braces, decoded.
export type Params = Record<string, string>;

export interface Route {
  path: string;
  nav?: string; // its name among the links at the top, if it is there
  load: () => Promise<{ default: ComponentType<{ params: Params }> }>;
}

export const routes: Route[] = [
  { path: "/", nav: text.nav.overview, load: () => import("./pages/overview") },
  { path: "/devices/{id}", load: () => import("./pages/device") },
  { path: "/explore", nav: text.nav.explore, load: () => import("./pages/explore") },
  { path: "/dead-letters", nav: text.nav.deadLetters, load: () => import("./pages/dead-letters") },
  { path: "/ignored", nav: text.nav.ignored, load: () => import("./pages/ignored") },
  { path: "/mappings", nav: text.nav.mappings, load: () => import("./pages/mappings") },
  { path: "/system", nav: text.nav.system, load: () => import("./pages/system") },
  { path: "/admin/users", nav: text.nav.users, load: () => import("./pages/admin-users") },
  { path: "/admin/devices", nav: text.nav.devices, load: () => import("./pages/admin-devices") },
];
