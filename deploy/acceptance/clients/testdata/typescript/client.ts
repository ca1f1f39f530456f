// Reads a device, its reading and a failure, and ends with an exception where one is not as it should be.
import createClient from "openapi-fetch";
import type { components, paths } from "./api.js";

declare const process: { argv: string[] };

type Reading = components["schemas"]["Reading"];

function check(holds: boolean, what: string): asserts holds {
  if (!holds) throw new Error(what);
}

const client = createClient<paths>({ baseUrl: process.argv[2]! });

const devices = await client.GET("/api/devices/", {});
check(devices.data !== undefined, "the devices were not read");
const device = devices.data.find((d) => d.id === 42);
check(device !== undefined && device.name === "Device 42" && device.location === null, "device 42");

const readings = await client.GET("/api/devices/{id}/readings/", { params: { path: { id: "42" }, query: { limit: 1 } } });
const reading: Reading | undefined = readings.data?.[0];
check(reading !== undefined && reading.temperature === 21.7 && reading.humidity === null, "the reading");
check(reading.metrics?.["pressure"] === 1013.2 && reading.attributes?.["firmware"] === "1.2", "its members");

const missing = await client.GET("/api/devices/{id}/", { params: { path: { id: "43" } } });
check(missing.response.status === 404 && missing.error?.detail === "Not found.", "the device that is missing");

const key = "shelly/kitchen 1%";
const added = await client.POST("/api/devices/", { body: { name: "Kitchen", user: device.user, key } });
check(added.data !== undefined && added.data.key === key, "the device with a key");
const found = await client.GET("/api/devices/{id}/", { params: { path: { id: key } } });
check(found.data?.id === added.data.id && device.key === null, "the device by its key");

// @ts-expect-error: a reason that there is not
await client.GET("/api/dead-letters/", { params: { query: { reason: "bad luck" } } });
// @ts-expect-error: without an address
await client.POST("/api/users/", { body: { username: "" } });
