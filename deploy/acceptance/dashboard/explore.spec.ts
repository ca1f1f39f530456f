import type { Page } from "@playwright/test";
import { expect, expectAccessible, expectGoodLooks, screenshot, test, watch } from "./fixtures.ts";
import { day, importHistory } from "./history.ts";

test.describe.configure({ timeout: 180_000 }); // axe, and windows of all sizes, take their time

const offers = (page: Page) => page.getByRole("listbox", { name: "Add a device" }).getByRole("option");
const plots = (page: Page) => page.getByRole("img", { name: /^From / });
const labels = (page: Page) => plots(page).evaluateAll((all) => all.map((one) => one.getAttribute("aria-label")));

test.describe("explore", () => {
  test("several devices and metrics, by keyboard alone, and the address shows others the same", async ({ page, fresh, browser }) => {
    await importHistory(fresh);
    await page.goto(`${fresh.url}/explore?${day}`);
    await page.getByRole("combobox", { name: "Add a device" }).focus();
    for (const n of [1, 2]) {
      await page.keyboard.type(`room-${n}`);
      await expect(offers(page)).toHaveText([new RegExp(`^room-${n}`)]);
      await page.keyboard.press("Enter");
      await expect(page.getByRole("button", { name: `Remove room-${n}` })).toBeVisible();
    }
    await expect(plots(page)).toHaveCount(2);
    await page.getByRole("checkbox", { name: "co2" }).focus();
    await page.keyboard.press("Space");
    await expect(plots(page)).toHaveCount(3);
    await expect(plots(page).first()).toHaveAttribute("aria-label", /room-1 · temperature: 1,440 values.*room-2 · temperature: 1,321 values.*2 gaps/);
    await expectGoodLooks(page, "explore");
    await page.setViewportSize({ width: 3840, height: 2160 });
    await screenshot(page, "explore-4k");

    const other = await (await browser.newContext({ timezoneId: "Asia/Tokyo", locale: "en-GB" })).newPage();
    watch(other);
    await other.goto(page.url());
    await expect(plots(other)).toHaveCount(3);
    await expect(async () => expect(await labels(other)).toEqual(await labels(page))).toPass({ timeout: 30_000 });
    await expect(other.getByLabel("From", { exact: true })).toHaveValue(await page.getByLabel("From", { exact: true }).inputValue());
    await other.context().close();

    await page.goBack();
    await expect(plots(page)).toHaveCount(2);
    await page.goBack();
    await expect(page.getByRole("button", { name: "Remove room-2" })).toBeHidden();
    await page.goForward();
    await expect(page.getByRole("button", { name: "Remove room-2" })).toBeVisible();
  });

  test("its statistics are those of the API, and its file has all readings", async ({ page, fresh }) => {
    await importHistory(fresh);
    await page.goto(`${fresh.url}/explore?device=room-1&device=room-3&metric=temperature&${day}`);
    const row = page.getByRole("row").filter({ has: page.getByRole("rowheader", { name: "room-3", exact: true }) });
    await expect(row).toContainText("1,440");
    const readings: any[] = await fresh.api("GET", "/api/devices/room-3/readings/?since=2026-03-10&until=2026-03-11&limit=10000");
    const values = readings.map((reading) => reading.temperature).sort((a, b) => a - b);
    const mean = values.reduce((a, b) => a + b, 0) / values.length;
    const p95 = values[Math.ceil(0.95 * values.length) - 1];
    const shown = (n: number) => `${n.toLocaleString("en-GB", { maximumFractionDigits: 2 })} °C`;
    await expect(row.getByRole("cell")).toHaveText(
      ["temperature", "1,440", shown(values[0]), shown(mean), shown(p95), shown(values.at(-1)), shown(readings[0].temperature)].map((text) => text.replace(" °C", "\u00a0°C")));
    const [download] = await Promise.all([page.waitForEvent("download"), page.getByRole("link", { name: "All readings as CSV" }).click()]);
    const lines = Buffer.concat(await (await download.createReadStream()).toArray()).toString().trimEnd().split("\n");
    expect(lines.length).toBe(2 * 1440 + 1);
    await expectAccessible(page);
  });

  test("goes on with what comes", async ({ page, fresh }) => {
    await fresh.send({ device_id: "a", temperature: 20 }, { device_id: "b", temperature: 30 });
    await page.goto(`${fresh.url}/explore?device=a&device=b&range=1h`);
    await expect(plots(page)).toHaveAttribute("aria-label", /a · temperature: 1 value, .* b · temperature: 1 value, /);
    await fresh.publish("sensors/a/data", { temperature: 25 });
    await expect(plots(page)).toHaveAttribute("aria-label", /a · temperature: 2 values, the least 20.°C, the greatest 25.°C/);
    await expect(page.getByRole("row", { name: /^a temperature 2/ })).toContainText("22.5");
  });

  test("finds one of many devices, and shows a bounded number", async ({ page, fresh }) => {
    await fresh.createDevices(300, (n) => ({ name: `Sensor ${n}`, key: `s-${n}` }));
    await page.goto(`${fresh.url}/explore`);
    await expect(page.getByText("Choose devices, and what they measure")).toBeVisible();
    const pick = page.getByRole("combobox", { name: "Add a device" });
    for (let n = 201; n <= 208; n++) {
      await pick.fill(`Sensor ${n}`);
      await expect(offers(page)).toHaveText([new RegExp(`^Sensor ${n}`)]);
      await offers(page).first().click();
    }
    await expect(page.getByRole("button", { name: /^Remove/ })).toHaveCount(8);
    await expect(pick).toBeDisabled();
    await expect(page.getByText("These devices measured nothing in this time.")).toBeVisible();
    await page.getByRole("button", { name: "Remove Sensor 201" }).click();
    await expect(pick).toBeEnabled();
    await fresh.api("PATCH", "/api/devices/s-300/", { name: "Sensor 202" });
    await pick.fill("s-300");
    await offers(page).filter({ hasText: "s-300" }).click();
    await expect(page.getByRole("button", { name: /^Remove Sensor 202/ })).toHaveText(["×", "×"]);
    await expect(page.getByRole("button", { name: "Remove Sensor 202 (s-300)" })).toBeVisible();
  });
});
