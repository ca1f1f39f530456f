// What people do on the pages, whoever they are: specs of pages do it without accounts, access.spec.ts in each role.
import type { Page } from "@playwright/test";
import { expect } from "./fixtures.ts";
import type { Telltale } from "./telltale.ts";

export const live = (page: Page) => page.getByRole("status").filter({ hasText: /^Live$/ });

export const latest = (page: Page, metric: string) => page.getByRole("region", { name: "Latest values" }).getByRole("listitem").filter({ hasText: metric });

// openDevice opens the page of a device that has sent something, and waits until it is live.
export async function openDevice(page: Page, site: Telltale, id: string, query = ""): Promise<void> {
  await page.goto(`${site.url}/devices/${encodeURIComponent(id)}${query}`);
  await expect(live(page)).toBeAttached();
}

// seeLive sees what a device sends, as it comes, in its latest values, its chart and its readings.
export async function seeLive(page: Page, site: Telltale, id: string): Promise<void> {
  await site.send({ device_id: id, temperature: 20.5 });
  await openDevice(page, site, id);
  await expect(latest(page, "temperature")).toContainText("20.5 °C");
  await expect(page.locator(".status")).toHaveText("online");
  await site.send({ device_id: id, temperature: 21.25 });
  await expect(latest(page, "temperature")).toContainText("21.25 °C");
  await expect(page.getByRole("cell", { name: "21.25" }).first()).toBeVisible();
  await expect(page.getByRole("img", { name: /^From .*the greatest 21.25.°C/ }).first()).toBeVisible();
}

// changeLocation edits a device on its page.
export async function changeLocation(page: Page, site: Telltale, id: string, location: string): Promise<void> {
  await openDevice(page, site, id);
  await page.getByRole("button", { name: "Edit" }).click();
  await page.getByLabel("Location").fill(location);
  await page.getByRole("button", { name: "Save" }).click();
  await expect(page.getByRole("status").filter({ hasText: `Saved: ${id}` })).toBeVisible();
  await expect(page.getByRole("definition").filter({ hasText: location })).toBeVisible();
}

// tryMapping asks what a message would become.
export async function tryMapping(page: Page, site: Telltale): Promise<void> {
  await page.goto(`${site.url}/mappings`);
  await page.getByLabel("Topic").fill("sensors/hall/data");
  await page.getByLabel("Payload").fill('{"temperature": 21.5}');
  await page.getByRole("button", { name: "Test" }).click();
  await expect(page.getByText("Read by the rule telltale (telltale)")).toBeVisible();
}
