import type { Page } from "@playwright/test";
import { expect, expectAccessible, expectCuts, expectFits, expectGoodLooks, expectStatus, phone, screenshot, test } from "./fixtures.ts";
import { type Telltale, until } from "./telltale.ts";

const verdict = (page: Page) => page.locator("section.sum");
const station = (page: Page, name: string) => page.locator(".pipeline .card").filter({ has: page.getByRole("heading", { name, exact: true }) });
const figure = (page: Page, of: string, name: string) => station(page, of).locator(`dt:text-is("${name}") + dd`);

// started returns when all services have said that they run, and are counted.
const started = (telltale: Telltale) =>
  until(async () => {
    const answer = await telltale.ask("GET", "/api/system/");
    return answer.ok && (await answer.json()).conservation.since !== null;
  }, 30_000);

test("it shows what was published, and that it adds up, by MQTT, HTTP and in the stores", async ({ page, fresh }) => {
  await started(fresh);
  for (let n = 0; n < 20; n++) await fresh.publish("sensors/7/data", { temperature: n, timestamp: 1_700_000_000_000 + n });
  await fresh.publish("sensors/7/data", { temperature: 1, timestamp: 1_700_000_000_001 }); // again
  await fresh.publish("sensors/7/data", { temperature: "junk" });
  await fresh.send({ device_id: 8, temperature: 20 });

  await page.goto(`${fresh.url}/system`);
  await expect(page.getByRole("heading", { level: 1, name: "System" })).toBeVisible();
  await expect(verdict(page)).toContainText(
    "23 received = 21 stored + 0 merged + 1 duplicates + 1 dead letters + 0 failed + 0 in flight", { timeout: 30_000 });
  await expect(verdict(page).getByRole("heading", { name: "It adds up" })).toBeVisible();
  await expect(verdict(page)).toContainText("Each reading that was received", { timeout: 30_000 });

  for (const [name, count] of Object.entries({ MQTT: 22, HTTP: 1, Stored: 22, "Latest values": 22, Devices: 22 })) {
    await expect(figure(page, name, "Readings")).toHaveText(String(count));
    await expect(figure(page, name, "In flight")).toHaveText("0");
  }
  await expect(figure(page, "Dead letters", "Behind")).toHaveText("0");
  await expect(figure(page, "raw-data", "Oldest")).toHaveText("0 s");

  const services = page.getByRole("table", { name: "Services" });
  await expect(services.getByRole("rowheader")).toHaveText(["cache-updater", "ingest-writer", "mqtt-bridge", "query-api"]);
  await expect(services.getByText("ready", { exact: true })).toHaveCount(4);
  await expect(page.getByRole("table", { name: "Storage" }).getByRole("rowheader", { name: "Readings" })).toBeVisible();
  await expect(page.getByRole("table", { name: "Consumer groups" }).getByRole("row")).toHaveCount(1 + 4);
  await expect(page.getByText("curl http://HOST:9100/metrics")).toBeVisible();
  await expectGoodLooks(page, "system");
  await page.getByRole("link", { name: "The API, to try out" }).click();
  await expect(page).toHaveURL(/\/api\/docs\/$/);
});

test("rates, and what is behind, move while devices send", async ({ page, site }) => {
  await page.goto(`${site.url}/system`);
  await expect(figure(page, "MQTT", "Rate")).toHaveText(/^[\d.]+\/s$/);
  const count = async () => Number((await figure(page, "Stored", "Readings").innerText()).replaceAll(",", ""));
  const before = await count();
  await expect.poll(count, { timeout: 30_000 }).toBeGreaterThan(before);
  await expect(verdict(page).getByRole("heading", { name: "It adds up" })).toBeVisible({ timeout: 30_000 });
});

test("on a phone the picture goes from top to bottom", async ({ page, site }) => {
  await page.setViewportSize(phone);
  await page.goto(`${site.url}/system`);
  const columns = page.locator(".pipeline > li");
  await expect(columns).toHaveCount(3);
  const [first, second, third] = await columns.evaluateAll((all) => all.map((one) => one.getBoundingClientRect().toJSON() as DOMRect)); // at the same time
  expect([second!.x, third!.x]).toEqual([first!.x, first!.x]);
  expect(first!.bottom).toBeLessThan(second!.top);
  expect(second!.bottom).toBeLessThan(third!.top);
  await expectFits(page);
});

test("what is wrong is said: a loss, a service that is gone, one that waits, names of any length", async ({ page, fresh }) => {
  await started(fresh);
  const state = await fresh.api("GET", "/api/system/");
  const now = new Date().toISOString();
  Object.assign(state.conservation, { adds_up: false, since: now, received: 12_345, stored: 12_340, detail: "5 readings are missing." });
  Object.assign(state.services[0], { gone: true, ready: false, instance: "W".repeat(255), version: "\u202e" + "v".repeat(100) });
  Object.assign(state.services[1], { ready: false, problems: [`mongodb: not available since ${now}`] });
  Object.assign(state.pipeline[0], { adds_up: false, rate: 123_456.789, received_total: 9_007_199_254_740_991 });
  state.storage = [{ name: "readings", bytes: 5e12, bytes_per_day: 1e9, free_bytes: 2e10, days_until_full: 20 }, { name: "other", bytes: 1, bytes_per_day: null, free_bytes: null, days_until_full: null }];
  state.problems = ["Kafka does not answer: this is what services said 12s ago."];
  await page.route("**/api/system/", (route) => route.fulfill({ json: state }));
  await page.goto(`${fresh.url}/system`);
  await expect(verdict(page).getByRole("heading", { name: "It does not add up" })).toBeVisible();
  await expect(verdict(page)).toContainText("5 readings are missing.");
  await expect(page.getByText("Kafka does not answer")).toBeVisible();
  await expect(station(page, "MQTT")).toContainText("What it counts does not add up.");
  const services = page.getByRole("table", { name: "Services" });
  await expect(services.getByText("gone", { exact: true })).toHaveCount(1);
  await expect(services.getByRole("row").filter({ has: page.getByRole("rowheader", { name: "ingest-writer" }) })).toContainText("mongodb: not available since");
  const storage = page.getByRole("table", { name: "Storage" });
  await expect(storage.getByRole("row", { name: /Readings/ })).toContainText("20 d");
  await expect(storage.getByRole("row", { name: /other/ })).toContainText("–");
  await expectGoodLooks(page, "system-wrong");

  state.conservation.adds_up = null;
  await page.reload();
  await expect(verdict(page).getByRole("heading", { name: "Whether it adds up cannot be said" })).toBeVisible();
});

test("while Telltale is away it says so and since when, keeps what was known, and goes on by itself", async ({ page, fresh }) => {
  expectCuts(page);
  expectStatus(page, 503);
  await started(fresh);
  await page.goto(`${fresh.url}/system`);
  await expect(verdict(page)).toBeVisible();
  await fresh.end();
  await expect(page.getByRole("alert")).toContainText("What the services say cannot be loaded: Telltale does not answer.");
  await expect(page.getByText(/^Nothing new for [1-9]\d* s\.$/)).toBeVisible();
  await expect(page.getByRole("table", { name: "Services" }).getByRole("row")).toHaveCount(5);
  await screenshot(page, "system-away");
  await expectAccessible(page);
  await page.getByRole("button", { name: "Try again" }).focus(); // by itself it goes when Telltale is back
  await page.keyboard.press("Enter");
  await expect(page.getByRole("alert")).toContainText("Telltale does not answer.");
  await fresh.run();
  await expect(page.getByRole("alert")).toHaveCount(0);
});

test("it asks nothing while nobody looks, and at once when somebody does", async ({ page, site }) => {
  let asked = 0;
  page.on("request", (request) => request.url().endsWith("/api/system/") && asked++);
  await page.clock.install();
  await page.goto(`${site.url}/system`);
  await expect(verdict(page)).toBeVisible();
  const look = (hidden: boolean) =>
    page.evaluate((hidden) => {
      Object.defineProperty(document, "hidden", { configurable: true, get: () => hidden });
      document.dispatchEvent(new Event("visibilitychange"));
    }, hidden);
  const first = asked;
  await page.clock.runFor(6_000);
  await expect.poll(() => asked).toBeGreaterThan(first);
  await look(true);
  const before = asked;
  await page.clock.runFor(120_000);
  expect(asked).toBe(before);
  await look(false);
  await expect.poll(() => asked).toBe(before + 1);
});

test("it can be used by keyboard alone", async ({ page, site }) => {
  await page.goto(site.url);
  const link = page.getByRole("navigation").getByRole("link", { name: "System" });
  for (let n = 0; n < 10 && !(await link.evaluate((one) => one === document.activeElement)); n++) await page.keyboard.press("Tab");
  await page.keyboard.press("Enter");
  await expect(page.getByRole("heading", { level: 1, name: "System" })).toBeFocused();
  await expect(verdict(page)).toBeVisible();
  await page.keyboard.press("Tab");
  await expect(page.getByRole("link", { name: "The API, to try out" })).toBeFocused();
});
