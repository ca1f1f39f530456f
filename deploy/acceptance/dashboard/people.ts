// A Telltale that asks for credentials, with somebody of each role.
import type { Page } from "@playwright/test";
import { randomBytes } from "node:crypto";
import { expect, test as base } from "./fixtures.ts";
import { Telltale } from "./telltale.ts";

export const roles = ["viewer", "operator", "admin", "member"] as const;
export type Role = (typeof roles)[number];

export const password = "correct horse battery staple"; // of them all; they are called as their roles

export const test = base.extend<object, { site: Telltale }>({
  // site has two devices: the member's, hall, and another's, attic.
  site: [
    async ({}, use) => {
      const site = await Telltale.start({ token: `tt_${randomBytes(32).toString("base64url")}` });
      const ids: Partial<Record<Role, number>> = {};
      const [admin] = await site.api<{ id: number }[]>("GET", "/api/users/"); // whose token it is
      for (const role of roles) {
        const account = { username: role, email: `${role}@example.com`, role, password };
        ({ id: ids[role] } = await (role === "admin" ? site.api("PUT", `/api/users/${admin!.id}/`, account) : site.api("POST", "/api/users/", account)));
      }
      await site.api("POST", "/api/devices/", { name: "hall", key: "hall", user: ids.member });
      await site.api("POST", "/api/devices/", { name: "attic", key: "attic", user: ids.operator });
      await site.send({ device_id: "attic", temperature: 10 }, { device_id: "hall", temperature: 20.5 });
      await use(site);
      await site.close();
    },
    { scope: "worker" },
  ],
});

// tryLogIn fills in the log-in that a page shows, and logIn returns when it has let somebody in.
export async function tryLogIn(page: Page, username: string, word: string): Promise<void> {
  await page.getByLabel("Username").fill(username);
  await page.getByLabel("Password").fill(word);
  await page.getByRole("button", { name: "Log in", exact: true }).click();
}

export async function logIn(page: Page, username: string, word = password): Promise<void> {
  await tryLogIn(page, username, word);
  await expect(page.getByRole("button", { name: "Log in", exact: true })).toHaveCount(0);
}
