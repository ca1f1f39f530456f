import type { Page } from "@playwright/test";
import { expect, expectAccessible, expectCuts, expectFits, expectGoodLooks, expectStatus, screenshot, test } from "./fixtures.ts";
import { day, importFile, importHistory, start } from "./history.ts";
import { latest, live, openDevice as device } from "./journeys.ts";
import { Proxy } from "./proxy.ts";
import { until } from "./telltale.ts";

test.describe.configure({ timeout: 180_000 }); // axe, and windows of all sizes, take their time

const minute = 60_000, hour = 60 * minute;
const plot = (page: Page) => page.getByRole("img", { name: /^From / });
const range = (page: Page) => new URL(page.url()).searchParams;

test.describe("a device", () => {
  test("its values are live, each with its age", async ({ page, fresh }) => {
    await fresh.send({ device_id: "hall", temperature: 20.5, battery: 81, dew: 9, dew_unit: "°C" });
    await device(page, fresh, "hall");
    await expect(page.getByRole("heading", { level: 1, name: "hall" })).toBeVisible();
    await expect(latest(page, "temperature")).toContainText("20.5 °C");
    await expect(latest(page, "dew")).toContainText("9 °C");
    await expect(page.locator(".status")).toHaveText("online");
    await fresh.publish("sensors/hall/data", { temperature: 21.25 });
    await expect(latest(page, "temperature")).toContainText("21.25 °C");
    await expect(latest(page, "battery")).toContainText("81 %");
    await expect(page.getByRole("cell", { name: "21.25" })).toBeVisible();
    await expect(plot(page).first()).toHaveAttribute("aria-label", /temperature: 2 values, the least 20.5.°C, the greatest 21.25.°C/);
    await expectGoodLooks(page, "device");
  });

  test("a value that is older than offline_after is grey", async ({ page, fresh }) => {
    await fresh.send({ device_id: "hall", temperature: 20.5 });
    await fresh.api("PATCH", "/api/devices/hall/", { offline_after: 2 });
    await device(page, fresh, "hall");
    await expect(page.locator(".status")).toHaveText("offline");
    await expect(latest(page, "temperature").locator("strong")).toHaveClass("stale");
    await fresh.whileSending("sensors/hall/data", { temperature: 21 }, async () => {
      await expect(page.locator(".status")).toHaveText("online");
      await expect(latest(page, "temperature").locator("strong")).not.toHaveClass("stale");
    });
    await expect(latest(page, "temperature").locator("strong")).toHaveClass("stale"); // and again
  });

  test("is edited with the API's errors at the fields, and deleted", async ({ page, fresh }) => {
    await fresh.send({ device_id: "hall", temperature: 20.5 });
    await fresh.api("POST", "/api/users/", { username: "ada", email: "ada@example.com" });
    await device(page, fresh, "hall");
    await page.getByRole("button", { name: "Edit" }).click();
    await page.getByLabel("Name", { exact: true }).fill(" ");
    await page.getByLabel("Offline after").fill("soon");
    await page.getByRole("button", { name: "Save" }).click();
    await expect(page.getByLabel("Name", { exact: true })).toHaveAttribute("aria-invalid", "true");
    await expect(page.getByLabel("Name", { exact: true })).toBeFocused();
    await expect(page.getByLabel("Offline after")).toHaveAttribute("aria-invalid", "true");
    await expect(page.getByText("This field may not be blank.")).toBeVisible();
    await expectAccessible(page);
    await page.getByLabel("Name", { exact: true }).fill("Great hall");
    await page.getByLabel("Location").fill("North wing");
    await page.getByLabel("Owner").selectOption("ada");
    await page.getByLabel("Offline after").fill("600");
    await page.getByRole("button", { name: "Save" }).click();
    await expect(page.getByRole("heading", { level: 1 })).toHaveText("Great hall");
    await expect(page.getByText("Saved: Great hall")).toBeVisible();
    await expect(page.getByRole("button", { name: "Edit" })).toBeFocused();
    const saved = await fresh.api("GET", "/api/devices/hall/");
    expect(saved).toMatchObject({ name: "Great hall", location: "North wing", offline_after: 600 });
    await expect(page.getByText("10 min", { exact: true })).toBeVisible();

    await page.keyboard.press("Enter"); // it has the focus
    await page.getByLabel("Offline after").fill("");
    await page.keyboard.press("Enter");
    await expect.poll(async () => (await fresh.api("GET", "/api/devices/hall/")).offline_after).toBe(60);

    await page.getByRole("button", { name: "Delete" }).click();
    await expect(page.getByRole("dialog", { name: "Delete Great hall?" })).toContainText("Its readings stay");
    await page.keyboard.press("Escape");
    await expect(page.getByRole("dialog")).toBeHidden();
    await expect(page.getByRole("button", { name: "Delete" })).toBeFocused();
    await page.keyboard.press("Enter");
    await page.getByRole("dialog").getByRole("button", { name: "Cancel" }).press("Tab");
    await page.keyboard.press("Enter");
    await expect(page.getByText("This device is not registered.")).toBeVisible();
    await expect(page.getByRole("cell", { name: "20.5" })).toBeVisible();
    expect((await fresh.ask("GET", "/api/devices/hall/")).status).toBe(404);
    expectStatus(page, 400);
  });

  test("one that nobody knows has a page that helps", async ({ page, fresh }) => {
    expectStatus(page, 404);
    await page.goto(`${fresh.url}/devices/cellar`);
    await expect(page.getByText("This device is not registered. Nothing has come from it yet.")).toBeVisible();
    await expect(page.getByText("Likely reasons")).toBeVisible();
    await expectGoodLooks(page, "device-unknown");
    await fresh.send({ device_id: "cellar", temperature: 12 });
    await expect(latest(page, "temperature")).toContainText("12 °C");
    await expect(page.locator(".status")).toHaveText("online");
  });

  test("its range is dragged over, and moved and zoomed by keyboard", async ({ page, fresh }) => {
    await importHistory(fresh);
    await device(page, fresh, "room-2", `?${day}`);
    await expect(plot(page).first()).toHaveAttribute("aria-label", /temperature: 1,321 values.*2 gaps where it was silent/);
    const over = page.locator(".u-over").first();
    await over.hover({ position: { x: 1, y: 50 } }); // where it stays
    const box = (await over.boundingBox())!;
    await page.mouse.move(box.x + box.width / 4, box.y + 50);
    await page.mouse.down();
    await page.mouse.move(box.x + box.width / 2, box.y + 50, { steps: 5 });
    await page.mouse.up();
    await expect.poll(() => range(page).get("from")).toMatch(/^2026-03-10T0[56]:/);
    await expect(plot(page).first()).toHaveAttribute("aria-label", /From 10 Mar 2026/);
    const dragged = Date.parse(range(page).get("to")!) - Date.parse(range(page).get("from")!);
    expect(Math.abs(dragged - 6 * hour)).toBeLessThan(5 * minute);
    await page.getByRole("button", { name: "Zoom in" }).focus();
    await page.keyboard.press("Enter");
    await expect.poll(() => Date.parse(range(page).get("to")!) - Date.parse(range(page).get("from")!)).toBe(Math.round(dragged / 2));
    const { from } = Object.fromEntries(range(page));
    await page.getByRole("button", { name: "Later" }).focus();
    await page.keyboard.press("Space");
    await expect.poll(() => range(page).get("from")! > from!).toBe(true);
    await page.goBack();
    await expect.poll(() => range(page).get("from")).toBe(from);
    await page.getByRole("button", { name: "Reset" }).click();
    await expect.poll(() => range(page).get("from")).toBe(null);
    await expect(page.getByRole("button", { name: "The last 24 hours" })).toHaveAttribute("aria-pressed", "true");
  });

  test("its readings go on page by page, and the files are those of the API", async ({ page, fresh }) => {
    await importHistory(fresh);
    await device(page, fresh, "room-1", `?${day}`);
    const rows = page.locator("table.readings tbody tr");
    await expect(rows).toHaveCount(50);
    const first = await rows.first().locator("time").getAttribute("datetime");
    expect(first).toBe("2026-03-10T23:59:00.000Z");
    await page.getByRole("button", { name: "Older" }).click();
    await expect(rows.first().locator("time")).toHaveAttribute("datetime", "2026-03-10T23:09:00.000Z");
    await page.getByRole("button", { name: "Newer" }).click();
    await expect(rows.first().locator("time")).toHaveAttribute("datetime", first!);
    const [download] = await Promise.all([page.waitForEvent("download"), page.getByRole("link", { name: "CSV" }).click()]);
    const file = await (await download.createReadStream()).toArray();
    const wanted = await (await fresh.ask("GET", "/api/readings/export/?format=csv&device_id=room-1&since=2026-03-10T00:00:00Z&until=2026-03-11T00:00:00Z")).text();
    expect(Buffer.concat(file).toString()).toBe(wanted);
    expect(wanted.trimEnd().split("\n").length).toBe(24 * 60 + 1);
  });

  test("a point without neighbours is seen, and silence is a gap", async ({ page, fresh }) => {
    await importHistory(fresh);
    await device(page, fresh, "room-2", `?${day}&metric=temperature`);
    await expect(plot(page)).toHaveAttribute("aria-label", /2 gaps/);
    // The pixels of the line's color in the columns of the two silent hours are those of one point.
    const colored = () => page.evaluate(() => {
      const canvas = document.querySelector<HTMLCanvasElement>(".plot canvas")!;
      const over = document.querySelector(".u-over")!.getBoundingClientRect();
      const at = canvas.getBoundingClientRect();
      const { data, width, height } = canvas.getContext("2d")!.getImageData(0, 0, canvas.width, canvas.height);
      const colored = new Set<number>();
      for (let y = 0; y < height; y++) for (let x = 0; x < width; x++) {
        const i = 4 * (y * width + x);
        if (data[i + 2]! - data[i]! > 60 && data[i + 3]! > 128) colored.add(x);
      }
      const share = (x: number) => (x - (over.left - at.left)) / over.width;
      return [...colored].map(share);
    });
    let columns: number[] = [];
    const between = (from: number, to: number) => columns.filter((x) => x > from / 24 && x < to / 24).length;
    await expect(async () => { // it is drawn a little later than it is said
      columns = await colored();
      expect(between(9, 10)).toBeGreaterThan(20);
    }).toPass({ timeout: 30_000 });
    expect(between(10.05, 10.9)).toBe(0);
    expect(between(10.95, 11.05)).toBeGreaterThan(1);
    expect(between(11.1, 11.95)).toBe(0);
    await screenshot(page, "device-gaps");
  });

  test("the band has what stands out, and the pointer is told the values", async ({ page, fresh }) => {
    const lines = Array.from({ length: 8640 }, (_, i) => `${new Date(start + i * 10_000).toISOString()},boiler,${i === 4320 ? 90 : 60 + Math.round(20 * Math.sin(i / 7)) / 10}`);
    await importFile(fresh, "text/csv", ["timestamp,device_id,temperature", ...lines]);
    await device(page, fresh, "boiler", `?${day}`);
    await expect(plot(page)).toHaveAttribute("aria-label", /temperature: 8,640 values, the least 58.°C, the greatest 90.°C\.$/);
    const over = page.locator(".u-over");
    const { width } = (await over.boundingBox())!;
    await over.hover({ position: { x: width / 2, y: 50 } });
    await expect(page.locator(".legend")).toContainText(/temperature\d\d(\.\d+)?\s°C \(\d\d(\.\d)?\s°C to 90\s°C\)10 Mar 2026, 13:00:00/);
    await screenshot(page, "device-band");
    await page.mouse.move(0, 0);
    await expect(page.locator(".legend")).toHaveText("temperature");
  });

  test("its dead letters and its trace say why something does not appear", async ({ page, fresh }) => {
    await fresh.send({ device_id: "hall", temperature: 20.5 });
    await fresh.publish("sensors/hall/data", { temperature: "warm" });
    await until(async () => (await fresh.api("GET", "/api/dead-letters/?device_id=hall")).length === 1);
    await until(async () => (await fresh.api("GET", "/api/devices/hall/trace/")).connections.length === 1);
    await device(page, fresh, "hall");
    await expect(page.getByRole("table", { name: "Dead letters" })).toContainText("invalid_member");
    await expect(page.getByRole("table", { name: "Connections" })).toContainText("MQTT 3.1.1");
    await expect(page.getByRole("list").filter({ hasText: "became a dead letter: invalid_member" })).toBeVisible();
    await expect(page.getByText("sensors/hall/data").first()).toBeVisible();
    await expectGoodLooks(page, "device-trace");
    await page.getByRole("link", { name: "invalid_member" }).click();
    await expect(page).toHaveURL(/\/dead-letters\?device_id=hall&id=[0-9a-f]{32}$/);
  });

  test("long and odd names do not widen or scramble its page", async ({ page, fresh }) => {
    const long = "w".repeat(255);
    const odd = "\u202Edeliver\u2066 \u0645\u0631\u062D\u0628\u0627 \u{1F321}";
    await fresh.send({ device_id: long, [odd]: 1, ["m".repeat(200)]: 2, note: "n".repeat(5000) });
    await fresh.api("PATCH", `/api/devices/${long}/`, { name: odd + "x".repeat(200), location: odd });
    await device(page, fresh, long);
    await expect(latest(page, "mmm")).toBeVisible();
    await expectGoodLooks(page, "device-long");
    expect(await page.evaluate(() => document.documentElement.scrollHeight), "the height of the page").toBeLessThan(4000);
    await page.setViewportSize({ width: 3840, height: 2160 });
    await expectFits(page);
    await screenshot(page, "device-4k");
    await page.reload();
    await expect(page.getByRole("heading", { level: 1 })).toContainText("deliver");
  });
});

test("after 100 cuts of its connection its page shows what the API says", async ({ page, fresh }) => {
  expectCuts(page);
  const proxy = await Proxy.before(fresh.url);
  try {
    await fresh.send({ device_id: "hall", temperature: 0 });
    await page.goto(`${proxy.url}/devices/hall?metric=temperature`);
    await expect(live(page)).toBeAttached();
    for (let cut = 1; cut <= 100; cut++) {
      proxy.cut();
      await fresh.api("POST", "/api/readings/", { device_id: "hall", temperature: cut / 10, [cut % 2 ? "odd" : "even"]: cut });
      if (cut % 20 === 0) await expect(live(page)).toBeAttached(); // the others come while it connects
    }
    await expect(live(page)).toBeAttached();
    for (const [metric, value] of [["temperature", "10 °C"], ["odd", "99"], ["even", "100"]] as const) {
      await expect(latest(page, metric).locator("strong")).toHaveText(value);
    }
    const times = page.locator("table.readings tbody time");
    await expect(async () => { // the last of them are stored a little later
      const readings = await fresh.api<{ timestamp: string }[]>("GET", "/api/devices/hall/readings/?limit=50");
      expect(await times.evaluateAll((all) => all.map((one) => one.getAttribute("datetime")))).toEqual(readings.map((one) => one.timestamp));
    }).toPass({ timeout: 30_000 });
    await expect(plot(page)).toHaveAttribute("aria-label", /temperature: 101 values, the least 0.°C, the greatest 10.°C/);
  } finally {
    proxy.close();
  }
});

test("the API knows every time zone that can be chosen", async ({ page, fresh }) => {
  await fresh.send({ device_id: "hall", temperature: 0 });
  await device(page, fresh, "hall");
  const zones = await page.getByLabel("Time zone").getByRole("option").evaluateAll((all) => all.map((one) => (one as HTMLOptionElement).value));
  expect(zones.length).toBeGreaterThan(400);
  const left = zones.values();
  const ask = async () => {
    for (const zone of left) await fresh.api("GET", `/api/series/?device_id=hall&metric=temperature&tz=${encodeURIComponent(zone)}`);
  };
  await Promise.all([ask(), ask(), ask(), ask()]);
});

test.describe("on a day that clocks are changed", () => {
  test.use({ timezoneId: "America/New_York" });
  test("hours are those of the browser's zone, or of the one chosen", async ({ page, fresh }) => {
    const readings = Array.from({ length: 48 }, (_, i) => ({ device_id: "hall", temperature: i, timestamp: new Date(Date.parse("2026-03-08T00:30:00Z") + i * 30 * minute).toISOString() }));
    await fresh.send(...readings);
    await until(async () => (await fresh.api("GET", "/api/devices/hall/readings/?since=2026-03-08&until=2026-03-09&limit=100")).length >= 47);
    await device(page, fresh, "hall", "?from=2026-03-08T05:00:00Z&to=2026-03-08T10:00:00Z");
    await expect(page.getByLabel("From", { exact: true })).toHaveValue("2026-03-08T00:00");
    await expect(page.getByLabel("To", { exact: true })).toHaveValue("2026-03-08T06:00"); // 5 hours later, of which one was skipped
    await page.getByText("The values as a table").click();
    await expect(page.getByRole("rowheader", { name: "8 Mar 2026, 03:00:00" }).first()).toBeVisible();
    await expect(page.getByRole("rowheader", { name: "8 Mar 2026, 02:30:00" })).toHaveCount(0);
    await page.getByLabel("Time zone").selectOption("Asia/Katmandu");
    await expect(page.getByLabel("From", { exact: true })).toHaveValue("2026-03-08T10:45");
    await page.getByLabel("From", { exact: true }).fill("2026-03-08T12:00:00");
    await page.getByRole("button", { name: "Show", exact: true }).click();
    await expect.poll(() => range(page).get("from")).toBe("2026-03-08T06:15:00.000Z");
    expect(range(page).get("tz")).toBe("Asia/Katmandu");
    await expect(plot(page)).toHaveAttribute("aria-label", /From 8 Mar 2026, 12:00:00 to 8 Mar 2026, 15:45:00/);
  });
});
