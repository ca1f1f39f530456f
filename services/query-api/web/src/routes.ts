// The pages. One more is a line here, a name in text, and its address in ../dashboard.go.
import type { ComponentType } from "preact";
import type { Right } from "./access";
import Login from "./pages/login";
import Overview from "./pages/overview";
import { text } from "./text";

// Params are the parts of the address that the route has in braces, decoded.
export type Params = Record<string, string>;

export interface Route {
  path: string;
  nav?: string; // its name among the links at the top, if it is there
  need?: Right; // who has it not does not see the page
  load: () => Promise<ComponentType<{ params: Params }>>;
}

// Files of a few pages each make less to load than one for each page.
const charts = () => import("./pages/charts");
const others = () => import("./pages/others");

export const routes: Route[] = [
  { path: "/", nav: text.nav.overview, load: async () => Overview },
  { path: "/devices/{id}", load: async () => (await charts()).Device },
  { path: "/explore", nav: text.nav.explore, load: async () => (await charts()).Explore },
  { path: "/dead-letters", nav: text.nav.deadLetters, load: async () => (await others()).DeadLetters },
  { path: "/ignored", nav: text.nav.ignored, need: "site", load: async () => (await others()).Ignored },
  { path: "/mappings", nav: text.nav.mappings, load: async () => (await others()).Mappings },
  { path: "/system", nav: text.nav.system, need: "site", load: async () => (await others()).System },
  { path: "/admin/users", nav: text.nav.users, need: "users", load: async () => (await others()).Users },
  { path: "/admin/devices", nav: text.nav.devices, load: async () => (await others()).Devices },
  { path: "/access/refused", nav: text.nav.access, need: "access", load: async () => (await others()).Refused },
  { path: "/access/would-deny", need: "access", load: async () => (await others()).Refused },
  { path: "/access/credentials", need: "access", load: async () => (await others()).Credentials },
  { path: "/access/tokens", load: async () => (await others()).Tokens },
  { path: "/access", load: async () => (await others()).Tokens }, // which everybody has
  { path: "/access/audit", need: "users", load: async () => (await others()).Audit },
  { path: "/login", load: async () => Login },
];
