// What every test of a page has: a Telltale, a page that may complain of nothing, and looks at it as a whole.
//
//   site    one for all tests of a run, with devices of a few families; do not stop it
//   fresh   one for this test alone, empty, with the settings of test.use({ settings: { … } })
//   page    a tab, at site unless the test goes elsewhere. The test fails if the browser wrote a warning or an error on
//           the console, a script failed, or something came from another host. Answers of the API that fail on purpose
//           are named with expectStatus.
import { AxeBuilder } from "@axe-core/playwright";
import { type Page, type TestInfo, expect, test as base } from "@playwright/test";
import { join } from "node:path";
import { Telltale } from "./telltale.ts";

export { expect };
export { Telltale, until } from "./telltale.ts";

export const phone = { width: 360, height: 740 };
export const desktop = { width: 1280, height: 800 };

const complaints = new WeakMap<Page, { text: string; url: string }[]>();
const allowed = new WeakMap<Page, RegExp[]>();

export const test = base.extend<{ fresh: Telltale; settings: Record<string, string> }, { site: Telltale }>({
  settings: [{}, { option: true }],
  site: [
    async ({}, use) => {
      const site = await Telltale.start({ families: ["telltale", "tasmota", "zigbee2mqtt", "shelly"] });
      await use(site);
      await site.close();
    },
    { scope: "worker" },
  ],
  fresh: async ({ page, settings }, use, info) => {
    const fresh = await Telltale.start({ settings });
    await use(fresh);
    await leave(page, info); // before it is gone
    await fresh.close();
  },
  page: async ({ page }, use, info) => {
    watch(page);
    await use(page);
    await leave(page, info);
    expect(complaints.get(page)!.filter(({ text, url }) => !early({ text, url }) && !allowed.get(page)!.some((pattern) => pattern.test(text)))).toEqual([]);
  },
});

// early reports whether a page has asked for a device of which a reading came before it was registered. It asks again.
const early = ({ text, url }: { text: string; url: string }) => text.includes(" 404 ") && /\/api\/(devices|latest)\/[^/?]+\/$/.test(url);

// leave keeps how a page looked in the end of its test.
async function leave(page: Page, info: TestInfo): Promise<void> {
  if (page.url() === "about:blank") return;
  const folder = process.env["SCREENSHOTS"];
  if (folder) await page.screenshot({ path: join(folder, `${info.titlePath.join(" ").replace(/[^\w]+/g, "_")}.png`) });
  await page.goto("about:blank");
}

// watch notes what the browser complains of. It is for pages that a test opens by itself.
export function watch(page: Page): void {
  const found: { text: string; url: string }[] = [];
  complaints.set(page, found);
  allowed.set(page, []);
  page.on("console", (message) => {
    if (["warning", "error"].includes(message.type())) found.push({ text: message.text(), url: message.location().url });
  });
  page.on("pageerror", (error) => found.push({ text: String(error.stack ?? error), url: page.url() }));
  page.on("request", (request) => {
    const { protocol, host } = new URL(request.url());
    if (protocol.startsWith("http") && !host.startsWith("127.0.0.1:")) found.push({ text: "a request to another host", url: request.url() });
  });
}

// expectStatus says that the test has the API answer with these, of which the browser complains.
export function expectStatus(page: Page, ...statuses: number[]): void {
  allowed.get(page)!.push(...statuses.map((status) => new RegExp(`Failed to load resource: .* ${status} `)));
}

// expectCuts says that the test takes Telltale away from the page.
export function expectCuts(page: Page): void {
  allowed.get(page)!.push(/net::ERR_/);
}

// expectFaults says that the test makes a page fail, with errors of these names.
export function expectFaults(page: Page, ...names: string[]): void {
  allowed.get(page)!.push(...names.map((name) => new RegExp(`^${name}: `)));
}

// screenshot keeps how a page looks, where SCREENSHOTS names a folder for that.
export async function screenshot(page: Page, name: string): Promise<void> {
  const folder = process.env["SCREENSHOTS"];
  if (folder) await page.screenshot({ path: join(folder, `${name}.png`), fullPage: true });
}

// expectAccessible has axe look for what is serious or critical, by WCAG 2.2 AA and its best practices.
export async function expectAccessible(page: Page): Promise<void> {
  const { violations } = await new AxeBuilder({ page }).analyze();
  const grave = violations.filter(({ impact }) => impact === "serious" || impact === "critical");
  expect(grave.map(({ id, help, nodes }) => ({ id, help, at: nodes.map((node) => node.html) }))).toEqual([]);
}

// expectFits says that a page is not wider than its window, once charts are drawn anew for that.
export async function expectFits(page: Page): Promise<void> {
  const wider = () => page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
  await expect.poll(wider, "by how much the page is wider than the window").toBeLessThanOrEqual(0);
}

// expectGoodLooks checks a page as it is now on a phone and on a desktop, light and dark, and keeps how it looks.
export async function expectGoodLooks(page: Page, name: string): Promise<void> {
  for (const colorScheme of ["light", "dark"] as const) {
    await page.emulateMedia({ colorScheme });
    for (const [device, size] of Object.entries({ phone, desktop })) {
      await page.setViewportSize(size);
      await expectFits(page);
      await expectAccessible(page);
      await screenshot(page, `${name}-${device}-${colorScheme}`);
    }
  }
}
