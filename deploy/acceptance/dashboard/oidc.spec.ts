// People log in by a real OpenID Connect provider.
import { type Page, expect, test } from "@playwright/test";
import { writeFile } from "node:fs/promises";
import type { Server } from "node:net";
import { freeIssuer, startProvider } from "./provider.ts";
import { Telltale } from "./telltale.ts";

const secret = "a secret of a test, which is long enough";
const people = {
  ann: { preferred_username: "ann", email: "ann@example.com", groups: ["staff", "telltale-operator"] },
  bob: { preferred_username: "bob", email: "bob@example.com", groups: ["staff"] },
  eve: { preferred_username: "admin", email: "eve@example.com", groups: ["telltale-viewer"] },
};

let provider: Server;
let telltale: Telltale;

test.beforeAll(async ({}, info) => {
  const file = info.outputPath("secret");
  await writeFile(file, secret + "\n");
  const issuer = await freeIssuer();
  telltale = await Telltale.start({
    settings: {
      AUTH: "on", ADMIN_TOKEN: "tt_of-a-test-0123456789abcdef0123456789abcdef",
      OIDC_ISSUER: issuer, OIDC_CLIENT_ID: "telltale", OIDC_CLIENT_SECRET_FILE: file, OIDC_ROLE_CLAIM: "groups",
    },
  });
  provider = await startProvider(issuer, { id: "telltale", secret, redirect: `${telltale.url}/api/login/oidc/callback/` }, people);
});

test.afterAll(async () => {
  provider.close();
  await telltale.close();
});

// logIn goes to the provider, and logs in there as name.
async function logIn(page: Page, name: string, back = "/system"): Promise<void> {
  await page.goto(`${telltale.url}/api/login/oidc/?return=${encodeURIComponent(back)}`);
  await page.locator("[name=login]").fill(name);
  await page.locator("[name=password]").fill("any");
  await page.locator("[type=submit]").click();
  await page.locator("form:has([value=consent]) [type=submit]").click(); // that Telltale may know who he is
}

const me = async (page: Page) => {
  const answer = await page.request.get(`${telltale.url}/api/me/`);
  return { status: answer.status(), ...(await answer.json()) };
};

test("somebody with a role comes back logged in, to the page where he was", async ({ page, context }) => {
  await logIn(page, "ann");
  await page.waitForURL(`${telltale.url}/system`);
  expect(await me(page)).toMatchObject({ status: 200, username: "ann", email: "ann@example.com", role: "operator", auth: "session" });
  const cookies = await context.cookies(telltale.url); // the provider's too: ports share them
  expect(cookies.filter(({ name }) => name.includes("telltale"))).toEqual([expect.objectContaining({ name: "telltale", httpOnly: true, sameSite: "Lax" })]); // nothing of the log-in is left
  await page.goto(`${telltale.url}/api/login/oidc/?return=${encodeURIComponent("//evil.example.com")}`); // the provider knows him, and asks nothing
  await page.waitForURL(`${telltale.url}/`);
});

test("somebody without a role is not let in", async ({ page }) => {
  await logIn(page, "bob");
  await page.waitForURL(`${telltale.url}/login?failed=no_role`);
  expect(await me(page)).toMatchObject({ status: 401 });
});

test("nobody becomes the admin by calling himself so", async ({ page }) => {
  await logIn(page, "eve");
  await page.waitForURL(`${telltale.url}/login?failed=name_taken`);
  expect(await me(page)).toMatchObject({ status: 401 });
});

test("a log-in that was begun in another browser does not end in this one", async ({ page, browser }) => {
  const other = await (await browser.newContext()).newPage();
  const callback = other.waitForRequest(/\/api\/login\/oidc\/callback\/\?.*code=/);
  await logIn(other, "ann");
  await page.goto((await callback).url());
  await page.waitForURL(`${telltale.url}/login?failed=log_in_unknown`);
  expect(await me(page)).toMatchObject({ status: 401 });
});
