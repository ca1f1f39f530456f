import { expect, expectGoodLooks, test } from "./fixtures.ts";

test("each device has its latest values with units, their age, its status and its last hour", async ({ page, site }) => {
  await page.goto(site.url);
  await expect(page).toHaveTitle("Overview · Telltale");
  const row = page.getByRole("row", { name: /Device 100/ });
  await expect(row).toContainText(/temperature\s*[\d.,]+\s°C/);
  await expect(row).toContainText(/humidity\s*[\d.,]+\s%/);
  await expect(row.getByRole("cell").nth(3)).toHaveText(/^\d+ s$/);
  await expect(row).toContainText(/online/);
  await expect(row.getByRole("img", { name: /^temperature in the last hour: [\d.]+ to [\d.]+$/ })).toBeVisible();
  await expect(page.getByText("8 devices")).toBeVisible();
  await expectGoodLooks(page, "overview");
});
