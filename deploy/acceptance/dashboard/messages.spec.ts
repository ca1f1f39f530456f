// Dead letters, what is ignored, and mappings.
import type { Page } from "@playwright/test";
import { type Telltale, expect, expectAccessible, expectCuts, expectFits, expectGoodLooks, expectStatus, test, until } from "./fixtures.ts";

const odd = "left\u202Ethgir";

const deadLetters = (site: Telltale, query = "") => site.api("GET", `/api/dead-letters/${query}`);

// junk publishes what becomes dead letters, and returns when they can be read.
async function junk(site: Telltale, messages: [topic: string, payload: string | Buffer][]): Promise<void> {
  const before = (await deadLetters(site, "stats/")).total;
  for (const [topic, payload] of messages) await site.publish(topic, payload);
  await until(async () => (await deadLetters(site, "stats/")).total === before + messages.length);
}

const row = (page: Page, name: string | RegExp) => page.getByRole("table", { name: "Dead letters" }).getByRole("row", { name });

test("a dead letter is found, read, corrected, tested, replayed and deleted", async ({ page, fresh }) => {
  test.slow(); // axe looks eight times
  await page.goto(`${fresh.url}/dead-letters`);
  await expect(page.getByRole("heading", { level: 1, name: "Dead letters" })).toBeVisible();
  await expect(page.getByText("There is no dead letter.")).toBeVisible();
  await expect(page.getByText("Live", { exact: true }).first()).toBeVisible();

  await junk(fresh, [
    ["sensors/42/data", '{"temperature": "21.5", "when": 123456789012345678901'],
    ["sensors/43/data", Buffer.from([0xff, 0xfe, 0x00, 0x7b])],
    [`sensors/${odd}/data`, `{"${odd}": 1`],
  ]);
  await page.getByRole("button", { name: "3 new: show" }).click();
  await expect(page.getByRole("table", { name: "Dead letters" }).getByRole("row")).toHaveCount(1 + 3);
  await expect(page.getByRole("table", { name: "By reason" })).toContainText("invalid_json");
  await expect(page.getByRole("table", { name: "By topic and form" })).toContainText("sensors/+/data");
  await expect(page.getByText("left\\u202ethgir").first()).toBeVisible();
  await expectGoodLooks(page, "dead-letters");

  await row(page, "sensors/42/data").getByRole("link").click();
  await expect(page.getByRole("region", { name: "Bytes" })).toContainText('"when": 123456789012345678901');
  const payload = page.getByLabel("Payload");
  await page.getByRole("button", { name: "Test" }).click();
  await expect(page.getByText("1 would be a dead letter")).toBeVisible();
  await page.getByRole("button", { name: "Replay" }).click();
  await expect(page.getByText("Rejected again:")).toBeVisible();
  await payload.fill('{"temperature": 21.5}');
  await page.getByRole("button", { name: "Test" }).click();
  await expect(page.getByText("Read by the rule telltale (telltale)")).toBeVisible();
  await expect(page.getByRole("table", { name: "1 reading" })).toContainText("temperature: 21.5");
  await expectGoodLooks(page, "dead-letter");
  await page.getByRole("button", { name: "Replay edited" }).click();
  await expect(page.getByText("Replayed: 1 reading is on its way.")).toBeVisible();
  await until(async () => (await fresh.api("GET", "/api/readings/?device_id=42")).length === 1);

  await page.getByRole("link", { name: "Back to the list" }).click();
  await row(page, "sensors/43/data").getByRole("link").click();
  await expect(page.getByRole("region", { name: "Bytes" })).toContainText("000000  ff fe 00 7b");
  await expect(payload).toHaveValue("ff fe 00 7b");
  await page.getByLabel("Edit as").selectOption("Text");
  await expect(payload).toHaveAccessibleDescription("These bytes are no UTF-8.");
  await payload.fill("7b 7");
  await page.getByRole("button", { name: "Test" }).click();
  await expect(payload).toHaveAccessibleDescription("Not valid hexadecimal.");
  await payload.fill("7b2278223a317d"); // {"x":1}
  await page.getByLabel("Edit as").selectOption("Text");
  await expect(payload).toHaveValue('{"x":1}');
  await page.getByRole("button", { name: "Replay edited" }).click();
  await expect(page.getByText("Replayed: 1 reading is on its way.")).toBeVisible();

  await page.getByRole("button", { name: "Delete" }).click();
  await page.getByRole("dialog").getByRole("button", { name: "Delete" }).click();
  await expect(page.getByText("The dead letter is deleted.")).toBeVisible();
  await expect(page.getByRole("table", { name: "Dead letters" }).getByRole("row")).toHaveCount(1 + 2);
  expect(await deadLetters(fresh)).toHaveLength(2);
});

test("many are replayed and deleted by a filter, after it is said how many", async ({ page, fresh }) => {
  await junk(fresh, [
    ...Array.from({ length: 120 }, (_, i): [string, string] => [`sensors/${i + 1}/data`, "{junk"]),
    ["sensors/500/data", '{"device_id": 501, "temperature": 1}'],
    ["sensors/501/data", '{"device_id": 502, "temperature": 1}'],
  ]);
  await page.goto(`${fresh.url}/dead-letters`);
  await page.getByRole("table", { name: "By reason" }).getByRole("link", { name: "device_id_mismatch" }).click();
  await expect(page).toHaveURL(/reason=device_id_mismatch/);
  await expect(page.getByRole("table", { name: "Dead letters" }).getByRole("row")).toHaveCount(1 + 2);
  await page.getByLabel("Topic").fill("sensors/500/+");
  await expect(page.getByRole("table", { name: "Dead letters" }).getByRole("row")).toHaveCount(1 + 1);
  await expect(page.getByLabel("Topic")).toBeFocused();
  await page.getByRole("button", { name: "Delete all" }).click();
  await expect(page.getByRole("dialog", { name: "Delete 1 dead letter?" })).toContainText("device_id_mismatch: 1");
  await expectAccessible(page);
  await page.getByRole("dialog").getByRole("button", { name: "Delete" }).click();
  await expect(page.getByText("Deleted: 1 dead letter", { exact: true })).toBeVisible();
  await expect(page.getByText("No dead letter is like that.")).toBeVisible();
  await page.getByRole("link", { name: "Clear filter" }).click();
  await expect(page.getByText("121 dead letters", { exact: true })).toBeVisible();
  expect((await deadLetters(fresh, "stats/")).total).toBe(121);

  await page.goto(`${fresh.url}/dead-letters?reason=invalid_json`);
  await page.getByRole("button", { name: "Replay all" }).click();
  const dialog = page.getByRole("dialog", { name: "Replay 120 dead letters?" });
  await expect(dialog).toContainText("invalid_json: 120");
  await junk(fresh, [["sensors/600/data", "{late"]]); // which is not meant
  await dialog.getByRole("button", { name: "Replay" }).click();
  await expect(page.getByRole("dialog")).toContainText("Replayed: 0. Rejected again: 120. Not certain: 0.");
  await expect(page.getByRole("dialog").getByRole("listitem")).toHaveText("invalid_json: 120");
  await page.getByRole("dialog").getByRole("button", { name: "Close" }).click();
  await expect(page.getByRole("dialog")).toBeHidden();

  await page.goto(`${fresh.url}/dead-letters?topic=bad%23`);
  expectStatus(page, 400);
  await expect(page.getByRole("alert").first()).toContainText("Not an MQTT topic filter");
});

test("what nobody reads is listed, with a rule that reads it", async ({ page, fresh }) => {
  test.slow(); // axe looks twelve times
  await fresh.publish("house/kitchen/state", '{"t": 21.5, "deep": {"h": "40"}, "time": "2026-01-02T03:04:05Z", "more": "and more than is kept of an example"}');
  await fresh.publish(`house/${odd}/state`, "21.5");
  await fresh.publish(`plant/${"x".repeat(490)}/report`, "1");
  await fresh.publish("sensors/7/data", '{"temperature": 21.5, "nested": {"a": 1}}');
  await until(async () => (await fresh.api("GET", "/api/ignored/")).length === 4);
  await page.goto(`${fresh.url}/ignored`);
  await expect(page.getByRole("heading", { level: 1, name: "Ignored" })).toBeVisible();
  const ignored = page.getByRole("table", { name: "Ignored" });
  await expect(ignored.getByRole("row")).toHaveCount(1 + 4);
  await expect(ignored.getByRole("row", { name: "sensors/7/data" })).toContainText("it is an array or an object");
  await expect(ignored).toContainText("house/left\\u202ethgir/state");
  await expectGoodLooks(page, "ignored");

  await ignored.getByRole("row", { name: "house/kitchen/state" }).getByRole("button", { name: "What would read it" }).click();
  const dialog = page.getByRole("dialog");
  await expect(dialog).toContainText("no rule is for this topic");
  await expect(dialog).toContainText('topic: "house/{device}/state"');
  await expect(dialog.getByRole("table", { name: "1 reading" })).toContainText("t: 21.5");
  await expectGoodLooks(page, "ignored-rule");
  await dialog.getByRole("link", { name: "Try it in Mappings" }).click();
  await expect(page.getByRole("heading", { level: 1, name: "Mappings" })).toBeVisible();
  await expect(page.getByText("Read by the rule house (the one given here)")).toBeVisible();
  await expectGoodLooks(page, "mappings");

  await page.goBack();
  await page.getByRole("button", { name: "Forget all" }).click();
  await page.getByRole("dialog").getByRole("button", { name: "Forget all" }).click();
  await expect(page.getByText("All of it is forgotten.")).toBeVisible();
  await expect(page.getByText("Nothing is ignored.")).toBeVisible();
  expect(await fresh.api("GET", "/api/ignored/")).toEqual([]);
});

test("a message is tried by the rules, and the address has it", async ({ page, fresh }) => {
  await page.goto(`${fresh.url}/mappings`);
  expectStatus(page, 400);
  await page.getByRole("button", { name: "Test" }).click();
  await expect(page.getByLabel("Topic")).toHaveAccessibleDescription("This field may not be blank.");
  await page.getByLabel("Topic").fill("tele/plug/SENSOR");
  await page.getByLabel("Payload").fill('{"SI7021": {"Temperature": 21.5, "Humidity": 40}}');
  await page.getByRole("button", { name: "Test" }).click();
  await expect(page.getByText("Read by the rule tasmota (tasmota)")).toBeVisible();
  await expect(page.getByRole("table", { name: "1 reading" })).toContainText("humidity: 40");
  await expect(page).toHaveURL(/topic=tele.*payload=/);
  await page.reload();
  await expect(page.getByText("Read by the rule tasmota (tasmota)")).toBeVisible();

  await page.getByLabel("Rule").fill("name: x\ntopic: a\ncolour: red\n");
  await page.getByRole("button", { name: "Test" }).click();
  await expect(page.getByLabel("Rule")).toHaveAccessibleDescription(/rule:3: colour: unknown member/);
  await page.getByLabel("Rule").fill("");
  await page.getByLabel("Encoding").selectOption("Hexadecimal");
  await page.getByLabel("Payload").fill("xyz");
  await page.getByRole("button", { name: "Test" }).click();
  await expect(page.getByLabel("Payload")).toHaveAccessibleDescription("Not valid hexadecimal.");
  await page.getByLabel("Payload").fill("ff");
  await page.getByRole("button", { name: "Test" }).click();
  await expect(page.getByText("1 would be a dead letter")).toBeVisible();

  await page.getByLabel("Topic").fill(`plant/${"x".repeat(60_000)}/report`);
  await page.getByRole("button", { name: "Test" }).click();
  await expect(page.getByText("no rule is for this topic")).toBeVisible();
  await expect(page).toHaveURL(/mappings$/);
  await expectFits(page);
});

test("while Telltale is away, and when it is back", async ({ page, fresh }) => {
  await junk(fresh, [["sensors/1/data", "{junk"]]);
  await page.goto(`${fresh.url}/dead-letters`);
  await expect(row(page, "sensors/1/data")).toBeVisible();
  await row(page, "sensors/1/data").getByRole("link").click();
  const tried = page.getByRole("button", { name: "Test" });
  await expect(tried).toBeVisible();
  expectCuts(page);
  await fresh.end();
  await tried.click();
  await expect(page.getByRole("alert")).toContainText("Telltale does not answer.");
  await page.getByRole("link", { name: "Back to the list" }).click();
  await expect(page.getByRole("alert")).toContainText("Telltale does not answer.");
  await page.getByRole("button", { name: "Try again" }).first().click();
  await expect(page.getByRole("alert")).toContainText("Telltale does not answer.");
  await fresh.run(); // the page sees it by itself
  await expect(row(page, "sensors/1/data")).toBeVisible();
});

test("dead letters are worked through with the keyboard alone", async ({ page, fresh }) => {
  await junk(fresh, [["sensors/9/data", "{junk"]]);
  await page.goto(`${fresh.url}/dead-letters`);
  await expect(row(page, "sensors/9/data")).toBeVisible();
  const tabTo = async (name: string | RegExp) => {
    for (let i = 0; i < 60; i++) {
      await page.keyboard.press("Tab");
      if (name instanceof RegExp ? name.test(await focused(page)) : (await focused(page)) === name) return;
    }
    throw new Error(`Tab does not come to ${name}`);
  };
  await tabTo("Delete all …");
  await tabTo("invalid_json");
  await page.keyboard.press("Enter");
  await expect(page.getByRole("button", { name: "Replay" })).toBeVisible();
  await tabTo("Delete");
  await page.keyboard.press("Enter");
  await expect(page.getByRole("dialog")).toBeVisible();
  await expect.poll(() => focused(page)).toBe("Cancel");
  await tabTo("Delete");
  await page.keyboard.press("Enter");
  await expect(page.getByText("There is no dead letter.")).toBeVisible();
});

const focused = (page: Page) => page.evaluate(() => document.activeElement?.textContent ?? "");

test("what is long or odd stays in its place", async ({ page, fresh }) => {
  const long = { id: "0".repeat(32), reason: "x".repeat(200), detail: "d".repeat(5000), device_id: 1, device_key: "k".repeat(255), source: "t/".repeat(32_000), client_id: odd,
    received_at: "2026-01-02T03:04:05.000Z", retained: true, content_type: "c".repeat(300), payload: `{"${"m".repeat(500_000)}": "${odd}"}`, encoding: "text", replayed_at: null, replayed_readings: 0 };
  const of = { count: 1, replayed: 0 };
  const stats = { total: 1, replayed: 0, by_reason: [{ reason: long.reason, ...of }], by_topic: [{ topic: long.source, ...of, example: long.id, looks_like: null, hint: "h".repeat(5000) }] };
  await page.route("**/api/dead-letters/?*", (route) => route.fulfill({ json: [long] }));
  await page.route("**/api/dead-letters/stats/**", (route) => route.fulfill({ json: stats }));
  await page.route(`**/api/dead-letters/${long.id}/`, (route) => route.fulfill({ json: long }));
  await page.route("**/api/ignored/", (route) => route.fulfill({ json: [{ topic: long.source, member: long.device_key, client_id: odd, count: 1e15, last: long.received_at, example: "{" + odd, hint: long.detail }] }));
  for (const address of ["/dead-letters", `/dead-letters?id=${long.id}`, "/ignored"]) {
    await page.goto(fresh.url + address);
    await expect(page.getByText(/t\/t\/t\//).first()).toBeVisible();
    for (const width of [360, 800, 1280, 3840]) {
      await page.setViewportSize({ width, height: 800 });
      await expectFits(page);
    }
  }
  await page.goto(`${fresh.url}/dead-letters?id=${long.id}`);
  await expect(page.getByText("It is too long to be edited here.")).toBeVisible();
  await page.getByRole("button", { name: "Show all of it" }).click();
  await expect(page.getByRole("region", { name: "Bytes" })).toContainText('"left\\u202ethgir"');
});
