import { expect, expectAccessible, expectCuts, expectFaults, expectGoodLooks, expectStatus, test } from "./fixtures.ts";

const long = "A long name ".repeat(30).slice(0, 255).trimEnd();
const odd = "left\u202Ethgir <b>&amp;";

test("users are created, changed and deleted, with the API's own words for what is wrong", async ({ page, fresh }) => {
  test.slow(); // axe looks nine times
  await page.goto(`${fresh.url}/admin/users`);
  await expect(page.getByRole("heading", { level: 1, name: "Users" })).toBeVisible();
  await expect(page.getByText("There is no user yet.")).toBeVisible();

  expectStatus(page, 400);
  await page.getByRole("button", { name: "Create user" }).click();
  const username = page.getByLabel("Username");
  await expect(username).toBeFocused();
  await expect(username).toHaveAccessibleDescription("This field may not be blank.");
  await expect(page.getByLabel("Email")).toHaveAccessibleDescription("This field may not be blank.");

  await username.fill("ada");
  await page.getByLabel("Email").fill("ada@example.com");
  await page.keyboard.press("Enter");
  await expect(page.getByRole("status")).toHaveText("Created: ada");
  await expect(username).toHaveValue("");
  await username.fill("ada");
  await page.getByLabel("Email").fill("other@example.com");
  await page.keyboard.press("Enter");
  await expect(username).toHaveAccessibleDescription("user with this username already exists.");

  const row = page.getByRole("row", { name: "ada" });
  await row.getByRole("button", { name: "Edit" }).click();
  await expect(page.getByLabel("Username")).toBeFocused();
  await page.getByLabel("Email").fill("countess@example.com");
  await page.getByRole("button", { name: "Save" }).click();
  await expect(row.getByRole("cell", { name: "countess@example.com" })).toBeVisible();
  await expect(row.getByRole("button", { name: "Edit" })).toBeFocused();

  const { id } = (await fresh.api("GET", "/api/users/"))[0];
  for (const name of ["Greenhouse", odd, long]) await fresh.api("POST", "/api/devices/", { name, user: id, location: name });
  await expectGoodLooks(page, "admin-users");
  await row.getByRole("link", { name: "Show" }).click();
  await expect(page.getByRole("row")).toHaveCount(1 + 3);
  await expect(page.getByLabel("Owned by")).toHaveValue(String(id));
  await expectGoodLooks(page, "admin-devices");
  await page.goBack();
  await row.getByRole("button", { name: "Delete" }).click();
  const dialog = page.getByRole("dialog", { name: "Delete ada?" });
  await expect(dialog).toContainText("Devices that go with this user: 3");
  await expect(dialog.getByRole("listitem").first()).toHaveText("Greenhouse");
  await expectAccessible(page);
  await page.keyboard.press("Escape");
  await expect(dialog).toBeHidden();
  await expect(row.getByRole("button", { name: "Delete" })).toBeFocused();
  await page.keyboard.press("Enter");
  await dialog.getByRole("button", { name: "Delete" }).click();
  await expect(page.getByRole("status")).toHaveText("Deleted: ada");
  await expect(row).toBeHidden();
  expect(await fresh.api("GET", "/api/users/")).toEqual([]);
  expect(await fresh.api("GET", "/api/devices/")).toEqual([]);
});

test("devices are created, found, changed and deleted", async ({ page, fresh }) => {
  const { id: user } = await fresh.api("POST", "/api/users/", { username: odd, email: "a@example.com" });
  await fresh.createDevices(150, (n) => ({ name: `Device ${n}`, user }));
  await page.goto(`${fresh.url}/admin/devices`);
  await expect(page.getByRole("row")).toHaveCount(1 + 100);
  await page.getByRole("button", { name: "Show more" }).click();
  await expect(page.getByRole("row")).toHaveCount(1 + 150);
  await expect(page.getByRole("button", { name: "Show more" })).toBeHidden();

  await page.getByLabel("Name").fill(long);
  await page.getByLabel("Owner").selectOption(odd);
  await page.getByLabel("Key or id").fill("kitchen/1");
  await page.getByLabel("Location").fill("North wall");
  await page.getByRole("button", { name: "Create device" }).click();
  await expect(page.getByRole("status")).toHaveText(`Created: ${long}`);
  const made = page.getByRole("row", { name: long });
  await expect(made.getByRole("cell", { name: "kitchen/1" })).toBeVisible();

  expectStatus(page, 400);
  await page.getByLabel("Name").fill("x");
  await page.getByLabel("Key or id").fill("kitchen/1");
  await page.getByRole("button", { name: "Create device" }).click();
  await expect(page.getByLabel("Key or id")).toHaveAccessibleDescription(/already exists/);

  await page.getByLabel("Search").fill("NORTH");
  await expect(page.getByRole("row")).toHaveCount(2);
  await expect(page).toHaveURL(/\?q=NORTH$/);
  await page.reload();
  await expect(page.getByRole("row")).toHaveCount(2);

  await made.getByRole("button", { name: "Edit" }).click();
  await page.getByLabel("Location").fill("");
  await page.getByRole("button", { name: "Save" }).click();
  await expect(page.getByRole("status")).toHaveText(`Saved: ${long}`);

  await made.getByRole("button", { name: "Delete" }).click();
  await expect(page.getByRole("dialog")).toContainText("Its readings stay");
  await page.getByRole("dialog").getByRole("button", { name: "Delete" }).click();
  await expect(made).toBeHidden();
  expect((await fresh.ask("GET", "/api/devices/kitchen%2F1/")).status).toBe(404);
});

test("while Telltale is away the page says so, and goes on when asked", async ({ page, fresh }) => {
  await fresh.api("POST", "/api/users/", { username: "ada", email: "ada@example.com" });
  await page.goto(`${fresh.url}/admin/users`);
  await expect(page.getByRole("row", { name: "ada" })).toBeVisible();
  expectCuts(page);
  await fresh.end();
  await page.getByLabel("Username").fill("bea");
  await page.getByLabel("Email").fill("bea@example.com");
  await page.getByRole("button", { name: "Create user" }).click();
  await expect(page.getByRole("alert")).toContainText("Telltale does not answer.");
  await expect(page.getByLabel("Username")).toHaveValue("bea");
  await fresh.run();
  await page.getByRole("button", { name: "Create user" }).click();
  await expect(page.getByRole("row", { name: "bea" })).toBeVisible();
  await expect(page.getByRole("alert")).toBeHidden();
});

test("a fault of the page itself is called one, and the rest goes on", async ({ page, fresh }) => {
  expectFaults(page, "URIError", "TypeError");
  const fault = page.getByRole("alert").filter({ hasText: "This page has a fault of its own" });
  await page.route("**/api/devices/?*", (route) => route.fulfill({ json: [{ id: 1, name: "x", key: "\uD800" }] })); // no text at all
  await page.goto(`${fresh.url}/admin/devices`);
  await expect(fault).toContainText("URI malformed");
  await page.route("**/api/users/?*", (route) => route.fulfill({ json: [null] }));
  await page.getByRole("link", { name: "Users" }).click();
  await expect(page.getByRole("heading", { level: 1, name: "Users" })).toBeVisible();
  await expect(fault).toBeVisible();
  await page.unroute("**/api/users/?*");
  await page.getByRole("button", { name: "Try again" }).click();
  await expect(page.getByText("There is no user yet.")).toBeVisible();
});
