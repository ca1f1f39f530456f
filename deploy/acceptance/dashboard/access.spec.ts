// The dashboard where credentials are asked for: logging in, what each role sees and does, and what is shown only once.
import type { Locator, Page } from "@playwright/test";
import mqtt from "mqtt";
import { type Role, logIn, password, roles, test, tryLogIn } from "./people.ts";
import { desktop, expect, expectAccessible, expectFits, expectGoodLooks, expectStatus, phone, screenshot, until } from "./fixtures.ts";
import { changeLocation, seeLive, tryMapping } from "./journeys.ts";

test.describe.configure({ timeout: 180_000 }); // axe looks at many pages

const account = (page: Page) => page.locator("summary", { hasText: "Account:" });
const heading = (page: Page, name: string) => page.getByRole("heading", { level: 1, name, exact: true });

// tabTo goes to something by keyboard.
async function tabTo(page: Page, to: Locator, key = "Tab"): Promise<void> {
  for (let n = 0; n < 30 && !(await to.evaluate((one) => one === document.activeElement)); n++) await page.keyboard.press(key);
  await expect(to).toBeFocused();
}

test("who is not known logs in by keyboard, comes to where he wanted, and leaves nothing when he logs out", async ({ page, site }) => {
  expectStatus(page, 401);
  await page.goto(`${site.url}/devices/hall?metric=temperature`);
  await expect(page).toHaveURL(`${site.url}/login?next=%2Fdevices%2Fhall%3Fmetric%3Dtemperature`);
  await expect(heading(page, "Log in")).toBeVisible();
  await expect(page.getByRole("navigation")).toHaveCount(0);
  const username = page.getByLabel("Username");
  await expect(username).toHaveAttribute("autocomplete", "username");
  await expect(page.getByLabel("Password")).toHaveAttribute("autocomplete", "current-password");
  await expectGoodLooks(page, "login");

  await expect(username).toBeFocused();
  await page.keyboard.type("operator");
  await page.keyboard.press("Tab");
  await page.keyboard.type("not the password");
  await page.keyboard.press("Enter");
  await expect(page.getByRole("alert")).toContainText("Incorrect authentication credentials.");
  await expect(page.getByLabel("Password")).toBeFocused();
  await page.keyboard.press("ControlOrMeta+a");
  await page.keyboard.type(password);
  await page.keyboard.press("Enter");
  await expect(page).toHaveURL(`${site.url}/devices/hall?metric=temperature`);
  await expect(heading(page, "hall")).toBeFocused();
  expect(await page.evaluate(() => [document.cookie, localStorage.length, sessionStorage.length])).toEqual(["", 0, 0]);

  await page.getByRole("link", { name: "Overview" }).click();
  await expect(heading(page, "Overview")).toBeFocused();
  await tabTo(page, account(page), "Shift+Tab");
  await page.keyboard.press("Enter");
  await expect(page.getByText("Role: operator")).toBeVisible();
  await page.keyboard.press("Escape");
  await expect(page.getByText("Role: operator")).toBeHidden();
  await expect(account(page)).toBeFocused();
  await page.keyboard.press("Enter");
  await tabTo(page, page.getByRole("button", { name: "Log out" }));
  await page.keyboard.press("Enter");
  await expect(page).toHaveURL(/\/login$/);
  await page.goBack();
  await expect(heading(page, "Log in")).toBeVisible();
  await expect(page.getByText("hall")).toHaveCount(0);
});

test("it goes on to pages of its own alone", async ({ page, site }) => {
  expectStatus(page, 401);
  for (const next of ["https://example.com/", "//example.com/", "/login?next=/login", "javascript:alert(1)", "/\\example.com"]) {
    await page.goto(`${site.url}/login?next=${encodeURIComponent(next)}`);
    await logIn(page, "viewer");
    await expect(page).toHaveURL(`${site.url}/`);
    await page.context().clearCookies();
  }
});

// What each role has among the links, by the heading that it leads to.
const everybodys = ["Overview", "Explore", "Dead letters", "Mappings", "Devices"];
const pagesOf: Record<Role, string[]> = {
  viewer: [...everybodys, "Ignored", "System"],
  operator: [...everybodys, "Ignored", "System", "Access"],
  admin: [...everybodys, "Ignored", "System", "Users", "Access"],
  member: everybodys,
};
const headings: Record<string, string> = { Access: "Refused" };
const sectionsOf: Record<Role, string[]> = { viewer: [], member: [], operator: ["Refused", "Credentials", "Tokens"], admin: ["Refused", "Credentials", "Tokens", "Audit"] };
const needs: Record<string, Role[]> = {
  "/ignored": ["member"], "/system": ["member"], "/admin/users": ["member", "viewer", "operator"],
  "/access/refused": ["member", "viewer"], "/access/credentials": ["member", "viewer"], "/access/audit": ["member", "viewer", "operator"],
}; // who does not have it

for (const role of roles) {
  test(`a ${role} sees the pages of his role, and no failing request on any`, async ({ page, site }) => {
    expectStatus(page, 401); // before he logs in
    await page.goto(`${site.url}/login`);
    await logIn(page, role);
    await expect(heading(page, "Overview")).toBeVisible();
    const failed: string[] = [];
    page.on("response", (answer) => answer.status() >= 400 && failed.push(`${answer.status()} ${answer.url()}`));

    const links = page.getByRole("navigation", { name: "Pages" }).getByRole("link");
    await expect(links).toHaveCount(pagesOf[role].length + 1);
    for (const name of pagesOf[role]) await look(page, name, links.filter({ hasText: new RegExp(`^${name}$`) }));
    const sections = page.getByRole("navigation", { name: "Access" }).getByRole("link");
    await page.goto(`${site.url}/access/tokens`);
    await expect(heading(page, "Tokens")).toBeVisible();
    await expect(sections).toHaveText(sectionsOf[role]);
    for (const name of sectionsOf[role]) await look(page, name, sections.filter({ hasText: name }));
    for (const [path, without] of Object.entries(needs)) {
      if (!without.includes(role)) continue;
      await page.goto(site.url + path);
      await expect(heading(page, "Your role does not have this page.")).toBeVisible();
    }
    await page.goto(`${site.url}/devices/hall`);
    await expect(heading(page, "hall")).toBeVisible();
    await expect(page.getByText("Live", { exact: true }).first()).toBeVisible();
    expect(failed).toEqual([]);
  });

  // look goes to a page by its link, and looks at it on a phone and on a desktop.
  async function look(page: Page, name: string, link: Locator): Promise<void> {
    await link.click();
    await expect(heading(page, headings[name] ?? name)).toBeVisible();
    await expect(page.getByText("Loading …")).toHaveCount(0);
    await expect(page.getByRole("alert")).toHaveCount(0);
    await page.setViewportSize(phone);
    await expectFits(page);
    await screenshot(page, `${role}-${name}-phone`);
    await page.setViewportSize(desktop);
    await expectAccessible(page);
    await screenshot(page, `${role}-${name}`);
  }

  test(`a ${role} does what his role may, and is offered nothing else`, async ({ page, site }) => {
    expectStatus(page, 401);
    const mayChange = role !== "viewer";
    await page.goto(`${site.url}/login`);
    await logIn(page, role);
    await seeLive(page, site, "hall");
    await tryMapping(page, site);
    const offers = async (path: string, names: string[]) => {
      await page.goto(site.url + path);
      await expect(page.getByRole("heading", { level: 1 })).toBeVisible();
      await expect(page.getByText("Loading …")).toHaveCount(0);
      for (const name of names) await expect(page.getByRole("button", { name }), `${path} ${name}`).toHaveCount(mayChange ? 1 : 0);
    };
    await offers("/dead-letters", ["Replay all …", "Delete all …"]);
    await offers("/devices/hall", ["Edit", "Delete"]);
    await offers("/admin/devices", ["Create device"]);
    if (role !== "member") await offers("/ignored", ["Forget all"]);
    if (mayChange) await changeLocation(page, site, "hall", `Wall of the ${role}`);
    if (role !== "member") return;
    expectStatus(page, 404);
    await page.goto(`${site.url}/devices/attic`);
    await expect(page.getByText("This device is not registered.")).toBeVisible();
    await page.goto(site.url);
    await expect(page.getByText("1 device", { exact: true })).toBeVisible();
    await expect(page.getByText("attic")).toHaveCount(0);
  });
}

// expectForgotten says that a secret is nowhere in the tab.
async function expectForgotten(page: Page, secret: string): Promise<void> {
  const kept = () => page.evaluate(() =>
    JSON.stringify([document.documentElement.outerHTML, [...document.querySelectorAll("input, textarea")].map((one) => (one as HTMLInputElement).value),
      location.href, history.state, { ...localStorage }, { ...sessionStorage }, document.cookie]));
  await expect.poll(kept).not.toContain(secret); // once the page is drawn without it
}

test("a token is shown once, works, and ends when it is deleted", async ({ page, site }) => {
  expectStatus(page, 401);
  await page.goto(`${site.url}/access/tokens`);
  await logIn(page, "operator");
  await page.getByLabel("Name").fill("Backup");
  await page.getByLabel("Role").selectOption("viewer");
  await page.getByLabel("Devices").fill("hall");
  await expect(page.getByLabel("Role").getByRole("option")).toHaveText(["viewer", "operator", "member"]);
  await expect(page.getByLabel("Expires").getByRole("option", { name: "never" })).toHaveCount(0);
  await page.getByRole("button", { name: "Create token" }).click();
  const dialog = page.getByRole("dialog", { name: "The new token" });
  await expect(dialog).toContainText("This is shown only now.");
  const secret = await dialog.locator("pre").first().innerText();
  expect(secret).toMatch(/^tt_/);
  await expectGoodLooks(page, "token-once");
  const [, header, url] = /^curl -H '(.*)' (.*)$/.exec(await dialog.locator("pre").nth(1).innerText())!;
  const ask = () => fetch(url!, { headers: { Authorization: header!.split(": ")[1]! } });
  expect((await (await ask()).json()).map(({ name }: { name: string }) => name)).toEqual(["hall"]);
  await dialog.getByRole("button", { name: "I have it" }).click();
  await expect(dialog).toBeHidden();
  await expectForgotten(page, secret);

  const row = page.getByRole("row", { name: "Backup" });
  await expect(row).toContainText("viewer");
  await expectGoodLooks(page, "tokens");
  await page.reload();
  await row.getByRole("button", { name: "Delete" }).click();
  await page.getByRole("dialog").getByRole("button", { name: "Delete" }).click();
  await expect(row).toHaveCount(0);
  await until(async () => (await ask()).status === 401);
});

test("a device's password is shown once, with lines that work, and is refused when it is deleted", async ({ page, site }) => {
  expectStatus(page, 401);
  await page.goto(`${site.url}/devices/hall`);
  await logIn(page, "member");
  await page.getByRole("heading", { name: "Credentials" }).click();
  await expect(page.getByText("There is none.")).toBeVisible();
  await page.getByRole("button", { name: "Create credential" }).click();
  const dialog = page.getByRole("dialog", { name: "The new password of hall" });
  await expect(dialog).toBeVisible();
  const secret = await dialog.locator("pre").nth(1).innerText();
  await expectGoodLooks(page, "credential-once");
  await expect(dialog.getByText('mqtt.connect("hall", "hall"')).toBeVisible();
  await expect(dialog.getByText("paho.mqtt.publish.single")).toBeVisible();
  const [, user, , topic, payload] = /-u (\S+) -P (\S+) -q 1 -t (\S+) -m '(.*)'$/.exec(await dialog.getByText("mosquitto_pub").innerText())!;
  const connect = () => mqtt.connectAsync(site.mqttURL.replace("tcp:", "mqtt:"), { username: user!, password: secret, reconnectPeriod: 0 });
  let client!: mqtt.MqttClient;
  await expect(async () => void (client = await connect())).toPass({ timeout: 30_000 }); // once the bridge has heard of it
  await client.publishAsync(topic!, payload!, { qos: 1 });
  await dialog.getByRole("button", { name: "I have it" }).click();
  await expectForgotten(page, secret);
  await expect(page.getByRole("listitem").filter({ hasText: "temperature" }).first()).toContainText("21.5");

  const row = page.getByRole("table", { name: "Credentials" }).getByRole("row", { name: "hall" });
  await expect(row).toContainText("Password");
  await expectAccessible(page);
  await screenshot(page, "device-credentials");
  const ended = new Promise<void>((resolve) => client.once("close", () => resolve()));
  await row.getByRole("button", { name: "Delete" }).click();
  await page.getByRole("dialog").getByRole("button", { name: "Delete" }).click();
  await expect(row).toHaveCount(0);
  await ended;
  await expect(connect()).rejects.toThrow(/refused|authori/i);
});

test("gateways, viewers and certificates have credentials too", async ({ page, site }) => {
  expectStatus(page, 401, 400);
  await page.goto(`${site.url}/access/credentials`);
  await logIn(page, "operator");
  await page.getByLabel("User name").fill("roof");
  await page.getByLabel("Devices").fill("hall, attic");
  await page.getByRole("button", { name: "Create credential" }).click();
  await expect(page.getByRole("dialog")).toContainText("sensors/hall/data");
  await page.keyboard.press("Escape");
  await page.getByLabel("For", { exact: true }).selectOption("a viewer");
  await page.getByLabel("User name").fill("screen");
  await page.getByRole("button", { name: "Create credential" }).click();
  await expect(page.getByRole("dialog")).toContainText("mosquitto_sub");
  await page.keyboard.press("Escape");
  await page.getByLabel("User name").fill("meter");
  await page.getByLabel("Type").selectOption("Certificate");
  await page.getByLabel("Certificate, or").fill("junk");
  await page.getByRole("button", { name: "Create credential" }).click();
  await expect(page.getByLabel("Certificate, or")).toHaveAttribute("aria-invalid", "true");
  await page.getByLabel("Certificate, or").fill("ab:".repeat(31) + "cd");
  await page.getByRole("button", { name: "Create credential" }).click();
  const table = page.getByRole("table", { name: "Credentials" });
  await expect(table.getByRole("rowheader").filter({ hasText: /roof|screen|meter/ })).toHaveCount(3);
  await expectGoodLooks(page, "credentials");
});

test("when the session ends under a page, what was typed there stays, and the stream goes on", async ({ page, site }) => {
  expectStatus(page, 401);
  await page.goto(`${site.url}/devices/hall`);
  await logIn(page, "operator");
  await page.getByRole("button", { name: "Edit" }).click();
  await page.getByLabel("Location").fill("Under the roof");
  await page.context().clearCookies();
  await page.getByRole("button", { name: "Save" }).dispatchEvent("click"); // the dialog may be before it already
  const dialog = page.getByRole("dialog", { name: "Your session has ended" });
  await expect(dialog).toBeVisible();
  await expectAccessible(page);
  await screenshot(page, "session-over");
  await logIn(page, "operator");
  await expect(dialog).toBeHidden();
  await expect(page.getByRole("status").filter({ hasText: "Saved: hall" })).toBeVisible();
  await expect(page.getByText("Live", { exact: true }).first()).toBeVisible();
  await site.send({ device_id: "hall", temperature: 23.75 });
  await expect(page.getByRole("listitem").filter({ hasText: "temperature" }).first()).toContainText("23.75");
});

test("an admin makes a user, who changes his password, and cannot log in when he is disabled", async ({ page, site, browser }) => {
  expectStatus(page, 401, 400);
  await page.goto(`${site.url}/admin/users`);
  await logIn(page, "admin");
  await page.getByLabel("Username").fill("eve");
  await page.getByLabel("Email").fill("eve@example.com");
  await page.getByLabel("Role").selectOption("viewer");
  await page.getByLabel("Password").fill("short");
  await page.getByRole("button", { name: "Create user" }).click();
  await expect(page.getByLabel("Password")).toHaveAccessibleDescription(/characters/);
  await page.getByLabel("Password").fill(password);
  await page.getByRole("button", { name: "Create user" }).click();
  const row = page.getByRole("row", { name: "eve" });
  await expect(row).toContainText("viewer");
  await expectForgotten(page, password);
  await expectGoodLooks(page, "users-with-roles");

  const other = await (await browser.newContext()).newPage();
  await other.goto(`${site.url}/login`);
  await logIn(other, "eve");
  await account(other).click();
  await other.getByRole("button", { name: "Change password" }).click();
  await other.getByLabel("Old password").fill("wrong");
  await other.getByLabel("New password").fill("another long password");
  await other.getByRole("button", { name: "Save" }).click();
  await expect(other.getByLabel("Old password")).toHaveAttribute("aria-invalid", "true");
  await expectAccessible(other);
  await other.getByLabel("Old password").fill(password);
  await other.getByRole("button", { name: "Save" }).click();
  await expect(other.getByText("Your password is changed.")).toBeVisible();
  await expectForgotten(other, "another long password");

  await row.getByRole("button", { name: "Edit" }).click();
  await page.getByLabel("May not log in").check();
  await page.getByRole("button", { name: "Save" }).click();
  await expect(row).toContainText("(may not log in)");
  await until(async () => (await other.request.get(`${site.url}/api/me/`)).status() === 401);
  await other.reload();
  await expect(heading(other, "Log in")).toBeVisible();
  await tryLogIn(other, "eve", "another long password");
  await expect(other.getByRole("alert")).toBeVisible();
  await other.context().close();
});

test("the audit says who did what, by a filter, and as a file", async ({ page, site }) => {
  expectStatus(page, 401);
  expect((await site.ask("POST", "/api/login/", { username: "operator", password: "not the password" })).status).toBe(401); // one that is let in is no change
  await site.api("PATCH", "/api/devices/attic/", { location: "Roof" });
  await page.goto(`${site.url}/access/audit`);
  await logIn(page, "admin");
  const table = page.getByRole("table", { name: "Audit" });
  await expect(table.getByRole("row", { name: /device.update/ }).first()).toContainText(/location:.*Roof/);
  await page.getByLabel("Action").fill("login");
  await expect(page).toHaveURL(/\?action=login$/);
  await expect(table.getByRole("row", { name: /device.update/ })).toHaveCount(0);
  await expect(table.getByRole("row", { name: /operator/ }).first()).toBeVisible();
  const download = page.waitForEvent("download");
  await page.getByRole("link", { name: "All of these as NDJSON" }).click();
  const lines = await (await download).createReadStream().then(async (file) => (await file.toArray()).join("").trim().split("\n"));
  expect(new Set(lines.map((line: string) => JSON.parse(line).action.split(".")[0]))).toEqual(new Set(["login"]));
  await page.getByLabel("Action").fill("");
  await expectGoodLooks(page, "audit");
});

test("who is refused is listed within seconds", async ({ page, site }) => {
  expectStatus(page, 401);
  await page.goto(`${site.url}/access/refused`);
  await logIn(page, "operator");
  await site.ask("POST", "/api/login/", { username: "mallory", password: "guess" });
  await mqtt.connectAsync(site.mqttURL.replace("tcp:", "mqtt:"), { username: "mallory", password: "guess", reconnectPeriod: 0 }).catch(() => {});
  const table = page.getByRole("table", { name: "Refused" });
  await expect(table.getByRole("row", { name: /HTTP/ }).first()).toBeVisible();
  await expect(table.getByRole("row", { name: /MQTT.*mallory/ }).first()).toBeVisible();
  await expectGoodLooks(page, "refused");
});

test.describe("while credentials are asked for and not needed yet", () => {
  test.use({ settings: { AUTH: "warn" } });
  test("a banner says how many would be refused, until the list is cleared", async ({ page, fresh }) => {
    await fresh.publish("sensors/old/data", { temperature: 20 });
    await page.goto(fresh.url);
    await expect(page.getByText("1 device", { exact: true })).toBeVisible(); // it is let in
    await account(page).click();
    await expect(page.getByText("Role: admin")).toBeVisible();
    await expect(page.getByRole("link", { name: "Log in" })).toBeVisible();
    const warning = page.getByRole("link", { name: /would be refused/ });
    await until(async () => (await fresh.api<unknown[]>("GET", "/api/auth/would-deny/")).length > 0);
    await page.reload();
    await warning.click();
    const table = page.getByRole("table", { name: "Would be refused" });
    await expect(table.getByRole("row", { name: /MQTT/ }).first()).toBeVisible();
    await expectGoodLooks(page, "would-be-refused");
    await page.getByRole("button", { name: "Clear" }).click();
    await page.getByRole("dialog").getByRole("button", { name: "Clear" }).click();
    await expect(page.getByRole("status").filter({ hasText: "The list is cleared." })).toBeVisible();
  });
});

test("an open Telltale has nothing of accounts", async ({ page, fresh }) => {
  await page.goto(fresh.url);
  await expect(page.getByRole("navigation", { name: "Pages" })).toBeVisible();
  await expect(account(page)).toHaveCount(0);
  await page.goto(`${fresh.url}/login`);
  await expect(heading(page, "Overview")).toBeVisible();
});
