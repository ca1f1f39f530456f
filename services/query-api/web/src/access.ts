// Who looks at the pages, and what he may do. The API decides; by this pages show nothing that it would refuse.
import { signal } from "@preact/signals";
import { api, sessionOver } from "./api";

export type Role = "viewer" | "operator" | "admin" | "member";

export interface Me {
  id: number | null; // null where nobody has to say who he is
  username: string | null;
  role: Role;
  auth: "open" | "warn" | "session" | "token" | "proxy";
  may: Right[];
  roles: Role[]; // that he may give to a token of his
  has_password: boolean;
}

// What there is to be allowed. Which role has it is the API's alone.
export type Right =
  | "site" // sees what is of no device by itself
  | "change" // changes the devices that he sees, their credentials and dead letters
  | "access" // credentials of gateways, and who was refused
  | "users"; // people, their tokens, the audit

export const me = signal<Me | null>(null); // null: not known yet, or he has to log in

export const may = (right: Right): boolean => me.value !== null && me.value.may.includes(right);

// identify asks who looks at the pages. A session by cookie says so, or nothing does.
export async function identify(signal?: AbortSignal): Promise<void> {
  me.value = await api.get<Me>("/api/me/", {}, signal, { anonymous: true });
}

export interface Ways {
  required: boolean; // nobody is let in without
  oidc: { name: string; url: string } | null;
  ca: string | null; // where the certificate is that clients have to trust
}

export const ways = (signal?: AbortSignal): Promise<Ways> => api.get<Ways>("/api/login/", {}, signal, { anonymous: true });

export async function logIn(username: string, password: string): Promise<void> {
  const before = me.peek();
  const who = await api.post<Me>("/api/login/", { username, password }, {}, { anonymous: true });
  if (before?.id != null && before.id !== who.id) return location.reload(); // what is shown was another's
  me.value = who;
  if (!sessionOver.peek()) return;
  sessionOver.value = false;
  // What asks by itself asks at once, as when somebody comes back to the page.
  document.dispatchEvent(new Event("visibilitychange"));
}

// logOut leaves nothing of what was shown in the tab.
export async function logOut(): Promise<void> {
  await api.post("/api/logout/", undefined, {}, { anonymous: true });
  location.replace("/login");
}
