// The dashboard on two replicas of query-api, whose addresses are in REPLICAS, separated by a comma: make dashboard-replicas.
import { expect, expectCuts, screenshot, test, until } from "./fixtures.ts";
import { Proxy } from "./proxy.ts";

const replicas = process.env["REPLICAS"]!.split(",");

async function api<T>(replica: string, method: string, path: string, body?: unknown): Promise<T> {
  const answer = await fetch(replica + path, { method, headers: { "Content-Type": "application/json", Authorization: `Bearer ${process.env["ACCEPT_TOKEN"]}` }, ...(body !== undefined && { body: JSON.stringify(body) }) });
  if (!answer.ok) throw new Error(`${method} ${replica}${path}: ${answer.status} ${await answer.text()}`);
  return (await answer.json()) as T;
}

test("after 100 cuts, each time with the other replica, the page shows what the API says", async ({ page }) => {
  test.setTimeout(300_000);
  expectCuts(page);
  const proxy = await Proxy.before(...replicas);
  const first = 1e12 + (Date.now() % 1e9) * 10; // devices of this run
  const devices = [0, 1, 2, 3, 4].map((n) => first + n);
  let sent = 0;
  const sendAll = () =>
    api(replicas[sent % replicas.length]!, "POST", "/api/readings/", devices.map((device_id) => ({ device_id, temperature: (sent++ % 400) / 10 })));
  const shown = () =>
    page.locator(".window .device").evaluateAll((rows) =>
      Object.fromEntries(rows.map((one) => [one.getAttribute("data-id")!, /temperature[^]*?(-?[\d.,]+)\s°C/.exec((one as HTMLElement).innerText)?.[1] ?? "–"])),
    );
  const stored = async () => {
    const latest = await api<{ device_id: number; temperature: number }[]>(replicas[0]!, "GET", "/api/readings/latest_all/");
    return Object.fromEntries(latest.filter((r) => devices.includes(r.device_id)).map((r) => [String(r.device_id), String(r.temperature)]));
  };
  const live = page.getByRole("status").filter({ hasText: /^Live$/ });
  try {
    await sendAll();
    await until(async () => (await api<unknown[]>(replicas[1]!, "GET", `/api/devices/?q=${String(first).slice(0, -1)}`)).length === 5, 60_000);
    await page.goto(`${proxy.url}/?q=${String(first).slice(0, -1)}`);
    await expect(live).toBeAttached();
    for (let cut = 1; cut <= 100; cut++) {
      proxy.cut();
      await sendAll();
      if (cut % 20 === 0) {
        await expect(live).toBeAttached({ timeout: 30_000 });
        await sendAll();
      }
    }
    await expect(live).toBeAttached({ timeout: 30_000 });
    await expect(async () => expect(await shown()).toEqual(await stored())).toPass({ timeout: 30_000 });
    expect(Object.keys(await shown())).toHaveLength(5);
    await screenshot(page, "overview-replicas");
  } finally {
    proxy.close();
  }
});
