import { expect, expectGoodLooks, test } from "./fixtures.ts";

test("the devices are there", async ({ page, site }) => {
  await page.goto(site.url);
  await expect(page).toHaveTitle("Overview · Telltale");
  await expect(page.getByRole("table")).toBeVisible();
  await expectGoodLooks(page, "overview");
});
