import assert from "node:assert/strict";
import { test } from "node:test";
import { type Filter, Fleet, type Order, Rate, filtered, sorted } from "./fleet";
import type { Device, Reading, Status } from "./types";

function device(id: number, name: string, more: Partial<Device> = {}): Device {
  return { id, name, user: 1, location: null, created_at: "2026-01-01T00:00:00.000Z", key: null, status: "online", last_seen: null, offline_after: 60, ...more };
}

const all: Device[] = [
  device(1, "Sensor 10", { location: "Lab", status: "never" as Status }),
  device(2, "sensor 9", { user: 2, last_seen: "2026-01-01T00:00:02.000Z" }),
  device(3, "Älter", { location: "Attic", last_seen: "2026-01-01T00:00:01.000Z", status: "offline", key: "kitchen-1" }),
];

test("filtered", () => {
  const none: Filter = { q: "", status: "", user: "", location: "" };
  const cases: [Partial<Filter>, number[]][] = [
    [{}, [1, 2, 3]], [{ q: "SENSOR" }, [1, 2]], [{ q: " lab  sensor" }, [1]], [{ q: "kitchen" }, [3]], [{ q: "ÄLT" }, [3]], [{ q: "2" }, [2]],
    [{ status: "offline" }, [3]], [{ user: "2" }, [2]], [{ location: "Lab" }, [1]], [{ q: "sensor", user: "2", status: "never" }, []],
  ];
  for (const [filter, want] of cases) assert.deepEqual(all.filter(filtered({ ...none, ...filter })).map((d) => d.id), want, JSON.stringify(filter));
});

test("sorted", () => {
  const cases: [Order, boolean, number[]][] = [
    ["name", false, [3, 2, 1]], ["name", true, [1, 2, 3]], ["seen", false, [3, 2, 1]], ["seen", true, [2, 3, 1]],
    ["status", false, [3, 2, 1]], ["status", true, [1, 2, 3]], ["location", false, [3, 1, 2]], ["location", true, [1, 3, 2]],
  ];
  for (const [order, descending, want] of cases) assert.deepEqual([...all].sort(sorted(order, descending)).map((d) => d.id), want, `${order} ${descending}`);
});

test("a fleet is as the API says, and as what comes after that", async (t) => {
  const online: Reading = { device_id: 2, temperature: 20, humidity: null, timestamp: "2026-01-01T00:00:02.000Z" };
  const answers: Record<string, unknown> = { "/api/users/": [], "/api/devices/": all.map((d) => ({ ...d })), "/api/readings/latest_all/": [online] };
  t.mock.method(globalThis, "fetch", async (path: string) => Object.defineProperty(Response.json(answers[path]), "url", { value: `http://host${path}` }));
  const fleet = new Fleet();
  t.after(() => fleet.close());
  await fleet.load(new AbortController().signal);
  assert.deepEqual(fleet.counts(), { online: 1, offline: 1, never: 1 });

  fleet.reading({ ...online, temperature: 21, timestamp: "2026-01-01T00:00:03.000Z", received_at: "2026-01-01T00:00:03.500Z" });
  assert.equal(fleet.latest.get(2)?.values.get("temperature")?.value, 21);
  assert.equal(fleet.devices.get(2)?.last_seen, "2026-01-01T00:00:03.500Z");
  fleet.reading({ ...online, temperature: 19, timestamp: "2025-12-31T00:00:00.000Z", received_at: "2026-01-01T00:00:03.400Z" });
  assert.equal(fleet.latest.get(2)?.values.get("temperature")?.value, 21);
  assert.equal(fleet.devices.get(2)?.last_seen, "2026-01-01T00:00:03.500Z");

  fleet.device(device(4, "New"));
  fleet.device({ id: 2, deleted: true });
  assert.deepEqual([...fleet.devices.keys()], [1, 3, 4]);
  await fleet.load(new AbortController().signal);
  assert.deepEqual([...fleet.devices.keys()], [1, 2, 3]);
  assert.equal(fleet.latest.get(2)?.values.get("temperature")?.value, 20);
});

test("the rate is of the last seconds by the server's clock", () => {
  const rate = new Rate();
  const begin = Date.UTC(2026, 0, 1), end = begin + 60_000;
  assert.equal(rate.perSecond(begin), null);
  rate.begin(begin);
  assert.equal(rate.perSecond(begin + 2500), null);
  for (let now = begin; now < end; now += 100) rate.count(now);
  assert.equal(rate.perSecond(end), 10);
  assert.equal(rate.perSecond(end + 5000), 6);
  assert.equal(rate.perSecond(end + 60_000), 0);
  rate.begin(end);
  assert.equal(rate.perSecond(end + 1000), null);
  rate.count(end + 1000);
  assert.equal(rate.perSecond(end + 3000), 1);
});
